r"""The math verifier: forms of an answer, pathological answers, killed workers."""

import os
import resource
import signal

import psutil
import pytest

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems import Problem, load_problems
from rlvr.sandbox.pool import TaskFailure
from rlvr.verifiers import make_verifier
from rlvr.verifiers.answers.math import MathVerifier
from rlvr.verifiers.verdicts import Outcome, modes_of
from scripts.answer_cases import HOSTILE, honest_items, hostile_answers, wrong_cases


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
    assert modes_of(MathVerifier("strict").verifier_id) == ("strict", "lenient")
    assert modes_of(MathVerifier().verifier_id) == ("lenient", "strict")


def test_pathological_answers_end_and_leave_their_neighbours_alone(verifier, monkeypatch):
    """A power tower hangs sympy; others are large, deep or hold control characters. Their neighbours stay right."""
    monkeypatch.setattr(verifier.pool, "deadline_s", 1.0)
    hostile = ["9^{9^{9^{9}}}", "9" * 100_000, "{" * 5000 + "1" + "}" * 5000, "1\x002", r"\frac{" * 500]
    items = []
    for text in hostile:
        items += [(Problem("q", "x+1"), rf"\boxed{{{text}}}"), (Problem("q", r"\frac{1}{4}"), r"\boxed{0.25}")]
    verdicts = verifier.verify(items)
    assert verdicts[0].outcome is Outcome.TIMEOUT
    assert verdicts[0].reason == "numbers of more than 5,000 digits"
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
    assert verdicts[0].reason == "numbers of more than 5,000 digits", "no worker is killed for them"
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
    """Servers of workers: children of this process, which may have others."""
    return [child.pid for child in psutil.Process().children() if "-c" in child.cmdline()]


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


@pytest.mark.parametrize(
    "answer",
    [
        r"[1,0:0]",
        r"\frac{1}{0}",
        "0:0",
        r"x \neq 4",
        r"\log 0",
        r"\infty - \infty",
        "nan",
        r"\begin{pmatrix} 1 & 2 \\ 3",
    ],
)
@pytest.mark.parametrize("gold", ["[1,2]", "x+1", r"\frac{1}{\pi}", r"x \neq 3", "12:00", "7:00", r"\sqrt{2}", "(1,2)"])
def test_no_answer_makes_an_error(verifier, gold, answer):
    """`[1,0:0]` raised within math-verify, and an `error` is masked in training."""
    assert outcome(verifier, gold, rf"\boxed{{{answer}}}") is Outcome.WRONG


@pytest.mark.parametrize(
    "gold", ["12:00", "7:00", r"x\neq 4", r"\{1\pm\sqrt{5},-2\}", r"x \equiv 2 \pmod{5}", r"2^{100000}"]
)
def test_golds_that_can_be_used_are_right_against_themselves(verifier, gold):
    verifier.check_problems([Problem("q", gold)])
    assert outcome(verifier, gold, rf"\boxed{{{gold}}}") is Outcome.CORRECT
    assert outcome(verifier, gold, r"\boxed{3x-17}") in (Outcome.WRONG, Outcome.TIMEOUT)


def test_an_answer_on_which_workers_die_is_no_error(verifier, monkeypatch):
    """Whoever could kill the worker would choose what is learned from."""
    problem = Problem("q", "x+1")
    run = verifier.pool.run

    def dies(tasks, read):
        return [TaskFailure(False, "the worker died") if task[2] == "x+5" else run([task], read)[0] for task in tasks]

    monkeypatch.setattr(verifier.pool, "run", dies)
    verdicts = verifier.verify([(problem, r"\boxed{x+5}"), (problem, r"\boxed{1+x}")])
    assert [verdict.outcome for verdict in verdicts] == [Outcome.TIMEOUT, Outcome.CORRECT]
    monkeypatch.setattr(verifier.pool, "run", lambda tasks, read: [TaskFailure(False, "no workers")] * len(tasks))
    assert outcome(verifier, "x+7", r"\boxed{x+8}") is Outcome.ERROR


