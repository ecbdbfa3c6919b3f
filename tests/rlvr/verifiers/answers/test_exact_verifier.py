r"""The exact verifier: what counts as the same string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems import Problem
from rlvr.verifiers import make_verifier
from rlvr.verifiers.verdicts import Outcome


def outcome(completion, gold="New York", spec="exact") -> Outcome:
    return make_verifier(spec).verify([(Problem("q", gold), completion)])[0].outcome


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("New York", Outcome.CORRECT),
        (" New   York \n", Outcome.CORRECT),
        ("The answer is New York.", Outcome.CORRECT),
        ("The answer is New York. It is large.", Outcome.CORRECT),
        (r"\boxed{\text{New York}}", Outcome.CORRECT),
        ("Thinking...\n#### New York", Outcome.CORRECT),
        ('Answer: "New York"', Outcome.CORRECT),
        ("Answer: **New York**", Outcome.CORRECT),
        ("First, Boston.\nNew York", Outcome.CORRECT),
        ("new york", Outcome.WRONG),
        ("NewYork", Outcome.WRONG),
        ("I say New York", Outcome.WRONG),
        (r"\boxed{Boston} New York", Outcome.WRONG),
        ("", Outcome.UNPARSED),
        (" \n\t", Outcome.UNPARSED),
    ],
)
def test_by_hand(completion, expected):
    assert outcome(completion) is expected


@pytest.mark.parametrize(
    ("spec", "completion", "expected"),
    [
        ("exact?case=ignore", "NEW york", Outcome.CORRECT),
        ("exact?space=ignore", "NewYork", Outcome.CORRECT),
        ("exact?space=ignore", "newyork", Outcome.WRONG),
        ("exact?space=ignore&case=ignore", "n e w y o r k", Outcome.CORRECT),
        ("exact?space=keep", "New  York", Outcome.WRONG),
        ("exact?space=keep", "New York", Outcome.CORRECT),
    ],
)
def test_options(spec, completion, expected):
    assert outcome(completion, spec=spec) is expected


def test_the_id_names_every_option():
    assert make_verifier("exact").verifier_id == "exact@2?case=keep&space=collapse"
    assert make_verifier("exact?case=ignore").verifier_id == "exact@2?case=ignore&space=collapse"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("exact?cas=ignore", "unknown option 'cas'; did you mean 'case'"),
        ("exact?case=lower", "case is 'lower'; expected one of keep, ignore"),
        ("exact?case", "not key=value"),
        ("exact?case=keep&case=keep", "is given twice"),
        ("exact?case=", "has no value"),
        ("exactly", "did you mean 'exact'"),
    ],
)
def test_a_bad_option_is_one_clear_error(spec, message):
    with pytest.raises(RecipeError) as caught:
        make_verifier(spec)
    assert message in str(caught.value)


def test_an_empty_gold_answer_is_named():
    with pytest.raises(ProblemError, match="exact verifier"):
        make_verifier("exact").check_problems([Problem("q", "''")])


@given(st.text(alphabet=st.characters(categories=["L", "N", "Zs"]), min_size=1, max_size=40).filter(str.strip))
def test_every_gold_answer_is_correct_against_itself(gold):
    for completion in (gold, rf"\boxed{{{gold}}}", f"#### {gold}"):
        assert outcome(completion, gold) is Outcome.CORRECT
