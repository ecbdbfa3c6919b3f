"""Curves: the gap between what an arm could solve and what it solves at once.

Owns: the sampling-efficiency gap.
Does not own: pass@k itself (`probes.estimators`), comparisons at equal k (`probes.intervals`).
"""

from dataclasses import dataclass

from probes.estimators import Counts, pass_at_k
from probes.intervals import compare


@dataclass(frozen=True)
class EfficiencyGap:
    """Base pass@k minus pass@1 of another arm on the same problems; lower is better, below 0 the base is beaten.

    Attributes:
        k: of the base.
        gap: the difference of means.
        lo: lower end of the interval over problems like these; NaN: cannot tell.
        hi: upper end.
    """

    k: int
    gap: float
    lo: float
    hi: float


def efficiency_gap(base: Counts, other: Counts, k: int, confidence: float = 0.95, seed: int = 0) -> EfficiencyGap:
    """Returns the sampling-efficiency gap, paired by problem.

    Raises:
        InputError: the arms hold different problems, or k cannot be estimated.

    Source: Yue et al. 2025 (arXiv 2504.13837), section 4.
    """
    at_k_P1 = pass_at_k(base, [k]).per_problem_PK
    at_1_P1 = pass_at_k(other.aligned_to(base), [1]).per_problem_PK
    found = compare(at_1_P1, at_k_P1, [k], clusters=base.cluster_P, confidence=confidence, seed=seed).at()
    return EfficiencyGap(k, float(found.difference_K[0]), float(found.lo_K[0]), float(found.hi_K[0]))
