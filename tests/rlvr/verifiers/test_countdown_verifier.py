"""The Countdown verifier against Python's own arithmetic, and against hostile text."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.errors import ProblemError
from rlvr.problems import Problem
from rlvr.problems.countdown import random_expression
from rlvr.verifiers.countdown import CountdownVerifier
from rlvr.verifiers.verdicts import Outcome


def problem(numbers, target) -> Problem:
    return Problem("q", str(target), {"numbers": list(numbers), "target": target})


def outcome(numbers, target, text) -> Outcome:
    return CountdownVerifier().verify([(problem(numbers, target), text)])[0].outcome


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3*5+7", Outcome.CORRECT),
        (" 7 + 3 * 5 ", Outcome.CORRECT),
        ("(3*5)+7", Outcome.CORRECT),
        ("3+5*7", Outcome.WRONG),
        ("3*5+7+0", Outcome.WRONG),
        ("22", Outcome.WRONG),
        ("3*5", Outcome.WRONG),
        ("3*5+7=22", Outcome.UNPARSED),
        ("", Outcome.UNPARSED),
        ("--3*5+7", Outcome.UNPARSED),
        ("3**5+7", Outcome.UNPARSED),
        ("3//5+7", Outcome.UNPARSED),
        ("__import__('os')", Outcome.UNPARSED),
        ("3/(5-5)+7", Outcome.WRONG),
        ("(" * 90 + "3*5+7" + ")" * 90, Outcome.CORRECT),
        ("(" * 5000, Outcome.UNPARSED),
        ("9" * 10_000, Outcome.UNPARSED),
        ("3*5+7\x00", Outcome.UNPARSED),
    ],
)
def test_by_hand(text, expected):
    assert outcome([3, 5, 7], 22, text) == expected


def test_fractions_are_exact():
    assert outcome([1, 3, 3], 1, "1/3*3") == Outcome.CORRECT
    assert outcome([8, 3, 8, 3], 24, "8/(3-8/3)") == Outcome.CORRECT


@given(st.lists(st.integers(1, 30), min_size=2, max_size=5), st.randoms(use_true_random=False), st.integers(-3, 3))
def test_a_random_expression_is_correct_exactly_when_its_value_is_the_target(numbers, rng, off):
    text, value = random_expression(rng, tuple(numbers))
    assert Fraction(eval(text)) == value
    assert (outcome(numbers, value + off, text) == Outcome.CORRECT) == (off == 0)


def test_equal_expressions_have_equal_answers():
    items = [(problem([3, 5, 7], 22), text) for text in ("3*5+7", " (3*5) + 7", "7+3*5")]
    answers = [verdict.answer for verdict in CountdownVerifier().verify(items)]
    assert answers[0] == answers[1] == "3*5+7"
    assert answers[2] == "7+3*5"


def test_problems_without_numbers_are_named_before_training():
    with pytest.raises(ProblemError, match="numbers"):
        CountdownVerifier().check_problems([Problem("q", "1")])
