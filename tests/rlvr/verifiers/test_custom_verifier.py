"""A user's own function as verifier: what it may return, how it is called, and what it may do to its process."""

import gc
import json
import math
import time

import numpy as np
import pytest

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.verifiers import make_verifier
from rlvr.verifiers.custom import MAX_BATCH, CustomVerifier
from rlvr.verifiers.custom_worker import ResultError, as_json
from rlvr.verifiers.verdicts import Outcome, Verdict

SOURCE = """
import asyncio, os, sys, time
import numpy as np
from rlvr.verifiers import Outcome, Verdict

VALUES = {
    "true": True, "false": False, "numpy": np.bool_(True), "numpy false": np.bool_(False), "one": 1,
    "half": 0.5, "full": 1.0, "numpy half": np.float32(0.5),
    "verdict": Verdict(Outcome.UNPARSED, answer="a" * 5000, reason="two\\nlines"),
    "graded": Verdict(Outcome.WRONG, score=0.25),
    "none": None, "text": "yes", "two": 2, "below": -0.1, "nan": float("nan"), "list": [True], "object": object(),
    "odd verdict": Verdict("perhaps"),
}

def judge(problem, completion):
    if completion == "raise":
        raise RuntimeError("no idea")
    if completion == "exit":
        sys.exit("gone")
    if completion == "hard exit":
        os._exit(7)
    if completion == "print":
        print("noise " * 10_000)
        os.write(1, b"more noise")
        sys.stdout.flush()
        return True
    if completion == "read":
        return sys.stdin.read() == ""
    if completion == "sleep":
        time.sleep(60)
    if completion == "count":
        judge.count = getattr(judge, "count", 0) + 1
        return judge.count / 100
    return VALUES[completion] if completion in VALUES else completion == problem.answer

async def waits(problem, completion):
    if completion == "exit":
        sys.exit(3)
    if completion == "cancel":
        raise asyncio.CancelledError
    await asyncio.sleep(float(completion))
    return True

class Called:
    async def __call__(self, problem, completion):
        return completion == problem.answer

called = Called()

def batch(problems, completions):
    if "short" in completions:
        return [True]
    if "text" in completions:
        return "yes"
    if "raise" in completions:
        raise ValueError("the whole batch")
    return [VALUES.get(c, c == p.answer) for p, c in zip(problems, completions)]

async def awaited_batch(problems, completions):
    await asyncio.sleep(0)
    return np.array([c == p.answer for p, c in zip(problems, completions)])

def not_awaited(problem, completion):
    return waits(problem, completion)

def pauses(problem, completion):
    time.sleep(float(completion))
    return True
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "my_judge.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def made(folder):
    """Makes verifiers and closes them."""
    verifiers = []

    def make(name: str):
        verifiers.append(make_verifier(f"my_judge:{name}"))
        return verifiers[-1]

    yield make
    for verifier in verifiers:
        verifier.close()


def judged(verifier, *completions: str, answer: str = "1") -> list[Verdict]:
    return verifier.verify([(Problem("q", answer), completion) for completion in completions])


def outcomes(verifier, *completions: str) -> list[str]:
    return [verdict.outcome.value for verdict in judged(verifier, *completions)]


def test_what_a_function_may_return(made):
    verifier = made("judge?threshold=0.5")
    names = ("1", "2", "true", "false", "numpy", "numpy false", "one", "half", "full", "numpy half", "graded")
    assert outcomes(verifier, *names) == (
        [
            "correct",
            "wrong",
            "correct",
            "wrong",
            "correct",
            "wrong",
            "correct",
            "correct",
            "correct",
            "correct",
            "wrong",
        ]
    )
    scores = [verdict.score for verdict in judged(verifier, "true", "half", "numpy half", "graded", "one")]
    assert scores == [None, 0.5, 0.5, 0.25, 1.0]
    told = judged(verifier, "verdict")[0]
    assert (told.outcome, told.answer, told.reason) == (Outcome.UNPARSED, "a" * 1000, "two lines")


@pytest.mark.parametrize(
    "name", ["none", "text", "two", "below", "nan", "list", "object", "odd verdict", "raise", "exit"]
)
def test_what_it_may_not_is_one_clear_error_and_harms_nobody(name, made):
    verifier = made("judge")
    before, verdict, after = judged(verifier, "1", name, "1")
    assert (before.outcome, verdict.outcome, after.outcome) == (Outcome.CORRECT, Outcome.ERROR, Outcome.CORRECT)
    expected = {"raise": "RuntimeError: no idea", "exit": "SystemExit: gone", "odd verdict": "expected an Outcome"}
    assert expected.get(name, "expected a bool, a number from 0 to 1, or a Verdict") in verdict.reason


def test_the_threshold_is_part_of_the_id_and_concurrency_is_not(made):
    ids = [made(f"judge{options}").verifier_id for options in ("", "?threshold=0.5", "?concurrency=9&deadline=7")]
    assert ids[0] == ids[2]
    assert ids[0].endswith("?threshold=1.0")
    assert ids[1] == ids[0].replace("1.0", "0.5")


def test_an_edited_module_has_another_id(folder, made):
    first = made("judge").verifier_id
    (folder / "my_judge.py").write_text(SOURCE + "\n# edited\n")
    assert made("judge").verifier_id != first


def test_prints_are_seen_and_harm_nothing(made, capfd):
    verifier = made("judge")
    assert outcomes(verifier, "print", "read", "2") == ["correct", "correct", "wrong"]
    seen = capfd.readouterr()
    assert seen.out == ""
    assert "noise noise" in seen.err
    assert "more noise" in seen.err


def test_a_process_that_ends_costs_its_own_call_only(made):
    verifier = made("judge?concurrency=4")
    verdicts = judged(verifier, "1", "2", "hard exit", "1", "2", "1")
    assert [verdict.outcome.value for verdict in verdicts] == [
        "correct",
        "wrong",
        "error",
        "correct",
        "wrong",
        "correct",
    ]
    assert "process ended during this call" in verdicts[2].reason


@pytest.mark.parametrize("options", ["deadline=0.5", "deadline=0.5&concurrency=3"])
def test_a_function_that_does_not_come_back_is_a_timeout(options, made):
    verifier = made(f"judge?{options}")
    verdicts = judged(verifier, "1", "sleep", "2", "1")
    assert [verdict.outcome.value for verdict in verdicts] == ["correct", "timeout", "wrong", "correct"]
    assert verdicts[1].reason == "exceeded the deadline of 0.5 s"


def test_state_of_the_function_is_kept_between_calls(made):
    """A cache or a loaded model is the user's: unlike a worker that judges hostile text, the process goes on."""
    verifier = made("judge")
    assert [verdict.score for verdict in judged(verifier, "count", "count")] == [0.01, 0.02]
    assert [verdict.score for verdict in judged(verifier, "count")] == [0.03]


