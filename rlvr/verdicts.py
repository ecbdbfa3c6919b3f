"""Outcomes and verdicts: what a verifier says about one completion.

Owns: the closed list of outcomes and the one rule for truncated completions.
Does not own: how an answer is judged (`rlvr.verifiers`) or what it is worth in training (`rlvr.rewards`).
"""

from dataclasses import dataclass, replace
from enum import StrEnum


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verifier's record for one completion.

    Attributes:
        outcome: what was decided.
        answer: the extracted answer in a normal form, or None where there is none. At most 1,000 characters.
        reason: one line for a person. At most 1,000 characters.
    """

    outcome: Outcome
    answer: str | None = None
    reason: str = ""

    @property
    def correct(self) -> bool:
        """True for `correct` only."""
        return self.outcome is Outcome.CORRECT


def account_for_truncation(verdict: Verdict, truncated: bool) -> Verdict:
    """Returns the verdict of a completion that was cut off at the token limit.

    A cut completion that is already correct stays `correct`; one that is wrong or has no answer becomes `truncated`,
    because the model did not finish. Failures of the verifier stay what they are.
    """
    if truncated and verdict.outcome in (Outcome.WRONG, Outcome.UNPARSED):
        return replace(verdict, outcome=Outcome.TRUNCATED)
    return verdict
