r"""Gold answers: their text, and the one message for problems that a verifier cannot use.

Owns: `gold_text`, `refuse_unusable`.
Does not own: which gold answers a verifier can use (each verifier), loading them (`rlvr.problems`).
"""

from collections.abc import Sequence

from rlvr.errors import ProblemError
from rlvr.problems import Problem
from rlvr.verifiers.answers.extraction import last_boxed

NUM_NAMED = 5


def gold_text(problem: Problem) -> str:
    r"""Returns the gold answer; a worked solution is reduced to its `\boxed{...}`."""
    return last_boxed(problem.answer) or problem.answer


def refuse_unusable(verifier: str, faults: Sequence[tuple[Problem, str]], num_problems: int, expected: str) -> None:
    """Raises `ProblemError` naming the first problems that a verifier cannot use, if there are any.

    Args:
        verifier: its name.
        faults: problems, each with what is wrong with it.
        num_problems: of which these are some.
        expected: what was expected, and what to do.
    """
    if not faults:
        return
    named = "; ".join(
        f"{each.question[:60]!r} has answer {each.answer[:60]!r} ({why})" for each, why in faults[:NUM_NAMED]
    )
    raise ProblemError(
        f"{len(faults)} of {num_problems} problems cannot be judged by the {verifier} verifier: {named}. Expected "
        f"{expected}"
    )
