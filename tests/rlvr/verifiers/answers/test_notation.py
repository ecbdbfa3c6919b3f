"""Two notations of one answer: normal forms, and what strings decide about numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.verifiers.answers.notation import clean, is_plain, is_words, normal_form, same_number


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
        (r"\textit{x}", r"\textit{x}"),
        ("New  York", "NewYork"),
    ],
)
def test_normal_forms(answer, form):
    assert normal_form(answer) == form


def test_what_is_cleaned_can_still_be_parsed():
    assert clean(r"\left(\tfrac{1}{2},\ 3\right) \\") == r"(\frac{1}{2}, 3)"


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("0.5", "1/2", True),
        (r"\frac{1}{2}", "50%", True),
        ("50", "50%", True),
        ("1", "2", False),
        ("1", "one", False),
        ("0.333333", "1/3", None),
        ("x", "1", None),
        ("1", "x+1", None),
    ],
)
def test_what_strings_decide_about_numbers(gold, answer, expected):
    assert same_number(gold, answer) is expected


@given(st.fractions(-50, 50, max_denominator=60), st.fractions(-50, 50, max_denominator=60))
def test_numbers_are_compared_exactly(gold, answer):
    same = same_number(normal_form(str(gold)), normal_form(str(answer)))
    assert same is (gold == answer)
    over, under = answer.numerator, answer.denominator
    assert same_number(normal_form(str(gold)), normal_form(rf"\dfrac{{{over}}}{{{under}}}")) is same
    rounded = same_number(normal_form(str(gold)), normal_form(f"{float(answer):.9f}"))
    assert rounded in (same, None)  # a rounded value is left to math-verify


def test_gold_answers_that_need_no_parser():
    assert [is_plain(normal_form(gold)) for gold in ("12", "-0.5", "a few words", "1/2", "x^2")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert [is_words(gold) for gold in (r"\text{east}", r"\textbf{two words}", r"\text{5}", r"\mathrm{x}", "east")] == [
        True,
        True,
        False,
        False,
        False,
    ]
