"""Guessability: problems that are solved without reasoning say little about reasoning.

Owns: leaving such problems out, counted.
Does not own: the draws without reasoning: an arm with a prompt that asks for the answer at once.
"""

from dataclasses import dataclass

from probes.statistics.estimators import Counts, pass_at_k


@dataclass(frozen=True)
class Guessable:
    """Which problems an arm solves without reasoning.

    Attributes:
        kept: ids of problems that it does not.
        left_out: ids of problems that it does; to be reported with every number over `kept`.
        k: guesses allowed.
        threshold: of the guessing arm's pass@k, from which on a problem is guessable.
    """

    kept: tuple[str, ...]
    left_out: tuple[str, ...]
    k: int
    threshold: float


def guessable(guesses: Counts, k: int = 1, threshold: float = 0.5) -> Guessable:
    """Returns the problems split by whether guessing solves them.

    Raises:
        InputError: k cannot be estimated.
    """
    passed_P = pass_at_k(guesses, [k]).per_problem_PK[:, 0]
    solved = {key for key, passed in zip(guesses.problem_ids, passed_P, strict=True) if passed >= threshold}
    kept = tuple(key for key in guesses.problem_ids if key not in solved)
    return Guessable(kept, tuple(key for key in guesses.problem_ids if key in solved), k, threshold)