def test_awaited_calls_run_at_the_same_time(made):
    """One at a time they would take 320 s."""
    verifier = made("waits?concurrency=64")
    start = time.monotonic()
    assert set(outcomes(verifier, *["1"] * 320)) == {"correct"}
    assert time.monotonic() - start < 160


def test_threads_run_at_the_same_time(made):
    verifier = made("pauses?concurrency=32")
    start = time.monotonic()
    assert set(outcomes(verifier, *["0.5"] * 64)) == {"correct"}
    assert time.monotonic() - start < 16


def test_awaited_calls_fail_and_are_late_one_by_one(made):
    verifier = made("waits?concurrency=8&deadline=1")
    found = outcomes(verifier, "0", "exit", "60", "cancel", "x", "0")
    assert found == ["correct", "error", "timeout", "error", "error", "correct"]


def test_an_object_that_is_called_may_be_async(made):
    assert outcomes(made("called"), "1", "2") == ["correct", "wrong"]


def test_what_has_to_be_awaited_but_does_not_say_so_is_named(made, recwarn):
    assert "write async def" in judged(made("not_awaited"), "1")[0].reason


@pytest.mark.parametrize("name", ["batch", "awaited_batch"])
def test_a_batch_is_judged_in_order(name, made):
    num = 2 * MAX_BATCH + 3
    found = outcomes(made(f"{name}?concurrency=2"), *[str(number % 3) for number in range(num)])
    assert found == ["correct" if number % 3 == 1 else "wrong" for number in range(num)]


