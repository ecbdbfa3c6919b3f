r"""The math verifier: forms of an answer, pathological answers, killed workers."""

import os
import resource
import signal

import psutil
import pytest

from rlvr.errors import ProblemError
from rlvr.problems import Problem, load_problems
from rlvr.verifiers.answers.math import MathVerifier
from rlvr.verifiers.verdicts import Outcome, mode_of


@pytest.fixture(scope="module")
def verifier():
    made = MathVerifier(num_workers=2, deadline_s=3.0)
    yield made
    made.close()


def outcome(verifier, gold: str, completion: str) -> Outcome:
    return verifier.verify([(Problem("q", gold), completion)])[0].outcome


@pytest.mark.parametrize(
    ("gold", "completion", "expected"),
    [
        ("18", "#### 18", Outcome.CORRECT),
        ("1234", r"\boxed{1,234}", Outcome.CORRECT),
        (r"\frac{1}{2}", r"\boxed{0.5}", Outcome.CORRECT),
        (r"\frac{1}{2}", r"\boxed{\dfrac12}", Outcome.CORRECT),
        ("x^2+2x+1", r"\boxed{(x+1)^2}", Outcome.CORRECT),
        ("18", r"\boxed{19}", Outcome.WRONG),
        (r"\frac{1}{2}", r"\boxed{\frac{1}{3}}", Outcome.WRONG),
        ("18", "I do not know", Outcome.UNPARSED),
    ],
)
def test_verdicts(verifier, gold, completion, expected):
    assert outcome(verifier, gold, completion) == expected


@pytest.mark.parametrize(
    ("form", "completion", "lenient", "strict"),
    [
        ("boxed", r"\boxed{18}", Outcome.CORRECT, Outcome.CORRECT),
        ("boxed", r"#### 17, or rather \boxed{18}", Outcome.CORRECT, Outcome.CORRECT),
        ("boxed", "#### 18", Outcome.CORRECT, Outcome.UNPARSED),
        ("boxed", "#### 17", Outcome.WRONG, Outcome.UNPARSED),
        ("boxed", r"\boxed{17}", Outcome.WRONG, Outcome.WRONG),
        ("boxed", "I do not know", Outcome.UNPARSED, Outcome.UNPARSED),
        ("hash", "#### 18", Outcome.CORRECT, Outcome.CORRECT),
        ("hash", "\\boxed{17}\n#### 18", Outcome.CORRECT, Outcome.CORRECT),
        ("hash", r"\boxed{18}", Outcome.CORRECT, Outcome.UNPARSED),
        ("hash", "The answer is 18.", Outcome.CORRECT, Outcome.UNPARSED),
        ("stated", "The answer is 18.", Outcome.CORRECT, Outcome.CORRECT),
        ("number", "so 18", Outcome.CORRECT, Outcome.CORRECT),
    ],
)
def test_the_strict_mode_takes_the_form_asked_for_only(form, completion, lenient, strict):
    items = [(Problem("q", "18"), completion)]
    verdict = MathVerifier("lenient", form).verify(items)[0]
    assert (verdict.outcome, verdict.other) == (lenient, strict)
    verdict = MathVerifier("strict", form).verify(items)[0]
    assert (verdict.outcome, verdict.other) == (strict, lenient)


def test_modes_and_forms_have_ids_of_their_own():
    ids = {MathVerifier(mode, form).verifier_id for mode in ("lenient", "strict") for form in ("boxed", "hash")}
    assert len(ids) == 4
    assert mode_of(MathVerifier("strict").verifier_id) == "strict"
    assert mode_of(MathVerifier().verifier_id) == "lenient"


