r"""The choice verifier: forms of a letter, texts of options, several options at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems import Problem
from rlvr.verifiers import make_verifier
from rlvr.verifiers.verdicts import Outcome

CITIES = {"choices": ["Lyon", "Paris", "A dog", "New  York"]}


def judge(completion, gold="B", meta=None):
    return make_verifier("choice").verify([(Problem("q", gold, meta or {}), completion)])[0]


@pytest.mark.parametrize(
    "completion",
    [
        "B",
        "b",
        "(B)",
        "[B]",
        "B.",
        "B)",
        "**B**",
        r"\boxed{B}",
        r"\boxed{\text{B}}",
        r"\boxed{\textbf{(B)}}",
        r"So $\boxed{\mathrm{B}}$.",
        "the answer is B",
        "The answer is B.",
        "The correct answer is (B).",
        "The answer is: **B**",
        "Answer: B",
        "Answer: (b)",
        "**Answer:** B",
        "#### B",
        "A looks good, but C is out.\nB",
        "The answer is option B.",
        "The answer is B because A is too small.",
        "The answer is B, because 3 < 4.",
        "The answer is B. It could not be A.",
        "Answer: B) something",
        "The answer is A. No, the answer is B",
        "Option B",
    ],
)
def test_forms_of_a_letter(completion):
    assert judge(completion).outcome is Outcome.CORRECT
    assert judge(completion).answer == "B"
    assert judge(completion, gold="(C)").outcome is Outcome.WRONG


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "  \n ",
        "I do not know",
        "The answer is A or B",
        "The answer is (A), (B)",
        "The answer is A and B.",
        r"\boxed{A, B}",
        "The answer is A dog",
        "I think that it is hard",
        "A B C D",
        "BB",
        "the answer is",
    ],
)
def test_what_names_no_single_option_is_unparsed(completion):
    assert judge(completion).outcome is Outcome.UNPARSED


@pytest.mark.parametrize(
    ("completion", "gold", "expected"),
    [
        ("Paris", "B", Outcome.CORRECT),
        ("The answer is paris.", "B", Outcome.CORRECT),
        (r"\boxed{\text{Paris}}", "Paris", Outcome.CORRECT),
        ("The answer is A dog.", "C", Outcome.CORRECT),
        ("The answer is new york", "D", Outcome.CORRECT),
        ("The answer is B. Paris", "B", Outcome.CORRECT),
        ("The answer is B: Paris", "Paris", Outcome.CORRECT),
        ("The answer is B: Lyon", "B", Outcome.UNPARSED),
        ("The answer is Lyon. Lyon is large.", "B", Outcome.WRONG),
        ("Lyon", "B", Outcome.WRONG),
        ("The answer is F", "B", Outcome.WRONG),
        ("Berlin", "B", Outcome.UNPARSED),
        ("B", "Paris", Outcome.CORRECT),
    ],
)
def test_texts_of_options(completion, gold, expected):
    assert judge(completion, gold, CITIES).outcome is expected


def test_choices_may_be_an_object_and_letters_stand_before_texts():
    meta = {"choices": {"A": "B", "B": "A"}}
    assert judge("B", "B", meta).outcome is Outcome.CORRECT
    assert judge("A", "B", meta).outcome is Outcome.WRONG


@pytest.mark.parametrize(
    ("gold", "meta", "message"),
    [
        ("Paris", {}, "neither a letter"),
        ("Rome", CITIES, "neither a letter"),
        ("E", CITIES, "no option of this letter among 4"),
        ("A", {"choices": "Lyon"}, "neither a list"),
        ("A", {"choices": [1, 2]}, "neither a list"),
        ("A", {"choices": []}, "neither a list"),
        ("A or B", {}, "neither a letter"),
    ],
)
def test_problems_that_cannot_be_judged_are_named_and_are_errors(gold, meta, message):
    problem = Problem("Which?", gold, meta)
    with pytest.raises(ProblemError, match="1 of 2 problems cannot be judged by the choice verifier") as caught:
        make_verifier("choice").check_problems([Problem("q", "A"), problem])
    assert message in str(caught.value)
    assert make_verifier("choice").verify([(problem, "A")])[0].outcome is Outcome.ERROR


def test_it_takes_no_options():
    with pytest.raises(RecipeError, match="unknown option 'case'; it takes none"):
        make_verifier("choice?case=keep")


@given(st.text(max_size=300), st.sampled_from(["A", "B", "Paris"]))
def test_any_text_has_a_verdict(completion, gold):
    verdict = judge(completion, gold, CITIES)
    assert verdict.outcome in (Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED)
    assert (verdict.answer is None) == (verdict.outcome is Outcome.UNPARSED)


@given(st.sampled_from("ABCDEFG"), st.sampled_from("ABCDEFG"))
def test_a_boxed_letter_is_correct_exactly_when_it_is_the_gold_one(gold, answer):
    assert judge(rf"It is \boxed{{{answer}}}.", gold).correct == (gold == answer)


@pytest.mark.parametrize(
    "text", ["A, " * 100_000, "(" * 100_000, "answer is " * 50_000, "\\boxed{" * 50_000, "*" * 100_000]
)
def test_long_texts_are_judged_at_once(text):
    assert judge(text, meta=CITIES).outcome in (Outcome.UNPARSED, Outcome.WRONG)
