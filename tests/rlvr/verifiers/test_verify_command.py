"""`rlvr verify`: rows in, outcomes out, in order; bad rows, failures, streams."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from click.testing import CliRunner

from rlvr.cli import main
from rlvr.verifiers import make_verifier
from rlvr.verifiers import rows as verify_rows
from rlvr.verifiers.mixture import MixtureVerifier

ROOT = Path(__file__).parents[3]
ROWS = [
    {"id": "a", "completion": r"\boxed{42}", "answer": "42"},
    {"id": 2, "completion": "#### 41", "answer": 42},
    {"id": "c", "completion": "", "answer": "42", "question": "6 * 7?"},
]
FAILING = """
def judge(problem, completion):
    if completion == "fail":
        raise RuntimeError("no idea")
    return True
"""


def write(path, rows) -> str:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def run(verifier, source, *flags, stdin=None):
    return CliRunner().invoke(main, ["verify", "--verifier", verifier, "--input", source, *flags], input=stdin)


def records(result):
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("verifier", ["math", "numeric"])
def test_one_line_per_row_in_order(tmp_path, verifier):
    result = run(verifier, write(tmp_path / "r.jsonl", ROWS), "--json")
    assert records(result) == [
        {"id": "a", "outcome": "correct"},
        {"id": 2, "outcome": "wrong"},
        {"id": "c", "outcome": "unparsed"},
    ]
    assert result.stderr == ""


def test_stdin_blank_lines_and_a_byte_order_mark():
    text = "\ufeff" + "\n\n".join(map(json.dumps, ROWS)) + "\n"
    assert [row["id"] for row in records(run("math", "-", "--json", stdin=text))] == ["a", 2, "c"]


def test_explain_adds_answer_and_reason(tmp_path):
    found = records(run("numeric", write(tmp_path / "r.jsonl", ROWS), "--json", "--explain"))
    assert found[0] == {"id": "a", "outcome": "correct", "answer": "42", "reason": ""}
    assert found[2] == {"id": "c", "outcome": "unparsed", "answer": None, "reason": "no number found"}


def test_meta_and_other_fields_are_the_problems_meta(tmp_path):
    rows = [
        {"id": 1, "completion": "Paris", "answer": "B", "choices": ["Lyon", "Paris"]},
        {"id": 2, "completion": "Paris", "answer": "B", "meta": {"choices": ["Paris", "Lyon"]}},
    ]
    assert [row["outcome"] for row in records(run("choice", write(tmp_path / "r.jsonl", rows), "--json"))] == [
        "correct",
        "wrong",
    ]


def test_the_table_counts_outcomes_and_shows_the_first_that_are_not_correct(tmp_path):
    rows = [*ROWS, *({"id": f"w{i}", "completion": "[bold]0[/x] \ud800", "answer": "1"} for i in range(9))]
    result = run("exact", write(tmp_path / "r.jsonl", rows))
    assert result.exit_code == 0, result.output
    assert "correct" in result.stdout
    assert "8.3%" in result.stdout
    assert "w2" in result.stdout
    assert "w5" not in result.stdout
    assert "[bold]" in result.stdout


def test_a_failure_is_an_error_and_not_wrong(tmp_path, monkeypatch):
    (tmp_path / "failing_judge.py").write_text(FAILING)
    monkeypatch.chdir(tmp_path)
    rows = [{"id": i, "completion": text, "answer": "1"} for i, text in enumerate(["fine", "fail", "fine"])]
    result = run("failing_judge:judge", write(tmp_path / "r.jsonl", rows), "--json")
    assert [row["outcome"] for row in records(result)] == ["correct", "error", "correct"]
    assert "the verifier failed on 1 of 3 rows" in result.stderr


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{oops", "not JSON"),
        ("[1]", "saw a list, expected an object"),
        ({"completion": "x", "answer": "1"}, "`id` is absent, expected text or an integer"),
        ({"id": 1.5, "completion": "x", "answer": "1"}, "`id` is a number"),
        ({"id": True, "completion": "x", "answer": "1"}, "`id` is a boolean"),
        ({"id": 1, "answer": "1"}, "`completion` is absent, expected text"),
        ({"id": 1, "completion": ["x"], "answer": "1"}, "`completion` is a list, expected text"),
        ({"id": 1, "completion": "x"}, "expected `answer`"),
        ({"id": 1, "completion": "x", "answer": None}, "expected `answer`"),
        ({"id": 1, "completion": "x", "answer": "1", "question": 3}, "`question` is a number"),
        ({"id": 1, "completion": "x", "answer": "1", "meta": [1]}, "`meta` is a list"),
        ('{"id": 1, "completion": "x", "answer": "\\ud800"}', "has no content id"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_nothing_of_its_batch_is_printed(tmp_path, row, message):
    result = run("numeric", write(tmp_path / "r.jsonl", [ROWS[0], ROWS[1], row]), "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "r.jsonl:3: " in result.stderr
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


GOLDS = [("a", "42"), ("b", "Paris"), ("c", "42"), ("d", "Rome"), ("e", "41")]


def test_a_gold_answer_that_cannot_be_used_leaves_the_other_rows(tmp_path):
    rows = [{"id": name, "completion": "#### 42", "answer": answer} for name, answer in GOLDS]
    source = write(tmp_path / "r.jsonl", rows)
    result = run("numeric", source, "--json")
    assert [row["outcome"] for row in records(result)] == ["correct", "error", "correct", "error", "wrong"]
    *named, note = result.stderr.splitlines()
    assert [line[: len("error: ") + len(source) + 2] for line in named] == [f"error: {source}:2", f"error: {source}:4"]
    assert all("not one number" in line for line in named)
    assert "the gold answers of 2 of 5 rows cannot be used" in note
    explained = records(run("numeric", source, "--json", "--explain"))
    assert explained[1]["reason"].startswith("the gold answer cannot be used: ")


def test_strict_stops_at_the_first_gold_answer_that_cannot_be_used(tmp_path):
    rows = [{"id": name, "completion": "#### 42", "answer": answer} for name, answer in GOLDS]
    result = run("numeric", write(tmp_path / "r.jsonl", rows), "--json", "--strict")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "r.jsonl:2: " in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("completion", "outcome"),
    [
        (r"<think>\boxed{41}</think> \boxed{42}", "correct"),
        (r"<think>\boxed{42}</think> \boxed{41}", "wrong"),
        (r"<think>so \boxed{42}", "unparsed"),
        (r"<think>a</think>\boxed{42}<think>b</think>", "unparsed"),
        (r"reasoning that the prompt opened: \boxed{42}</think>", "unparsed"),
        (r"\boxed{42}", "correct"),
    ],
)
@pytest.mark.parametrize("verifier", ["math", "numeric", "exact"])
def test_reasoning_is_no_answer(tmp_path, verifier, completion, outcome):
    source = write(tmp_path / "r.jsonl", [{"id": 1, "completion": completion, "answer": "42"}])
    (row,) = records(run(verifier, source, "--json"))
    assert row["outcome"] == outcome


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["countdwon", "-"], "did you mean 'countdown'"),
        (["numeric?toleranse=1", "-"], "unknown option 'toleranse'; did you mean 'tolerance'"),
        (["math", "absent.jsonl"], "absent.jsonl: cannot be read"),
        (["math", "-"], "stdin: no rows found"),
    ],
)
def test_bad_arguments_are_one_error(arguments, message):
    result = run(*arguments, "--json")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_batches_bound_memory(tmp_path, monkeypatch):
    """3,000 rows of 2 kB, read in batches of 25, take less memory than a tenth of the file."""
    monkeypatch.setattr(verify_rows, "BATCH_ROWS", 25)
    row = json.dumps({"id": 1, "completion": "x " * 1000 + "\n#### 1", "answer": "1"}) + "\n"
    source = tmp_path / "r.jsonl"
    source.write_text(row * 3_000)
    tracemalloc.start()
    num = sum(
        len(judged)
        for judged in verify_rows.judge(MixtureVerifier.around("exact", make_verifier("exact")), str(source))
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num == 3_000
    assert peak < source.stat().st_size / 10


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path):
    source = write(tmp_path / "r.jsonl", ROWS * 3000)
    command = [sys.executable, "-m", "rlvr", "verify", "--verifier", "numeric", "--input", source, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout.readline() == b'{"id": "a", "outcome": "correct"}\n'
        process.stdout.close()
        assert process.stderr.read() == b""


def test_it_loads_neither_torch_nor_trl(tmp_path):
    source = write(tmp_path / "r.jsonl", ROWS)
    code = (
        "import sys, rlvr.cli as cli\n"
        f"try: cli.main(['verify', '--verifier', 'exact', '--input', {source!r}])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'torch', 'trl', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


def test_rows_may_name_their_verifier(tmp_path):
    """A row with a name that cannot be followed is named, and the others are judged."""
    names = [None, "numeric", "nummeric", "my_code:f", 7, "numeric"]
    rows = [
        {"id": at, "completion": "17.0", "answer": "17", "meta": {"verifier": name}} for at, name in enumerate(names)
    ]
    source = tmp_path / "rows.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    result = CliRunner().invoke(main, ["verify", "--verifier", "exact", "--input", str(source), "--json"])
    assert result.exit_code == 0, result.output
    outcomes = [json.loads(line)["outcome"] for line in result.stdout.splitlines()]
    assert outcomes == ["wrong", "correct", "error", "error", "error", "correct"]
    for place, said in ((3, "did you mean 'numeric'"), (4, "If you trust it"), (5, "meta.verifier is 7")):
        assert any(f"rows.jsonl:{place}: " in line and said in line for line in result.stderr.splitlines())
