"""Loading problem sets: formats, options, and bad rows named by file and line."""

import json

import pytest

from rlvr.errors import ProblemError
from rlvr.problems import Problem, ProblemSet, load_problems


def write(path, *rows) -> str:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def test_both_column_names_and_gsm8ks_own_format(tmp_path):
    spec = write(
        tmp_path / "p.jsonl",
        {"problem": "1+1?", "answer": "2", "cluster": "sums"},
        {"question": "How much?", "answer": "He has 1,000 + 234.\n#### 1,234"},
        {"question": "Half?", "answer": 0.5},
        {"question": "Whole?", "answer": 18.0},
    )
    problems = load_problems(spec)
    assert [problem.answer for problem in problems] == ["2", "1234", "0.5", "18"]
    assert problems[0].cluster == "sums"


def test_real_gsm8k_and_math500_load_whole(shared_data):
    assert len(load_problems(str(shared_data / "gsm8k_test.jsonl"))) == 1319
    assert len(load_problems(str(shared_data / "math500_test.jsonl"))) == 500


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{not json", "p.jsonl:2"),
        ("[1]", "expected an object"),
        ({"answer": "1"}, "expected `problem` or `question`"),
        ({"question": "q"}, "expected `answer`"),
        ({"question": "", "answer": "1"}, "is empty"),
        ({"question": 3, "answer": "1"}, "expected text"),
        ({"question": "q", "answer": ["1"]}, "expected text or a number"),
        ({"question": "q", "answer": "#### "}, "`answer` is empty"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, row, message):
    spec = write(tmp_path / "p.jsonl", {"question": "good", "answer": "1"}, row)
    with pytest.raises(ProblemError) as caught:
        load_problems(spec)
    assert "p.jsonl:2" in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_file_names_a_near_one(tmp_path):
    write(tmp_path / "train.jsonl", {"question": "q", "answer": "1"})
    with pytest.raises(ProblemError, match=r"train\.jsonl"):
        load_problems(str(tmp_path / "trian.jsonl"))


def test_an_empty_file_and_an_unknown_option_are_refused(tmp_path):
    with pytest.raises(ProblemError, match="no problems"):
        load_problems(write(tmp_path / "e.jsonl"))
    spec = write(tmp_path / "p.jsonl", {"question": "q", "answer": "1"})
    with pytest.raises(ProblemError, match="limit"):
        load_problems(f"{spec}?limti=3")
    with pytest.raises(ProblemError, match="names no source"):
        load_problems("no source at all!")


def test_repeated_rows_count_once_and_are_reported(tmp_path):
    row = {"question": "q", "answer": "1"}
    problems = load_problems(write(tmp_path / "p.jsonl", row, {"question": "r", "answer": "1"}, row, row))
    assert (len(problems), problems.num_duplicates) == (2, 2)
    assert [problem.question for problem in problems] == ["q", "r"]


def test_limit_and_seed(tmp_path):
    spec = write(tmp_path / "p.jsonl", *({"question": str(i), "answer": "1"} for i in range(50)))
    assert [problem.question for problem in load_problems(f"{spec}?limit=3")] == ["0", "1", "2"]
    shuffled = load_problems(f"{spec}?limit=3&seed=1")
    assert [p.problem_id for p in shuffled] == [p.problem_id for p in load_problems(f"{spec}?seed=1&limit=3")]
    assert {problem.question for problem in shuffled} != {"0", "1", "2"}


def test_countdown_takes_its_options():
    assert len(load_problems("countdown:probe?num=7&seed=3")) == 7
    assert len(load_problems("countdown:beyond?num=2")[0].meta["numbers"]) == 4


def test_a_hub_name_that_cannot_be_loaded_is_one_clear_error():
    with pytest.raises(ProblemError, match="nobody/nothing") as caught:
        load_problems("nobody/nothing?split=train")
    assert "\n" not in str(caught.value)


def test_identity_depends_on_content_alone():
    first, second = Problem("q", "1", {"a": 1, "b": [2]}), Problem("q", "1", {"b": [2], "a": 1}, cluster="x")
    assert first.problem_id == second.problem_id
    assert len({Problem("q", "1").problem_id, Problem("q", "2").problem_id, first.problem_id}) == 3
    one, two = (
        ProblemSet.of(name, rows)
        for name, rows in (("x", [first, Problem("r", "1")]), ("y", [Problem("r", "1"), first]))
    )
    assert one.content_id == two.content_id


def test_a_data_set_by_name_goes_through_the_datasets_library(tmp_path, monkeypatch):
    """`datasets` resolves org/name to a folder before it asks the Hub, so the real call runs without a network."""
    folder = tmp_path / "org" / "sums"
    folder.mkdir(parents=True)
    write(folder / "train.jsonl", {"question": "1+1?", "answer": "#### 2"}, {"question": "2+2?", "answer": "#### 4"})
    write(folder / "test.jsonl", {"question": "3+3?", "answer": "#### 6"})
    monkeypatch.chdir(tmp_path)
    assert [problem.answer for problem in load_problems("org/sums?split=train")] == ["2", "4"]
    assert [problem.question for problem in load_problems("org/sums?split=test&limit=1")] == ["3+3?"]
    with pytest.raises(ProblemError, match="test"):
        load_problems("org/sums?split=validation")


def test_options_of_a_joined_set_hold_for_their_part(tmp_path):
    rows = [{"question": f"{n}?", "answer": str(n)} for n in range(6)]
    first, second = write(tmp_path / "a.jsonl", *rows), write(tmp_path / "b.jsonl", *rows)
    whole = load_problems(f"{first}?limit=2 + {second}?seed=1&limit=3")
    alone = [*load_problems(f"{first}?limit=2"), *load_problems(f"{second}?seed=1&limit=3")]
    assert {each.problem_id for each in whole} == {each.problem_id for each in alone}
    assert len(whole) + whole.num_duplicates == 5


def test_a_location_names_the_verifier_of_its_rows(tmp_path):
    """One question under two verifiers is two problems; the name is part of the content, whatever order it comes in."""
    own = {"question": "1?", "answer": "1", "meta": {"verifier": "choice"}}
    path = write(tmp_path / "a.jsonl", {"question": "1?", "answer": "1"}, own)
    plain = load_problems(str(path))
    assert [each.verifier for each in plain] == [None, "choice"]
    assert plain.trusted == frozenset()
    named = load_problems(f"{path}?verifier=math?mode=strict")
    assert [each.verifier for each in named] == ["math?mode=strict"]
    assert (named.num_duplicates, named.trusted) == (1, {"math?mode=strict"})
    both = load_problems(f"{path}?verifier=math + {path}?verifier=exact")
    assert both.content_id == load_problems(f"{path}?verifier=exact + {path}?verifier=math").content_id
    assert (len(both), both.trusted) == (2, {"math", "exact"})
    generated = load_problems("countdown:probe?num=3&verifier=countdown")
    assert {each.verifier for each in generated} == {"countdown"}
    assert [each.question for each in generated] == [each.question for each in load_problems("countdown:probe?num=3")]
