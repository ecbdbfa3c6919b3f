"""Two notations of one answer: normal forms, and what strings decide about numbers."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.verifiers.answers.notation import clean, exact_value, normal_form, tidy


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ("$1{,}000.50$.", "1000.5"),
        (r"\text{(B)}", "B"),
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        (r"90^\circ", "90"),
        ("12 dollars", "12"),
        ("1 000 000", "1000000"),
        ("-0.0", "0"),
        ("+.50", "0.5"),
        (r"0.1\overline{6}", r"\frac{15}{90}"),
        (r"\left( 3, 4 \right)", "(3,4)"),
        (r"\textit{x}", "x"),
        ("New  York", "NewYork"),
    ],
)
def test_normal_forms(answer, form):
    assert normal_form(answer) == form


def test_what_is_cleaned_can_still_be_parsed():
    assert clean(r"\left(\tfrac{1}{2},\ 3\right) \\") == r"(\frac{1}{2}, 3)"


@given(st.fractions(-50, 50, max_denominator=60))
def test_written_numbers_have_exact_values(value):
    over, under = value.numerator, value.denominator
    texts = [str(value), rf"\dfrac{{{over}}}{{{under}}}", rf"{over} / {under}", f"{over}00/{under}00"]
    assert [exact_value(tidy(text)) for text in texts] == [value] * 4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234", 1234),
        ("1 234 567", 1234567),
        (r"10,\! 080", 10080),
        ("1.5e3", 1500),
        (r"1.5 \times 10^{-3}", Fraction(3, 2000)),
        (r"-10^{2}", -100),
        (r"2\frac{1}{3}", Fraction(7, 3)),
        ("-1 1/2", Fraction(-3, 2)),
        (r"0.\overline{3}", Fraction(1, 3)),
        (r"\text{18}", 18),
        ("{{18}}", 18),
        ("3, 100", None),
        ("1,23", None),
        (r"\frac{1}{0}", None),
        ("10^{1000}", None),
        ("x", None),
        ("", None),
    ],
)
def test_values_of_written_numbers(text, value):
    assert exact_value(tidy(text)) == value