def test_a_batch_has_an_outcome_for_each_and_one_message_for_a_wrong_return(made):
    verifier = made("batch")
    assert outcomes(verifier, "1", "none", "half", "numpy") == ["correct", "error", "wrong", "correct"]
    assert {verdict.reason for verdict in judged(verifier, "short", "1", "1")} == {
        "returned 1 results for 3 completions"
    }
    assert "expected a list" in judged(verifier, "text", "1")[1].reason
    assert {verdict.reason for verdict in judged(verifier, "raise", "1")} == {"ValueError: the whole batch"}


def test_a_closed_verifier_starts_again(made):
    verifier = made("judge")
    assert outcomes(verifier, "1") == ["correct"]
    verifier.close()
    assert outcomes(verifier, "1") == ["correct"]


def test_nothing_is_left_of_a_verifier_that_nobody_closed(folder):
    """Its process would be told of as a warning."""
    verifier = CustomVerifier("my_judge:judge")
    child = verifier._process.child
    del verifier
    gc.collect()
    assert child.process.returncode is not None


def test_odd_text_comes_back_as_it_went_in(made):
    texts = ["\ud800", "\u2028", "\x00", "é" * 100_000]
    verifier = made("judge")
    verdicts = verifier.verify([(Problem("q", text, {"m": [text]}), text) for text in texts])
    assert [verdict.outcome for verdict in verdicts] == [Outcome.CORRECT] * 4


@pytest.mark.parametrize(
    "result", [np.array([True, False]), np.float64("inf"), 1.0000001, b"1", {}, {"outcome": "correct"}]
)
def test_results_that_are_none(result):
    with pytest.raises(ResultError, match="expected a bool"):
        as_json(result)


@pytest.mark.parametrize(
    "sent",
    [
        {"outcome": "perhaps"},
        {"score": 2},
        {"score": math.nan},
        {"score": "x"},
        {"score": [1]},
        {"outcome": ["correct"]},
        {"other": "x", "outcome": "correct"},
        {},
        [],
        None,
        "correct",
        True,
    ],
)
def test_what_a_process_sends_is_checked(sent, made):
    """The process belongs to the user's function, which may write anything where answers are read."""
    assert made("judge")._verdict(json.loads(json.dumps(sent))).outcome is Outcome.ERROR


@pytest.mark.parametrize("name", ["no_such_module_here:f", "json:no_such_function", "json:__doc__"])
def test_what_cannot_be_imported_is_named(name):
    with pytest.raises(RecipeError, match=name.split(":")[0]):
        make_verifier(name)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ValueError('x')", "ValueError: x"),
        ("import no_such_thing", "no_such_thing"),
        ("exit(2)", "SystemExit: 2"),
    ],
)
def test_a_module_that_fails_is_named_with_its_failure(source, message, tmp_path, monkeypatch):
    (tmp_path / "failing_judge.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=message):
        make_verifier("failing_judge:judge")


def test_a_module_that_ends_its_process_is_named(tmp_path, monkeypatch):
    (tmp_path / "ending_judge.py").write_text("import os\nos._exit(3)")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"ending_judge:judge.*its process ended"):
        make_verifier("ending_judge:judge")


@pytest.mark.parametrize(
    "options",
    ["concurrency=0", "concurrency=5000", "deadline=0", "deadline=x", "threshold=0", "threshold=1.5", "foo=1"],
)
def test_a_bad_option_is_named(options, folder):
    with pytest.raises(RecipeError, match=options.partition("=")[0]):
        make_verifier(f"my_judge:judge?{options}")
