"""What a prompt format refuses, and where it says that reasoning stands."""

import pytest

from rlvr.errors import RecipeError
from rlvr.problems.prompts import THINK_MODES, PromptFormat
from rlvr.verifiers import make_verifier
from rlvr.verifiers.answers.extraction import Think


def test_formats_and_verifiers_have_the_same_places_of_reasoning():
    assert [str(each) for each in Think] == list(THINK_MODES)
    assert PromptFormat().think == "on"
    with pytest.raises(RecipeError, match="prompt_think: 'maybe' is not known; use one of on, open, off"):
        PromptFormat(think="maybe")


@pytest.mark.parametrize(
    "name", ["math", "numeric", "choice", "exact", "countdown", "code?isolation=none", "math?mode=strict"]
)
def test_a_verifier_judges_as_the_prompt_format_says(name):
    default, opened = make_verifier(name), make_verifier(name, PromptFormat(think="open").think)
    assert opened.verifier_id.removesuffix("think=open") in (f"{default.verifier_id}?", f"{default.verifier_id}&")
    assert opened.think is Think.OPEN
