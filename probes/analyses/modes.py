"""Two modes of a verifier: how much of a result is the format that was asked for.

Owns: pass@1 under both modes, and the draws that are correct in one of them only.
Does not own: what the modes are (`rlvr.verifiers`).

Both are read from the first draws of each problem. The number of later draws depends on what the mode that is shown
found correct, so that pass@k of the other mode would be biased there.
"""

from dataclasses import dataclass

from probes.statistics.estimators import pass_at_k
from probes.statistics.outcomes import CORRECT, Outcomes


@dataclass(frozen=True)
class Modes:
    """One arm under both modes of its verifier.

    Attributes:
        num_draws: of each problem, from the first on.
        shown: pass@1 in the mode whose outcomes all other numbers show.
        other: pass@1 in the other mode.
        num_changed: draws that are correct in exactly one of the two.
    """

    num_draws: int
    shown: float
    other: float
    num_changed: int


def compare_modes(shown: Outcomes, other: Outcomes, num_first: int) -> Modes:
    """Returns both modes over the first `num_first` draws of each problem.

    Raises:
        InputError: a problem has no judged draw among them.
    """
    shown, other = shown.first(num_first), other.first(num_first)
    changed_PD = (shown.code_PD == CORRECT) != (other.code_PD == CORRECT)
    return Modes(num_first, _pass_at_1(shown), _pass_at_1(other), int(changed_PD.sum()))


def _pass_at_1(outcomes: Outcomes) -> float:
    return float(pass_at_k(outcomes.counts(), [1]).estimate_K[0])
