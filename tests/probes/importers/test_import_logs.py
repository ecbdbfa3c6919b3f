"""What holds for every format: nothing counts twice, nothing is dropped silently, nothing is half-written."""

import gzip
import json
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.importers import FORMATS, ImportOptions, import_logs
from probes.importers.records import LogRow, LogSample, Settings, make_problem
from probes.importers.scores import verdicts_of
from probes.store.store import MAX_COMPLETION_CHARS, ProbeStore
from rlvr.errors import InputError, ProblemError, RecipeError, StoreError
from rlvr.verifiers.verdicts import Outcome

OPTIONS = ImportOptions(model="m")


def log(path: Path, rows: list[dict]) -> Path:
    """A log in verl's form."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(output: object = "4", score: object = 1, question: str = "2+2?", **more: object) -> dict:
    return {"input": question, "output": output, "gts": "4", "score": score, "step": 0, **more}


def outcomes_in_order(store: ProbeStore) -> list[str]:
    (verifier_id,), (problem,) = store.verifier_ids(), store.problems()
    return [str(verdict.outcome) for _, verdict in sorted(store.verdicts(verifier_id, problem.problem_id).items())]


def test_an_unknown_format_lists_the_known_and_the_nearest(tmp_path):
    with pytest.raises(RecipeError, match=r"'lmeval' is not known.*human-eval.*Did you mean 'lm-eval'\?") as caught:
        import_logs("lmeval", [tmp_path / "x"], tmp_path / "store")
    assert all(name in str(caught.value) for name in FORMATS)


def test_no_file_is_an_error(tmp_path):
    with pytest.raises(RecipeError, match="at least one"):
        import_logs("verl", [], tmp_path / "store")


@pytest.mark.parametrize("tool", FORMATS)
@pytest.mark.parametrize(
    "content", [b"", b"\n", b"[]\n", b"{}\n", b"\x00\xff\n", b'{"a": 1', b"PK\x03\x04broken", b"\x1f\x8bx"]
)
def test_a_file_of_another_kind_is_one_error_that_names_it(tmp_path, tool, content):
    file = tmp_path / "some.log"
    file.write_bytes(content)
    with pytest.raises(ProblemError, match=r"some\.log"):
        import_logs(tool, [file], tmp_path / "store", OPTIONS)
    assert not (tmp_path / "store").exists()


def test_a_missing_file_names_the_nearest(tmp_path):
    log(tmp_path / "0.jsonl", [row()])
    with pytest.raises(ProblemError, match=r"no such file; did you mean .*0\.jsonl"):
        import_logs("verl", [tmp_path / "0.json"], tmp_path / "store", OPTIONS)


def test_a_malformed_line_in_the_last_file_leaves_nothing(tmp_path):
    good = log(tmp_path / "a.jsonl", [row()])
    bad = tmp_path / "b.jsonl"
    bad.write_text(json.dumps(row()) + "\n" + json.dumps(row())[:20])
    with pytest.raises(ProblemError, match=r"b\.jsonl:2: not JSON"):
        import_logs("verl", [good, bad], tmp_path / "store", OPTIONS)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"input": 3}, "input is a number; expected text"),
        ({"output": ["x"]}, "output is a list"),
        ({"step": "last"}, "step is 'last'"),
        ({"score": 0.5}, "score is 0.5; expected 0 or 1"),
        ({"score": "yes"}, "score is 'yes'"),
        ({"score": [1]}, r"score is \[1\]"),
        ({"score": 10**400}, "score is 1000"),
        ({"output": "x" * (MAX_COMPLETION_CHARS + 1)}, f"at most {MAX_COMPLETION_CHARS}"),
    ],
)
def test_a_bad_field_names_file_and_line(tmp_path, broken, message):
    file = log(tmp_path / "0.jsonl", [row(), row() | broken])
    with pytest.raises(ProblemError, match=rf"0\.jsonl:2: .*{message}"):
        import_logs("verl", [file], tmp_path / "store", OPTIONS)


def test_a_threshold_makes_scores_binary_and_is_part_of_the_name(tmp_path):
    file = log(tmp_path / "0.jsonl", [row(score=score) for score in (-1, 0, 0.5, 0.7, True)])
    report = import_logs("verl", [file], tmp_path / "store", replace(OPTIONS, threshold=0.5))
    assert report.verifier_id == "imported:verl:score>=0.5"
    assert outcomes_in_order(ProbeStore.open_existing(report.store)) == ["wrong"] * 2 + ["correct"] * 3


def test_a_sample_without_a_score_is_an_error_and_not_wrong(tmp_path):
    file = log(tmp_path / "0.jsonl", [row(), row(score=None), row(score=float("nan")), row(output=None, score=0)])
    report = import_logs("verl", [file], tmp_path / "store", OPTIONS)
    store = ProbeStore.open_existing(report.store)
    assert outcomes_in_order(store) == ["correct", "error", "error", "wrong"]
    assert (report.num_draws, report.num_errors) == (4, 2)
    assert "draws without a completion; their text is empty: 1" in report.notes
    counts = store.counts()
    assert (counts.n_P.tolist(), counts.errors_P.tolist()) == ([2], [2])


def test_the_same_content_never_counts_twice(tmp_path):
    first, twin = (log(tmp_path / name, [row(), row(score=0)]) for name in ("a.jsonl", "b.jsonl"))
    other = log(tmp_path / "c.jsonl", [row("five", 0)])
    report = import_logs("verl", [first, first, twin], tmp_path / "store", OPTIONS)
    assert [file.is_repeated for file in report.files] == [False, True, True]
    assert report.num_draws == 2
    again = import_logs("verl", [twin], tmp_path / "store", OPTIONS)
    assert (again.num_draws, again.files[0].is_repeated) == (0, True)
    more = import_logs("verl", [first, other], tmp_path / "store", OPTIONS)
    assert (more.num_draws, [file.is_repeated for file in more.files]) == (1, [True, False])
    assert outcomes_in_order(ProbeStore.open_existing(tmp_path / "store")) == ["correct", "wrong", "wrong"]


def test_later_files_must_be_of_the_same_arm_metric_and_problems(tmp_path):
    import_logs("verl", [log(tmp_path / "a.jsonl", [row(acc=1)])], tmp_path / "store", OPTIONS)
    more = log(tmp_path / "b.jsonl", [row("5", 0, acc=0)])
    cases = [
        (replace(OPTIONS, model="n"), "model is 'm@step-0' there and 'n@step-0' here"),
        (replace(OPTIONS, temperature=0.5), "temperature is -1 there and 0.5 here"),
        (replace(OPTIONS, metric="acc"), "metric 'score', asked for 'acc'"),
        (replace(OPTIONS, threshold=1.0), "verifier 'imported:verl:score'"),
    ]
    for options, message in cases:
        with pytest.raises(StoreError, match=message):
            import_logs("verl", [more], tmp_path / "store", options)
    strange = log(tmp_path / "c.jsonl", [row(question="3+3?")])
    with pytest.raises(StoreError, match=r"1 problems of the log are not in the store, '3\+3\?'"):
        import_logs("verl", [strange], tmp_path / "store", OPTIONS)
    assert import_logs("verl", [more], tmp_path / "store", OPTIONS).num_draws == 1


def test_a_store_of_draws_made_here_is_left_alone(tmp_path):
    from probes.store.draws import Draw

    file = log(tmp_path / "a.jsonl", [row()])
    import_logs("verl", [file], tmp_path / "store", OPTIONS)
    store = ProbeStore.open_existing(tmp_path / "store")
    made = ProbeStore.create(tmp_path / "made", store.arm, _problem_set(store))
    made.add_draws([Draw(store.problems()[0].problem_id, 0, "x", 1, False, "vllm")])
    with pytest.raises(StoreError, match="not imported"):
        import_logs("verl", [file], tmp_path / "made", OPTIONS)


def _problem_set(store):
    from rlvr.problems import ProblemSet

    return ProblemSet.of("x", store.problems())


def test_a_log_without_a_model_asks_for_its_name(tmp_path):
    with pytest.raises(ProblemError, match="does not name the model"):
        import_logs("verl", [log(tmp_path / "a.jsonl", [row()])], tmp_path / "store")


def test_hostile_text_stays_text(tmp_path):
    text = "</script>\x00'; DROP TABLE draws; -- \u202e {question} \ud800"
    file = log(tmp_path / "a.jsonl", [row(text, question=text)])
    import_logs("verl", [file], tmp_path / "store", OPTIONS)
    (draw,) = ProbeStore.open_existing(tmp_path / "store").draws()
    assert ascii(draw.completion) == ascii(text)


def test_a_compressed_log_reads_alike(tmp_path):
    file = tmp_path / "0.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(row()).encode()))
    assert import_logs("verl", [file], tmp_path / "store", OPTIONS).num_draws == 1
    file.write_bytes(file.read_bytes()[:-6])
    with pytest.raises(ProblemError, match="damaged gzip"):
        import_logs("verl", [file], tmp_path / "other", OPTIONS)


def test_the_report_says_what_the_log_does_not_tell(tmp_path):
    file = log(tmp_path / "a.jsonl", [row(), row(), row(question="3+3?")])
    report = import_logs("verl", [file], tmp_path / "store", replace(OPTIONS, temperature=0.6))
    assert "draws without a number of tokens; it is -1: 3" in report.notes
    assert "not in the log, stored as -1: top_p, top_k, max_new_tokens" in report.notes
    assert "numbers of draws differ between problems: 1 to 2" in report.notes


KILLED = """
import sys
from pathlib import Path
from probes.importers import ImportOptions, import_logs
import_logs("verl", [Path(sys.argv[1])], Path(sys.argv[2]), ImportOptions(model="m"))
"""


def num_stored(store: Path) -> int:
    file = store / "draws-00000.sqlite"
    try:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return 0
    try:
        return connection.execute("SELECT COUNT(*) FROM draws").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def test_a_killed_import_is_completed_by_the_same_call(tmp_path):
    """After kill -9 in the middle, every sample has the index that it would have had, and none is there twice."""
    before = log(tmp_path / "a.jsonl", [row(f"early {i}", i % 2) for i in range(3)])
    file = log(tmp_path / "b.jsonl", [row(f"text {i}", i % 2) for i in range(12_000)])
    store = tmp_path / "store"
    import_logs("verl", [before], store, OPTIONS)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(file), str(store)])
    while num_stored(store) <= 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 3 < num_stored(store) < 12_003
    third = log(tmp_path / "c.jsonl", [row("late", 1)])
    with pytest.raises(StoreError, match=r"import of b\.jsonl was cut short"):
        import_logs("verl", [third], store, OPTIONS)
    report = import_logs("verl", [third, file], store, OPTIONS)
    assert [entry.num_draws for entry in report.files] == [1, 12_000]
    opened = ProbeStore.open_existing(store)
    texts = {draw.draw_index: draw.completion for draw in opened.draws()}
    expected = [f"early {i}" for i in range(3)] + [f"text {i}" for i in range(12_000)] + ["late"]
    assert texts == dict(enumerate(expected))
    counts = opened.counts()
    assert (counts.n_P.tolist(), counts.c_P.tolist()) == ([12_004], [1 + 6_000 + 1])


def shared(score: object, n: int) -> LogRow:
    samples = tuple(LogSample(str(i)) for i in range(n))
    return LogRow("f:1", make_problem("q", "a"), Settings(), "avg", samples, shared_score=score)


@given(n=st.integers(2, 200), data=st.data())
@settings(max_examples=50, deadline=None)
def test_spreading_keeps_the_count(n, data):
    c = data.draw(st.integers(0, n))
    verdicts = verdicts_of(shared(c / n, n), ImportOptions(spread_counts=True))
    assert sum(verdict.outcome is Outcome.CORRECT for verdict in verdicts) == c


@pytest.mark.parametrize("score", [0.3, 1.5, -0.25, float("nan"), "many", None])
def test_an_average_that_no_count_gives_is_refused(score):
    if score is None:  # a score that is missing is an error of each draw
        verdicts = verdicts_of(shared(score, 4), ImportOptions(spread_counts=True))
        assert {verdict.outcome for verdict in verdicts} == {Outcome.ERROR}
        return
    with pytest.raises(InputError, match="multiple of 1/4"):
        verdicts_of(shared(score, 4), ImportOptions(spread_counts=True))