def test_pathological_answers_end_and_leave_their_neighbours_alone(verifier, monkeypatch):
    """A power tower hangs sympy; others are large, deep or hold control characters. Their neighbours stay right."""
    monkeypatch.setattr(verifier.pool, "deadline_s", 1.0)
    hostile = ["9^{9^{9^{9}}}", "9" * 100_000, "{" * 5000 + "1" + "}" * 5000, "1\x002", r"\frac{" * 500]
    items = []
    for text in hostile:
        items += [(Problem("q", "x+1"), rf"\boxed{{{text}}}"), (Problem("q", r"\frac{1}{4}"), r"\boxed{0.25}")]
    verdicts = verifier.verify(items)
    assert verdicts[0].outcome is Outcome.TIMEOUT
    assert verdicts[0].reason == "exceeded the deadline of 1 s", "it is one of processor time"
    assert all(verdict.outcome is not Outcome.CORRECT for verdict in verdicts[::2])
    assert all(verdict.outcome is Outcome.CORRECT for verdict in verdicts[1::2])
    assert all(len(verdict.answer or "") <= 1000 and len(verdict.reason) <= 1000 for verdict in verdicts)


def pathological(number: int) -> str:
    """One of five kinds of answers that hang, fill or break a parser; each number another answer."""
    kinds = (
        f"{9 + number}^{{9^{{9^{{9}}}}}}",
        f"((({number + 9})!)!)!",
        str(number) + "7" * 100_000,
        "{" * (400 + number) + "1" + "}" * (400 + number),
        f"{number}\x00" + r"\frac{" * 60,
    )
    return kinds[number % len(kinds)]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_pathological_answers_end_at_their_deadlines():
    """Power towers, nested factorials, 100 kB of digits, deep braces, NUL bytes: their neighbours stay right.

    `make proofs` has a thousand of them.
    """
    num = int(os.environ.get("RLVR_NUM_PATHOLOGICAL", "100"))
    verifier = MathVerifier(num_workers=2, deadline_s=0.25)
    items = []
    for number in range(num):
        items.append((Problem("q", "x+1"), rf"\boxed{{{pathological(number)}}}"))
        items.append((Problem("q", f"x+{number}"), rf"\boxed{{{number}+x}}" if number % 2 else r"\boxed{x-1}"))
    verdicts = verifier.verify(items)
    verifier.close()
    assert all(verdict.outcome is not Outcome.CORRECT for verdict in verdicts[::2])
    expected = [Outcome.CORRECT if number % 2 else Outcome.WRONG for number in range(num)]
    assert [verdict.outcome for verdict in verdicts[1::2]] == expected
    assert Outcome.ERROR not in {verdict.outcome for verdict in verdicts}
    assert [verdict.outcome for verdict in verdicts[::10]] == [Outcome.TIMEOUT] * (num // 5), "the power towers"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 1024**2  # KiB: the caller holds what it was given


def test_a_killed_worker_does_not_take_the_caller_with_it():
    """Every worker is killed; the verdicts after it are right."""
    verifier = MathVerifier(num_workers=1, deadline_s=3.0)
    assert outcome(verifier, "x+1", r"\boxed{1+x}") is Outcome.CORRECT
    assert workers()
    for worker in workers():
        os.kill(worker, signal.SIGKILL)
    first = outcome(verifier, "x+2", r"\boxed{2+x}")
    assert first in (Outcome.CORRECT, Outcome.ERROR)
    assert outcome(verifier, "x+3", r"\boxed{3+x}") is Outcome.CORRECT
    verifier.close()


def workers() -> list[int]:
    """Servers of workers: the children of this process."""
    return [child.pid for child in psutil.Process().children()]


def test_a_gold_answer_that_is_no_mathematics_is_named(verifier):
    with pytest.raises(ProblemError) as caught:
        verifier.check_problems([Problem("fine", "3"), Problem("bad", r"\begin{")])
    assert "1 of 2 problems" in str(caught.value)
    assert "'bad' has answer" in str(caught.value)


@pytest.mark.slow
def test_every_gold_answer_of_math500_is_correct_against_itself(verifier, shared_data):
    problems = load_problems(str(shared_data / "math500_test.jsonl"))
    verdicts = verifier.verify([(problem, rf"\boxed{{{problem.answer}}}") for problem in problems])
    wrong = [problem.answer for problem, verdict in zip(problems, verdicts, strict=True) if not verdict.correct]
    assert wrong == []


def test_nothing_is_started_for_answers_that_strings_decide():
    verifier = MathVerifier(num_workers=1)
    assert outcome(verifier, "18", "#### 18") is Outcome.CORRECT
    assert outcome(verifier, "18", "#### 17") is Outcome.WRONG
    assert not verifier.pool.running
