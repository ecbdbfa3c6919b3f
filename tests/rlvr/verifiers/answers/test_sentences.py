"""What a sentence says in the end, and what it only denies, bounds or mentions."""

import pytest

from rlvr.verifiers.answers.extraction import find_answer
from rlvr.verifiers.answers.sentences import formulas_of, last_said


def said(text: str) -> str | None:
    found = find_answer(text)
    return found and found.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"Therefore the result is $\frac{3}{4}$.", r"\frac{3}{4}"),
        (r"Therefore the result is \(\frac{3}{4}\).", r"\frac{3}{4}"),
        (
            "Therefore the result is\n\\[ \\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}. \\]\n",
            r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
        ),
        (r"Therefore the result is $$x^2+1$$", "x^2+1"),
        (r"Therefore the result is \frac{3}{4}.", r"\frac{3}{4}"),
        ("Therefore the result is (3, 4).", "(3, 4)"),
        (r"so $x=\sqrt{5}$, which is about 2.236.", r"x=\sqrt{5}"),
        (r"We find $5$ km.", r"5 \text{ km}"),
        (r"We find $50$%.", r"50\%"),
        (r"The solutions are $1$ and $-2$.", "1, -2"),
        ("There are $12$ eggs, and we sell 3, so 9 are left.", "9"),
        ("He has $5 and pays $20, so 15 are left.", "15"),
        ("We use $n=3$ first. He has 12 apples.", "12"),
        ("He can buy at most 5 apples", "5"),
        ("It is 41, not 42.", "41"),
        ("The answer is not 42 but 41.", "41"),
        ("The answer is $3$ or $4$", "3, 4"),
    ],
)
def test_the_last_formula_or_number_is_the_answer(text, expected):
    assert said(text) == expected


DENIALS = (
    "The answer is not {}.",
    "6 * 7 is {0}. The answer is not {0}.",
    "The answer isn't {}",
    "It is not {}.",
    "It can never be {}.",
    "{} is not the answer.",
    "{} is wrong.",
    "The result lies between 4 and {}.",
    "It is from 4 to {}.",
    "It is 4-{}, I think",
    "The answer is at least {}.",
    "The answer is less than {}.",
    "The result is greater than {}.",
    "It cannot be {}",
)


@pytest.mark.parametrize("form", DENIALS)
@pytest.mark.parametrize("value", ["42", "$42$", r"$\sqrt{2}$"])
def test_denials_and_ranges_are_no_answer(form, value):
    assert said(form.format(value)) is None


def test_dollars_around_prose_are_money():
    assert formulas_of("costs $5, $6 and $7") == []
    assert formulas_of("He pays $12 for two and $15 for three") == []
    assert [each.text for each in formulas_of("$x$ for $12$")] == ["x", "12"]


@pytest.mark.parametrize("text", ["", "no numbers", "$" * 500, r"\(" * 500, "1" * 5000, "not " * 1000 + "4"])
def test_any_text_is_read(text):
    found = last_said(text)
    assert found is None or found.text
