"""Caps: what is refused before it is computed, and what is not."""

import pytest
from sympy import E, Integer, Pow, Rational, Sum, Symbol, binomial, factorial

from rlvr.verifiers.answers.equality.limits import MAX_CHARS, MAX_DEPTH, expression_fault, text_fault

x, k = Symbol("x"), Symbol("k")


def power(base, exponent):
    return Pow(base, exponent, evaluate=False)


@pytest.mark.parametrize(
    "expression",
    [
        power(9, power(9, 9)),
        power(9, power(9, power(9, 9))),
        power(Rational(1, 3), 10**9),
        factorial(factorial(9, evaluate=False), evaluate=False),
        factorial(10**6, evaluate=False),
        binomial(10**9, 10**8, evaluate=False),
        Sum(k, (k, 1, 10**9)),
        power(E, power(E, power(E, 10))),
        power(x + 1, 2) + power(10, 10**5),
    ],
)
def test_numbers_without_end_are_refused(expression):
    assert "digits" in expression_fault(expression)


@pytest.mark.parametrize(
    "expression",
    [
        power(2, 2023),
        factorial(100, evaluate=False),
        factorial(factorial(5, evaluate=False), evaluate=False),
        binomial(100, 50, evaluate=False),
        power(x + 1, 200),
        power(10, -300),
        Sum(k, (k, 1, 100)),
        Integer(7**900),
    ],
)
def test_numbers_that_people_write_are_computed(expression):
    assert expression_fault(expression) is None


def test_long_and_deep_texts_are_refused_unless_gold_is_so():
    long, deep = "+".join(["x"] * MAX_CHARS), "(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1)
    assert "characters" in text_fault(long)
    assert "deeper" in text_fault(deep)
    assert "digits" in text_fault("7" * 200)
    assert text_fault(long, gold=long) is text_fault(deep, gold=deep) is text_fault("7" * 200, gold="7" * 200) is None
    assert text_fault(r"\frac{1}{2}") is None
    assert expression_fault(sum(x**n for n in range(500))) is not None
