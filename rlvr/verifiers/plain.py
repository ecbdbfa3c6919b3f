r"""What the verifiers without worker processes share: the final text of a completion, and the loop over a batch.

Owns: `final_text`, `PlainVerifier`.
Does not own: how an answer is judged (`choice`, `exact`, `numeric`), answers in mathematics
(`rlvr.verifiers.answers.extraction`).
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from rlvr.problems import Problem
from rlvr.verifiers.answers.extraction import MAX_LINE_CHARS, last_boxed
from rlvr.verifiers.gold import refuse_unusable
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict

DECORATION = " \t\r\n*`\"'"

_STATED = re.compile(r"####|\banswer[\s*]{0,20}(?:is[ \t]{0,20}:?|:|=)", re.IGNORECASE)
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


class Place(StrEnum):
    r"""Where a final text stands: in `\boxed{...}`, after `####` or "answer is", or unmarked, as the last line."""

    BOXED = "boxed"
    STATED = "stated"
    LAST_LINE = "last line"


class FinalText(NamedTuple):
    """The text that a completion ends with, and where it stands."""

    place: Place
    text: str


def final_text(completion: str) -> FinalText | None:
    r"""Returns the final text of a completion, at most `MAX_LINE_CHARS` of it, or None of an empty one.

    In this order: the last `\boxed{...}`, the rest of the line after the last `####`, "answer is" or "answer:" that is
    followed by something, the last line that is not blank. `\text{...}` around words is taken off.
    """
    boxed = last_boxed(completion)
    if boxed is not None:
        return FinalText(Place.BOXED, bare(boxed))
    ends = [match.end() for match in _STATED.finditer(completion)]
    for end in reversed(ends[-2:]):
        line = bare(completion[end:].lstrip(DECORATION).partition("\n")[0])
        if line:
            return FinalText(Place.STATED, line)
    lines = completion.strip().rpartition("\n")[2]
    return FinalText(Place.LAST_LINE, bare(lines)) if bare(lines) else None


def bare(text: str) -> str:
    r"""Returns a text without `\text{...}`, dollar signs of formulas, quotes and asterisks around it."""
    unwrapped = _TEXT.sub(r"\1", text[:MAX_LINE_CHARS]).strip(DECORATION)
    for left, right in (("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        if unwrapped.startswith(left) and unwrapped.rstrip(".").endswith(right) and len(unwrapped) > len(left + right):
            unwrapped = unwrapped.rstrip(".").removeprefix(left).removesuffix(right)
    return unwrapped.strip(DECORATION)


def first_sentence(text: str) -> str:
    """Returns a text up to its first full stop, without it."""
    return _SENTENCE_END.split(text, maxsplit=1)[0].strip(DECORATION)


class PlainVerifier(ABC):
    """A verifier that judges one completion after the other in this process.

    Attributes:
        verifier_id: name, version of the rules, and every option that changes verdicts.
        expected: the part of a message that says which gold answers can be used.
    """

    verifier_id: str
    expected: str

    @abstractmethod
    def fault(self, problem: Problem) -> str | None:
        """Returns what makes a problem unusable, or None."""

    @abstractmethod
    def judge(self, problem: Problem, completion: str) -> Verdict:
        """Returns the verdict of one completion to a problem without fault."""

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems whose gold answer cannot be used."""
        faults = [(problem, fault) for problem in problems if (fault := self.fault(problem)) is not None]
        name = self.verifier_id.partition("@")[0]
        refuse_unusable(name, faults, len(problems), f"{self.expected}; correct or remove these problems.")

    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order; a problem with a fault is an `error`."""
        return [self._verdict(problem, completion) for problem, completion in items]

    def close(self) -> None:  # noqa: B027 - complete as it is
        """Does nothing: there are no workers."""

    def _verdict(self, problem: Problem, completion: str) -> Verdict:
        """Returns the verdict of one completion."""
        fault = self.fault(problem)
        if fault is not None:
            return Verdict(Outcome.ERROR, reason=f"the gold answer cannot be used: {fault}"[:MAX_VERDICT_CHARS])
        return self.judge(problem, completion)


def unparsed(reason: str = "no answer found") -> Verdict:
    """Returns the verdict of a completion without an answer."""
    return Verdict(Outcome.UNPARSED, reason=reason[:MAX_VERDICT_CHARS])


def decided(is_correct: bool, answer: str, reason: str = "") -> Verdict:
    """Returns the verdict of an answer within the limits of its fields."""
    outcome = Outcome.CORRECT if is_correct else Outcome.WRONG
    return Verdict(outcome, answer[:MAX_VERDICT_CHARS], reason[:MAX_VERDICT_CHARS])
