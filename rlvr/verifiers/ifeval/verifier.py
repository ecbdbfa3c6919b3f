"""The verifier `ifeval`: correct where a text follows all instructions of its problem.

Owns: strict and loose accuracy, and what part of the instructions is worth.
Does not own: the instructions (`rlvr.verifiers.ifeval.instructions`).

Strict: the text as it is. Loose: an instruction is followed, too, where it is by the text without its first line, its
last line or both, or by any of these without asterisks, so that "Sure, here it is:" and Markdown do no harm.

Source: Zhou et al. 2023, 2311.07911, section 3 (loose accuracy, equation 2).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.verifiers.base import PlainVerifier, decided, unparsed
from rlvr.verifiers.ifeval.instructions import Asked, asked_of
from rlvr.verifiers.verdicts import Mode, Outcome, Verdict

NAME, VERSION = "ifeval", 1
MODES = (Mode.STRICT, Mode.LOOSE)
CREDITS = ("all", "fraction")


class IfevalVerifier(PlainVerifier):
    """Judges whether a text follows every instruction; the answer of a verdict says how many.

    Args:
        mode: `strict` or `loose`; the other one's outcome stands in `Verdict.other`.
        credit: `all`: the reward is 1 where all are followed. `fraction`: it is the share that is followed.

    Example:
        >>> problem = Problem("Say it.", "", {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]})
        >>> IfevalVerifier().verify([(problem, "Well, no.")])[0].outcome
        <Outcome.WRONG: 'wrong'>
    """

    expected = "meta.instruction_id_list and meta.kwargs as google/IFEval has them"

    def __init__(self, mode: str = MODES[0], credit: str = CREDITS[0]) -> None:
        self.mode, self.credit = Mode(mode), credit
        self.verifier_id = f"{NAME}@{VERSION}?mode={mode}&credit={credit}"

    @classmethod
    def of(cls, spec: Spec) -> "IfevalVerifier":
        """Returns the verifier of a recipe's string."""
        spec.only("mode", "credit")
        return cls(spec.choice("mode", MODES), spec.choice("credit", CREDITS))

    def fault(self, problem: Problem) -> str | None:
        """Returns what is wrong with the instructions, or None."""
        try:
            asked_of(problem)
        except ValueError as error:
            return str(error)
        return None

    def judge(self, problem: Problem, completion: str) -> Verdict:
        """Returns whether the text follows all instructions; `unparsed` where there is no text."""
        if not completion.strip():
            return unparsed("the text is empty")
        asked, forms = asked_of(problem), list(loose_forms(completion))
        strict = [each.is_followed(completion) for each in asked]
        loose = [is_strict or any(map(each.is_followed, forms)) for is_strict, each in zip(strict, asked, strict=True)]
        shown, other = (strict, loose) if self.mode is Mode.STRICT else (loose, strict)
        verdict = decided(all(shown), f"{sum(shown)} of {len(shown)}", _reason(asked, shown))
        score = sum(shown) / len(shown) if self.credit == "fraction" else None
        return replace(verdict, other=Outcome.CORRECT if all(other) else Outcome.WRONG, score=score)


def loose_forms(text: str) -> Iterator[str]:
    """Yields the other texts by which an instruction is followed loosely."""
    lines = text.split("\n")
    for start, stop in ((0, None), (1, None), (0, -1), (1, -1)):
        form = "\n".join(lines[start:stop]).strip()
        if start or stop:
            yield form
        yield form.replace("*", "")


def _reason(asked: Sequence[Asked], followed: Sequence[bool]) -> str:
    """Returns which instructions are not followed."""
    broken = [each.name for each, is_followed in zip(asked, followed, strict=True) if not is_followed]
    return f"not followed: {', '.join(broken)}" if broken else ""
