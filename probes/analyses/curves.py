"""Curves: pass@k as records, and the gap between what an arm could solve and what it solves at once.

    pass_at_k_curve  pass@k with both sources of error, a record per k -> CurvePoint
    efficiency_gap   base pass@k minus another arm's pass@1 -> EfficiencyGap

Owns: the records, the sampling-efficiency gap.
Does not own: pass@k itself (`probes.statistics.estimators`), intervals and comparisons at equal k
(`probes.statistics.intervals`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from probes.statistics.estimators import Counts, pass_at_k
from probes.statistics.intervals import compare, curve_band, problem_interval


@dataclass(frozen=True)
class CurvePoint:
    """Pass@k at one k.

    Attributes:
        k: attempts allowed.
        estimate: mean over problems, unbiased.
        se_draws: standard error from the draws, the set of problems held fixed; NaN: cannot tell.
        lo: lower end of the interval over problems like these, which covers the draws too; NaN: cannot tell.
        hi: upper end.
        band_lo: lower end of the band over problems like these that holds at all k of the curve at once.
        band_hi: upper end.
    """

    k: int
    estimate: float
    se_draws: float
    lo: float
    hi: float
    band_lo: float
    band_hi: float


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


def pass_at_k_curve(
    counts: Counts, ks: Sequence[int], confidence: float = 0.95, seed: int = 0
) -> tuple[CurvePoint, ...]:
    """Returns pass@k with its errors, a record per k; each interval holds at its own k, the band at all k.

    Raises:
        InputError: k < 1, or k above n or above what the plan allows, for some problem.
    """
    curve = pass_at_k(counts, ks)
    ends = problem_interval(curve.per_problem_PK, counts.cluster_P, confidence, seed=seed)
    band = curve_band(curve.per_problem_PK, counts.cluster_P, confidence, seed=seed)
    columns = (curve.estimate_K, curve.se_draws_K, *ends, *band)
    return tuple(CurvePoint(*row) for row in zip(ks, *(column.tolist() for column in columns), strict=True))


def curve_rows(points: Iterable[CurvePoint]) -> dict[str, dict[str, float]]:
    """Returns estimate, se_draws, lo and hi by k, as every output names them."""
    rows = (asdict(point) for point in points)
    return {str(row.pop("k")): row for row in rows}


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
