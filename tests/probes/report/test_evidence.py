"""The draws on the page: which are chosen, how many, how long, and what is said of it."""

import json
from pathlib import Path

import pytest

from probes.report import evidence
from probes.report.evidence import choose_evidence
from probes.results.measured import Measured, measure_store
from tests.probes.report.stores import make_store

BASE = [[True, False] * 8, [True] + [False] * 15, [False] * 16, [False] * 16]
LATER = [[True] * 12 + [False] * 4, [False] * 16, [True] + [False] * 15, [False] * 16]


@pytest.fixture
def arms(tmp_path: Path) -> list[tuple[str, Measured]]:
    paths = [make_store(tmp_path / "base", "base", BASE), make_store(tmp_path / "tuned", "tuned", LATER)]
    return [
        (name, measure_store(path, place)) for place, (name, path) in enumerate(zip(("", "tuned"), paths, strict=True))
    ]


def test_counts_are_those_of_the_stores(arms) -> None:
    found = choose_evidence(arms)
    by_question = {problem["question"]: problem for problem in found["problems"]}
    for i in range(4):
        assert by_question[f"question {i}"]["c"] == [sum(BASE[i]), sum(LATER[i])]
        assert by_question[f"question {i}"]["n"] == [16, 16]
        assert by_question[f"question {i}"]["answer"] == f"gold {i}"


def test_up_to_three_correct_and_three_others_are_shown_with_their_verdicts(arms) -> None:
    first = choose_evidence(arms)["problems"][0]
    shown = first["draws"][0]
    assert [draw["outcome"] for draw in shown] == ["correct"] * 3 + ["wrong"] * 3
    for draw in shown:
        assert (draw["outcome"] == "correct") == BASE[0][draw["index"]]
        assert (draw["head"], draw["tail"], draw["cut"]) == (f"draw {draw['index']}", "", 0)
        assert (draw["answer"], draw["tokens"], draw["truncated"]) == (f"a{draw['index']}", 4, False)
        assert draw["reason"] == ("equal" if draw["outcome"] == "correct" else "differs")


def test_the_choice_is_seeded_and_differs_between_seeds(arms) -> None:
    assert choose_evidence(arms) == choose_evidence(arms)
    others = [choose_evidence(arms, seed)["problems"] for seed in (1, 2, 3)]
    assert any(other != choose_evidence(arms)["problems"] for other in others)


def test_what_is_left_out_is_said(arms, monkeypatch) -> None:
    """Three kinds of bounds: draws of a problem, characters of a text, problems."""
    stated = choose_evidence(arms)["stated"]
    assert "32 of 128 draws are in this file" in stated
    assert "up to 3 correct and 3 others" in stated
    monkeypatch.setattr(evidence, "MAX_DRAWS", 20)
    assert "up to 1 correct and 1 others" in choose_evidence(arms)["stated"]
    monkeypatch.setattr(evidence, "MAX_DRAWS", 4)
    few = choose_evidence(arms)
    assert "Only the 1 problems whose success rate changed most" in few["stated"]
    with_draws = [problem["question"] for problem in few["problems"] if problem["draws"][0]]
    assert with_draws == ["question 0"]  # from 8 to 12 of 16, the others by 1


def test_long_texts_keep_head_and_tail(tmp_path: Path) -> None:
    long = "x" * 5000
    path = make_store(tmp_path / "long", "m", [[True] * 4], text=f"start {long}")
    arms = [("", measure_store(path, 0))]
    draw = choose_evidence(arms)["problems"][0]["draws"][0][0]
    assert len(draw["head"]) + len(draw["tail"]) == 2000
    assert draw["head"].startswith("start xx")
    assert draw["tail"].endswith(f"x {draw['index']}")
    assert draw["cut"] == len(f"start {long} {draw['index']}") - 2000
    short = choose_evidence(arms, max_chars=1200)["problems"][0]["draws"][0][0]
    assert len(short["head"]) + len(short["tail"]) == 350


def test_it_is_json(arms) -> None:
    assert json.loads(json.dumps(choose_evidence(arms))) == choose_evidence(arms)
