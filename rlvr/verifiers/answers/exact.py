r"""The exact verifier: is the final answer the same string as the gold answer?

Owns: what counts as the same string.
Does not own: finding the answer in a text (`rlvr.verifiers.answers.extraction`).
"""

from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.verifiers.answers.extraction import bare, final_text, first_sentence, gold_text
from rlvr.verifiers.base import PlainVerifier, decided, unparsed
from rlvr.verifiers.verdicts import Verdict

CASES = ("keep", "ignore")
SPACES = ("collapse", "ignore", "keep")


class ExactVerifier(PlainVerifier):
    r"""Judges by equality of strings.

    Quotes, asterisks, `\text{...}` and a final full stop around either string do not count. Where an answer is stated
    in a sentence, its first sentence may be the answer: "The answer is Paris. It lies on the Seine."

    Args:
        case: `keep` or `ignore`.
        space: `collapse` (one blank equals many), `ignore` (none equals many) or `keep`.

    Example:
        >>> verifier = ExactVerifier(case="ignore")
        >>> verifier.verify([(Problem("Capital of France?", "Paris"), "The answer is PARIS.")])[0].outcome
        <Outcome.CORRECT: 'correct'>
    """

    expected = "a text"

    def __init__(self, case: str = CASES[0], space: str = SPACES[0]) -> None:
        self.case, self.space = case, space
        self.verifier_id = f"exact@2?case={case}&space={space}"

    @classmethod
    def of(cls, spec: Spec) -> "ExactVerifier":
        """Returns the verifier of a recipe's string."""
        spec.only("case", "space")
        return cls(spec.choice("case", CASES), spec.choice("space", SPACES))

    def fault(self, problem: Problem) -> str | None:
        """Returns what makes a gold answer unusable, or None."""
        return None if self._form(gold_text(problem)) else "nothing to compare"

    def judge(self, problem: Problem, completion: str) -> Verdict:
        """Returns whether the final text, or its first sentence, is the gold answer."""
        final = final_text(completion)
        if final is None:
            return unparsed()
        gold, answer = self._form(gold_text(problem)), self._form(final.text)
        return decided(gold in (answer, self._form(first_sentence(final.text))), answer)

    def _form(self, text: str) -> str:
        """Returns the form in which equal answers are the same string."""
        form = bare(text).removesuffix(".")
        if self.space != "keep":
            form = (" " if self.space == "collapse" else "").join(form.split())
        return form.casefold() if self.case == "ignore" else form