@pytest.mark.parametrize(
    ("completion", "last", "every"),
    [
        (r"\boxed{3} and \boxed{-5}", Outcome.CORRECT, Outcome.CORRECT),
        (r"$x = \boxed{-5}$ or $x = \boxed{3}$.", Outcome.CORRECT, Outcome.CORRECT),
        (r"First \boxed{3}, by the second line. Then we see that there is \boxed{-5}.", Outcome.WRONG, Outcome.CORRECT),
        (r"\boxed{3, -5}", Outcome.CORRECT, Outcome.CORRECT),
        (r"Perhaps \boxed{4}? No. \boxed{3, -5}", Outcome.CORRECT, Outcome.WRONG),
        (r"\boxed{-5}", Outcome.WRONG, Outcome.WRONG),
        (r"\boxed{3} and \boxed{-5} and \boxed{7}", Outcome.WRONG, Outcome.WRONG),
    ],
)
def test_several_boxes(completion, last, every):
    gold = r"Hence $x=\boxed{3}$ or $x=\boxed{-5}$."
    assert outcome(MathVerifier(), gold, completion) is last
    assert outcome(MathVerifier(boxes="all"), gold, completion) is every
    assert outcome(MathVerifier(), "-5", r"\boxed{3} and \boxed{-5}") is Outcome.CORRECT, (
        "gold has one part: the last box"
    )


def test_options_are_read():
    made = make_verifier("math?workers=16&boxes=all&mode=strict&format=hash&think=off")
    assert (made.pool.num_workers, made.boxes, made.mode, made.form, made.think) == (16, "all", "strict", "hash", "off")
    assert make_verifier("math?workers=16").verifier_id == make_verifier("math").verifier_id
    assert make_verifier("math?boxes=all").verifier_id.endswith("&boxes=all")
    assert make_verifier("math?think=open").verifier_id.endswith("&think=open")
    assert make_verifier("math", think="open").verifier_id == make_verifier("math?think=open").verifier_id
    assert make_verifier("math?think=on", think="open").verifier_id == make_verifier("math").verifier_id
    with pytest.raises(RecipeError, match="expected one of on, open, off"):
        make_verifier("math?think=maybe")


def test_a_question_that_speaks_of_percent_says_what_a_gold_number_is(verifier):
    for question, expected in (
        ("What percent of it is gone?", Outcome.CORRECT),
        ("What share of it is gone?", Outcome.WRONG),
    ):
        assert verifier.verify([(Problem(question, "0.5"), r"\boxed{0.5\%}")])[0].outcome is expected


def test_hostile_answers_leave_honest_ones_right():
    """Of each kind some, on which no worker is killed; `scripts/bench_verifiers.py --only hostile` has 10,000."""
    verifier = MathVerifier(num_workers=2)
    hostile, honest = hostile_answers(2 * len(HOSTILE)), honest_items(60)
    items = [(Problem("q", "x+1"), rf"\boxed{{{answer}}}") for _, answer in hostile]
    items += [(Problem("q", gold), rf"\boxed{{{answer}}}") for gold, answer in honest]
    outcomes = [verdict.outcome for verdict in verifier.verify(items)]
    verifier.close()
    assert set(outcomes[: len(hostile)]) <= {Outcome.WRONG, Outcome.TIMEOUT}
    assert outcomes[len(hostile) :] == [Outcome.CORRECT] * len(honest)


@pytest.mark.slow
def test_a_formula_without_a_box_is_read(verifier, shared_data):
    """The last run of digits was read in place of the last formula: 341 of 500 were right."""
    golds = [problem.answer for problem in load_problems(str(shared_data / "math500_test.jsonl"))]
    text = "Therefore the result is $ANSWER$."
    right = verifier.verify([(Problem("q", gold), text.replace("ANSWER", gold)) for gold in golds])
    assert [gold for gold, verdict in zip(golds, right, strict=True) if not verdict.correct] == []
    cases = wrong_cases(golds, 300, seed=5)
    wrong = verifier.verify([(Problem("q", case.gold), text.replace("ANSWER", case.answer)) for case in cases])
    assert [case for case, verdict in zip(cases, wrong, strict=True) if verdict.correct] == []


def test_nothing_is_started_for_answers_that_strings_decide():
    verifier = MathVerifier(num_workers=1)
    assert outcome(verifier, "18", "#### 18") is Outcome.CORRECT
    assert outcome(verifier, "18", "#### 17") is Outcome.WRONG
    assert not verifier.pool.running
