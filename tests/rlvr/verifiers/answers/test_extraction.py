r"""Where an answer stands: the forms of a formula, the final text of prose, and what sets the two readings apart."""

import pytest

from rlvr.problems import Problem
from rlvr.verifiers.answers.extraction import (
    Form,
    Think,
    all_boxed,
    answer_part,
    final_text,
    find_answer,
    gold_text,
    joined_boxed,
    last_boxed,
)
from rlvr.verifiers.answers.sentences import MAX_LINE_CHARS


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (r"So \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{1} or rather \boxed{2}", "2"),
        ("He pays 5.\n#### 18", "18"),
        ("The answer is 42.", "42"),
        ("first 3 then 4", "4"),
        ("no number here", None),
        ("", None),
    ],
)
def test_the_answer_of_a_completion(completion, expected):
    found = find_answer(completion)
    assert (found and found.text) == expected


ALL = "It is 1.\nThe answer is 2 apples. Check: \\boxed{3}\n#### 4\nor 5"


@pytest.mark.parametrize(("form", "text"), [("boxed", "3"), ("hash", "4"), ("stated", "2"), ("number", "5")])
def test_the_form_asked_for_comes_first(form, text):
    assert find_answer(ALL, Form(form)) == (form, text)
    assert find_answer("so 7", Form(form)) == ("number", "7")


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (r"\boxed{\text{Paris}} is the answer: no", ("boxed", "Paris")),
        ("#### Paris\nThe answer is Rome", ("stated", "Rome")),
        ("The answer is Rome\n#### Paris", ("hash", "Paris")),
        ("The answer is Rome. I mean: answer:", ("stated", "Rome. I mean: answer:")),
        ("#### 3\nanswer:", ("hash", "3")),
        ("Answer:\n\n**Paris**\n", ("stated", "Paris")),
        ('**Answer:** "$x$"', ("stated", "x")),
        ("one\ntwo\n \n", (None, "two")),
        ("\\boxed{}\n####", (None, "####")),
        (" \n*", None),
    ],
)
def test_the_final_text_of_a_completion(completion, expected):
    assert final_text(completion) == expected


@pytest.mark.parametrize(
    ("completion", "formula", "prose"),
    [
        ("4 or so. Answer:\n5.", ("number", "5"), ("stated", "5.")),
        ("The answer is\n: 5", ("stated", "5"), ("stated", ": 5")),
        ("answer" + " " * 21 + "is 5", ("stated", "5"), (None, "answer" + " " * 21 + "is 5")),
        ("##### 5", ("hash", "5"), ("hash", "# 5")),
        (r"The answer is 1\! 2. Yes", ("stated", r"1\! 2"), ("stated", r"1\! 2. Yes")),
        ("The answer is $x$ or 4", ("stated", "x, 4"), ("stated", "$x$ or 4")),
        ("The answer is 12 apples. Or 3", ("stated", "12"), ("stated", "12 apples. Or 3")),
        (r"The answer is \textit{B}", ("stated", r"\textit{B}"), ("stated", "B")),
        ('The answer is "\t".', ("stated", "\t"), ("stated", ".")),
        ("#### 3\nThe answer is 4", ("hash", "3"), ("stated", "4")),
    ],
)
def test_formulas_and_prose_are_read_differently(completion, formula, prose):
    """Verdicts that are stored under one verifier's id depend on each of these."""
    assert find_answer(completion, Form.HASH) == formula
    assert final_text(completion) == prose


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{1} \boxed{2", "1"),
        (r"\boxed{ }\fbox{3}", "3"),
        (r"\boxed{\boxed{4}}", "4"),
        (r"\boxed{a\}b}", r"a\}b"),
        (r"\boxed {\{1, 2\}}", r"\{1, 2\}"),
        ("{5}", None),
    ],
)
def test_the_last_box_that_is_closed(text, expected):
    assert last_boxed(text) == expected


def test_a_worked_solution_is_reduced_to_its_box():
    assert gold_text(Problem("q", r"Since 2 + 2 = 4, \boxed{4}.")) == "4"
    assert gold_text(Problem("q", "4 apples")) == "4 apples"


def test_a_final_text_is_bounded():
    found = final_text("#### " + "x" * 10 * MAX_LINE_CHARS)
    assert found is not None
    assert found.text == "x" * MAX_LINE_CHARS


@pytest.mark.parametrize(
    ("completion", "on", "opened", "off"),
    [
        ("4", "4", None, "4"),
        ("<think>3</think>4", "4", "4", "<think>3</think>4"),
        ("3</think>4", "4", "4", "3</think>4"),
        ("<think>3", None, None, "<think>3"),
        ("<think>3</think>4<think>5", None, None, "<think>3</think>4<think>5"),
        ("<think>1</think>2<think>3</think>4", "4", "4", "<think>1</think>2<think>3</think>4"),
    ],
)
def test_the_part_that_may_be_an_answer(completion, on, opened, off):
    assert [answer_part(completion, think) for think in (Think.ON, Think.OPEN, Think.OFF)] == [on, opened, off]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{1} and \boxed{-2}", "1, -2"),
        (r"$\boxed{1}$, $\boxed{2}$ or $\boxed{3}$.", "1, 2, 3"),
        (r"x = \boxed{1} \text{ or } x = \boxed{-2}", "1, -2"),
        (r"$x = \boxed{1}$ and $y = \boxed{-2}$", "x=1, y=-2"),
        (r"\boxed{1}, so that the sum is \boxed{3}", "3"),
        (r"\boxed{4} \boxed{4}", "4"),
        (r"see \boxed{7}", "7"),
        ("none", None),
    ],
)
def test_boxes_that_separators_join(text, expected):
    assert joined_boxed(text) == expected
    assert gold_text(Problem("q", text)) == (expected or text)


def test_all_boxes_count_once():
    assert all_boxed(r"\boxed{1} then \boxed{2}, again \boxed{1} and \boxed{}") == ["1", "2"]
