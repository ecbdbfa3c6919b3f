"""What verifiers share: verdicts within their limits, what a failure of a worker means, and the memory."""

import pytest

from rlvr.errors import ProblemError
from rlvr.problems import Problem
from rlvr.sandbox.pool import TaskFailure
from rlvr.verifiers import base
from rlvr.verifiers.base import Memory, decided, failed, one_line, refuse_unusable, unparsed
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict


def test_texts_of_verdicts_are_cut():
    long = "x" * 5000
    verdicts = [decided(True, long, long), failed(TaskFailure(over_limit=True, reason=long), long)]
    for verdict in verdicts:
        assert verdict.answer == verdict.reason == "x" * MAX_VERDICT_CHARS
    assert unparsed(long) == Verdict(Outcome.UNPARSED, None, "x" * MAX_VERDICT_CHARS)
    assert decided(False, "") == Verdict(Outcome.WRONG, "", "")
    assert one_line("a\n\tb " + long) == "a b " + "x" * (MAX_VERDICT_CHARS - 4)


@pytest.mark.parametrize(("over_limit", "outcome"), [(True, Outcome.TIMEOUT), (False, Outcome.ERROR)])
def test_a_workers_failure_is_a_timeout_only_at_a_limit(over_limit, outcome):
    assert failed(TaskFailure(over_limit, "why"), "7") == Verdict(outcome, "7", "why")


def test_the_memory_keeps_the_youngest_and_no_error(monkeypatch):
    monkeypatch.setattr(base, "MEMORY_SIZE", 3)
    memory = Memory[int]()
    verdicts = {number: decided(True, str(number)) for number in range(3)}
    memory.keep(verdicts | {7: Verdict(Outcome.ERROR)})
    assert memory.recall([0, 0, 7, 9]) == {0: verdicts[0]}
    memory.keep({3: decided(False, "3")})
    assert set(memory.recall(range(10))) == {0, 2, 3}, "1 was the oldest, since 0 had been asked for"
    memory.clear()
    assert memory.recall(range(10)) == {}


def test_the_first_problems_that_cannot_be_judged_are_named():
    problems = [Problem(f"question {number}", "a") for number in range(9)]
    refuse_unusable("math", [], 9, "a number.")
    with pytest.raises(ProblemError, match="9 of 20 problems cannot be judged by the math verifier") as caught:
        refuse_unusable("math", [(problem, "odd") for problem in problems], 20, "a number.")
    assert "'question 4' has answer 'a' (odd). Expected a number." in str(caught.value)
    assert "question 5" not in str(caught.value)
