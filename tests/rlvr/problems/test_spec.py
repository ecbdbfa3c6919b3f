"""Specs of recipes: `name?key=value&...`."""

import pytest

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems.spec import parse_spec

KNOWN = ("limit", "deadline")


def test_name_and_options():
    spec = parse_spec("code?limit=3&deadline=2.5", "verifier").only(*KNOWN)
    assert (spec.name, dict(spec.options)) == ("code", {"limit": "3", "deadline": "2.5"})
    assert spec.integer("limit", at_least=1) == 3
    assert spec.number("deadline", 7.0, above=0, at_most=10) == 2.5
    assert parse_spec("code", "verifier").integer("limit", at_least=1) is None
    assert parse_spec("code", "verifier").number("deadline", 7.0, above=0, at_most=10) == 7.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code?limti=3", "unknown option 'limti'; did you mean 'limit'?"),
        ("code?x=3", "expected one of limit, deadline"),
        ("code?limit=3&limit=4", "is given twice"),
        ("code?limit=", "has no value"),
        ("code?limit", "not key=value"),
    ],
)
@pytest.mark.parametrize("error", [RecipeError, ProblemError])
def test_faults_of_the_grammar(text, message, error):
    with pytest.raises(error) as caught:
        parse_spec(text, "problems", error).only(*KNOWN)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"problems: {text!r}")


@pytest.mark.parametrize("value", ["-1", "0", "1.5", "many", "1e3", "11", "9" * 30])
def test_an_integer_out_of_range(value):
    spec = parse_spec(f"code?limit={value}", "verifier")
    with pytest.raises(RecipeError, match="limit is"):
        spec.integer("limit", at_least=1, at_most=10)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e3", "10.5", "much"])
def test_a_number_out_of_range(value):
    spec = parse_spec(f"code?deadline={value}", "verifier")
    with pytest.raises(RecipeError, match="expected a number above 0 and at most 10"):
        spec.number("deadline", 7.0, above=0, at_most=10)
