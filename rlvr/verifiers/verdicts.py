"""Outcomes and verdicts: what a verifier says about one completion.

Owns: the closed list of outcomes and the one rule for truncated completions.
Does not own: how an answer is judged (`rlvr.verifiers`) or what it is worth in training (`rlvr.training.rewards`).
"""

from dataclasses import dataclass, replace
from enum import StrEnum

MAX_VERDICT_CHARS = 1000  # of an answer or a reason in a verdict
REASONING = "reasoning"  # before the id, in brackets, of a verifier that reads the reasoning of right answers


class Outcome(StrEnum):
    """The result of judging one completion.

    `correct` and `wrong` are judgements. `unparsed` and `truncated` mean that there was no answer to judge: they
    count as not correct, and are reported as rates. `timeout` is an answer that exceeded the verifier's deadline: it
    counts as not correct. `error` means that the verifier failed: such a draw is judged again, never counted as a zero.
    """

    CORRECT = "correct"
    WRONG = "wrong"
    UNPARSED = "unparsed"
    TRUNCATED = "truncated"
    TIMEOUT = "timeout"
    ERROR = "error"


class Mode(StrEnum):
    """Which answers count: in whatever form they stand (`lenient`, `loose`), or in the form asked for (`strict`)."""

    LENIENT = "lenient"
    LOOSE = "loose"
    STRICT = "strict"


def modes_of(verifier_id: str) -> tuple[Mode, Mode]:
    """Returns the mode that a verifier with two modes shows, which its id names, and its other one."""
    lax = Mode.LOOSE if "ifeval@" in verifier_id else Mode.LENIENT
    return (Mode.STRICT, lax) if f"mode={Mode.STRICT}" in verifier_id else (lax, Mode.STRICT)


def reads_reasoning(verifier_id: str) -> bool:
    """Returns whether verdicts under this id are about the reasoning of right answers, and not about answers."""
    return verifier_id.startswith(f"{REASONING}(")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verifier's record for one completion.

    Attributes:
        outcome: what was decided.
        answer: the extracted answer in a normal form, or None where there is none. At most 1,000 characters.
        reason: one line for a person. At most 1,000 characters.
        other: the outcome in the verifier's other mode, where it has two (`math`, `ifeval`), else None.
        score: how good the answer is, from 0 to 1, where the verifier grades, else None; its reward in training.
    """

    outcome: Outcome
    answer: str | None = None
    reason: str = ""
    other: Outcome | None = None
    score: float | None = None

    @property
    def correct(self) -> bool:
        """True for `correct` only."""
        return self.outcome is Outcome.CORRECT


def account_for_truncation(verdict: Verdict, truncated: bool) -> Verdict:
    """Returns the verdict of a completion that was cut off at the token limit.

    A cut completion that is already correct stays `correct`; one that is wrong or has no answer becomes `truncated`,
    because the model did not finish. Failures of the verifier stay what they are. Both modes follow the same rule.
    """
    if not truncated:
        return verdict
    return replace(verdict, outcome=_unfinished(verdict.outcome), other=verdict.other and _unfinished(verdict.other))


def _unfinished(outcome: Outcome) -> Outcome:
    return Outcome.TRUNCATED if outcome in (Outcome.WRONG, Outcome.UNPARSED) else outcome
