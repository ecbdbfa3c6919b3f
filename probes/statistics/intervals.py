"""What the choice of problems adds: intervals for one arm, comparisons of two.

    problem_interval  interval of pass@k for "problems like these", at each k alone
    curve_band        band of pass@k that holds at all k at once
    compare           paired difference with a simultaneous band, and the words gain, loss, cannot tell -> Comparison
    compare_counts    the same from counts, problems matched by id
    crossing          the interval of k in which the difference turns from gain to loss

Owns: every statement about problems that were not drawn. Families of problems are resampled as one.
Does not own: what the draws alone add, the set of problems held fixed (`probes.statistics.estimators`); solved sets
(`probes.analyses.cells`).

Method. Each family of problems gets a random weight (standard exponential: the Bayesian bootstrap), and so does one
family that was not seen. To bound a mean from above, the unseen family takes the highest value that it may have, to
bound it from below the lowest; the bound is a quantile of the weighted means. For values of 0 and 1 this is the
Clopper-Pearson interval, and for differences of -1, 0 and 1 the exact McNemar test, so it holds where a percentile
bootstrap or a t-interval breaks down: few problems, means near 0 or 1, few differences that are not zero, all values
equal. For other values its coverage is not proved; the tests measure it.

Source: Gaffke 2005, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative
variable"; Learned-Miller and Thomas 2019 (arXiv 1905.06208); Phan, Thomas and Learned-Miller 2021 (arXiv 2106.03163).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from probes.statistics.estimators import Counts, FloatArray, pass_at_k
from rlvr.errors import InputError

Change = Literal["gain", "loss", "cannot tell"]
Clusters = Sequence[str | None]

# Resamples are drawn in blocks, so that the weights of one block stay below 8 MB.
_BLOCK_CELLS = 2**20


@dataclass(frozen=True, eq=False)
class StepComparison:
    """Paired difference of one arm against the base arm.

    Shapes:
        difference_K, lo_K, hi_K: (K,) float.

    Attributes:
        ks: numbers of attempts.
        difference_K: mean over problems of pass@k, other arm minus base arm.
        lo_K: lower end of the band. NaN with fewer than two families: cannot tell.
        hi_K: upper end.
        verdict_K: `gain` where the band lies above 0, `loss` where it lies below, else `cannot tell`.
    """

    ks: tuple[int, ...]
    difference_K: FloatArray
    lo_K: FloatArray
    hi_K: FloatArray
    verdict_K: tuple[Change, ...]

    def rows(self) -> dict[str, dict[str, Any]]:
        """Returns difference, lo, hi and verdict by k, as every output names them."""
        columns = (self.difference_K.tolist(), self.lo_K.tolist(), self.hi_K.tolist(), self.verdict_K)
        names = ("difference", "lo", "hi", "verdict")
        rows = zip(self.ks, *columns, strict=True)
        return {str(k): dict(zip(names, row, strict=True)) for k, *row in rows}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Paired differences of one or more arms (steps) against the base arm, under one band.

    Shapes:
        difference_SK, lo_SK, hi_SK: (S, K) float; S = 1 when one arm was compared.

    Attributes:
        ks: numbers of attempts.
        difference_SK: mean over problems of pass@k, other arm minus base arm.
        lo_SK: lower end of the band, which holds at all k and all steps at once.
        hi_SK: upper end.
        confidence: of the whole band.
    """

    ks: tuple[int, ...]
    difference_SK: FloatArray
    lo_SK: FloatArray
    hi_SK: FloatArray
    confidence: float

    def at(self, step: int = -1) -> StepComparison:
        """Returns one row with its verdicts: the last, or the one at the given position."""
        lo_K, hi_K = self.lo_SK[step], self.hi_SK[step]
        verdict_K = tuple(_word(lo, hi) for lo, hi in zip(lo_K, hi_K, strict=True))
        return StepComparison(self.ks, self.difference_SK[step], lo_K, hi_K, verdict_K)


def problem_interval(
    per_problem_PK: npt.ArrayLike,
    clusters: Clusters | None = None,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """Returns the ends of the interval of mean pass@k over problems like these, for each k separately.

    It covers both sources of error, draws and choice of problems, since the per-problem estimates carry the noise of
    the draws. It lies within [0, 1], rises with k where the estimates do, and never claims certainty: with P problems
    all solved the lower end is 0.025^(1/P) at 95 %. With one family only, both ends are NaN: cannot tell.

    Seeded: the same input gives the same ends; another seed moves them by a few percent of the interval's width.

    Shapes:
        per_problem_PK: (P, K) float in [0, 1]. Returns two arrays (K,).

    Args:
        per_problem_PK: pass@k of each problem.
        clusters: family of each problem, None for a problem of its own. The mean stays that over problems.
        confidence: two-sided.
        num_resamples: weightings; the cost grows with num_resamples times P.
        seed: of the weights.

    Raises:
        InputError: values outside [0, 1], a shape that does not fit, a confidence outside (0, 1), no resamples.
    """
    values_PK = _unit_values(per_problem_PK, "per_problem_PK", num_axes=2)
    resampled = _resample(values_PK, clusters, num_resamples, seed)
    if resampled is None:
        return _nan(values_PK.shape[1]), _nan(values_PK.shape[1])
    tail = _tail(confidence)
    lo_K = np.quantile(resampled.means_BM(unseen=0.0), tail, axis=0)
    hi_K = np.quantile(resampled.means_BM(unseen=1.0), 1.0 - tail, axis=0)
    return np.clip(lo_K, 0.0, 1.0), np.clip(hi_K, 0.0, 1.0)


def curve_band(
    per_problem_PK: npt.ArrayLike,
    clusters: Clusters | None = None,
    confidence: float = 0.95,
    num_resamples: int = 4000,
    seed: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """Returns the ends of a band that holds the mean pass@k of problems like these at all k at once.

    The ends of `problem_interval`, moved apart by one common factor: the studentised maximum over k, as in `compare`.
    The band lies within [0, 1] and, made of the same weights, is nowhere narrower than the interval at one k. Where the
    values of every problem rise along K, as pass@k does, so do both ends. With one family only, both ends are NaN:
    cannot tell.

    Shapes:
        per_problem_PK: (P, K) float in [0, 1]. Returns two arrays (K,).

    Args:
        per_problem_PK: pass@k of each problem.
        clusters: family of each problem, None for a problem of its own.
        confidence: of the whole band.
        num_resamples: weightings; more than for an interval, because the maximum lies in their tails.
        seed: of the weights.

    Raises:
        InputError: see `problem_interval`.
    """
    values_PK = _unit_values(per_problem_PK, "per_problem_PK", num_axes=2)
    tail, resampled = _tail(confidence), _resample(values_PK, clusters, num_resamples, seed)
    if resampled is None:
        return _nan(values_PK.shape[1]), _nan(values_PK.shape[1])
    lo_K, hi_K = _band(resampled, tail, lowest=0.0, highest=1.0)
    # A curve that rises and lies within the band lies within these ends too: the band still holds it.
    rises = bool((np.diff(values_PK, axis=1) >= 0.0).all())
    return (np.maximum.accumulate(lo_K), np.minimum.accumulate(hi_K[::-1])[::-1]) if rises else (lo_K, hi_K)


def compare(
    base_PK: npt.ArrayLike,
    other_SPK: npt.ArrayLike,
    ks: Sequence[int],
    clusters: Clusters | None = None,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Returns the paired difference of mean pass@k, with a band that holds at all k and all steps at once.

    The ends at each k and step come from the weighting described at the top of the module. They are then moved apart by
    one common factor: the quantile of the largest deviation over k and steps, each deviation in units of the distance
    between the mean and its end (studentised maximum).

    Nothing is assumed about problems not seen: one may change by 1. So a few problems that all change a little cannot
    tell: a change of g in every problem is named from about 3.7 / g problems on (95 %, a single k). In return the words
    stay right where most problems gain a little and rare ones are lost, where intervals made of differences seen fail.

    Under "no change", `gain` or `loss` appears anywhere in at most 1 - confidence of comparisons. This is exact for
    values of 0 and 1 at a single k, otherwise measured in the tests and not proved.

    Shapes:
        base_PK: (P, K) float in [0, 1]; other_SPK: (P, K), or (S, P, K) for a stack of steps.

    Args:
        base_PK: pass@k of each problem, base arm.
        other_SPK: the same for the other arm, same problems in the same order.
        ks: numbers of attempts that the last axis stands for.
        clusters: family of each problem, None for a problem of its own.
        confidence: of the whole band.
        num_resamples: weightings. More than for an interval: the words depend on the tails.
        seed: of the weights.

    Raises:
        InputError: shapes that do not fit, values outside [0, 1], a confidence outside (0, 1), no resamples.
    """
    tail = _tail(confidence)
    base_PK, other_SPK = _paired_values(base_PK, other_SPK, len(ks))
    difference_PSK = np.moveaxis(other_SPK - base_PK, 1, 0)
    difference_SK = difference_PSK.mean(axis=0)
    resampled = _resample(difference_PSK.reshape(len(base_PK), -1), clusters, num_resamples, seed)
    lo_M, hi_M = (_nan(difference_SK.size),) * 2 if resampled is None else _band(resampled, tail)
    shape = difference_SK.shape
    return Comparison(tuple(ks), difference_SK, lo_M.reshape(shape), hi_M.reshape(shape), confidence)


def compare_counts(
    base: Counts,
    others: Counts | Sequence[Counts],
    ks: Sequence[int],
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Returns `compare` for the counts of two arms, or of a base arm and one arm per step.

    Problems are matched by id; families are those of the base arm.

    Raises:
        InputError: there is no other arm, the arms hold different problems (the message names them), or k > n for some
            problem.
    """
    arms = [others] if isinstance(others, Counts) else list(others)
    if not arms:
        raise InputError("compare: no arm given beside the base; expected at least one.")
    aligned = [arm.aligned_to(base) for arm in arms]
    return compare(
        pass_at_k(base, ks).per_problem_PK,
        np.stack([pass_at_k(arm, ks).per_problem_PK for arm in aligned]),
        ks,
        clusters=base.cluster_P,
        confidence=confidence,
        num_resamples=num_resamples,
        seed=seed,
    )


def crossing(comparison: StepComparison) -> tuple[int, int] | None:
    """Returns the interval of k in which the difference turns from gain to loss: (largest k of gain, smallest of loss).

    None when one of the words does not occur, or when a loss lies below a gain: then there is no single crossing.
    """
    words = list(zip(comparison.ks, comparison.verdict_K, strict=True))
    gains, losses = [k for k, word in words if word == "gain"], [k for k, word in words if word == "loss"]
    if not gains or not losses or max(gains) > min(losses):
        return None
    return max(gains), min(losses)


@dataclass(frozen=True, eq=False)
class _Resampled:
    """Weighted sums over families.

    Shapes:
        mean_M: (M,), unweighted mean over problems; sums_BM: (B, M); sizes_B, unseen_B: (B,), weights of the problems
        seen and of the unseen family.
    """

    mean_M: FloatArray
    sums_BM: FloatArray
    sizes_B: FloatArray
    unseen_B: FloatArray

    def means_BM(self, unseen: float, columns: slice = slice(None)) -> FloatArray:
        """Returns the weighted means of some columns, when the unseen family has the given value there."""
        added_B1 = self.unseen_B[:, None] * unseen
        return (self.sums_BM[:, columns] + added_B1) / (self.sizes_B + self.unseen_B)[:, None]


def _resample(values_PM: FloatArray, clusters: Clusters | None, num_resamples: int, seed: int) -> _Resampled | None:
    """Returns the weighted sums, or None with fewer than two families.

    The unseen family has the size that the family of a randomly chosen problem has on average.
    """
    if num_resamples < 1:
        raise InputError(f"num_resamples: {num_resamples} is too small; expected at least 1.")
    family_P = _families(clusters, len(values_PM))
    size_F = np.bincount(family_P).astype(np.float64)
    if len(size_F) < 2:
        return None
    # One more column than values: the sizes are weighted like the sums.
    totals_FM = np.zeros((len(size_F), values_PM.shape[1] + 1))
    np.add.at(totals_FM, family_P, np.column_stack([values_PM, np.ones(len(values_PM))]))
    rng = np.random.default_rng(seed)
    unseen_B = rng.exponential(size=num_resamples) * (size_F**2).sum() / size_F.sum()
    sums_BM = np.concatenate([weights @ totals_FM for weights in _weights(rng, num_resamples, len(size_F))])
    return _Resampled(values_PM.mean(axis=0), sums_BM[:, :-1], sums_BM[:, -1], unseen_B)


def _weights(rng: np.random.Generator, num_resamples: int, num_families: int) -> Iterator[FloatArray]:
    """Yields blocks of exponential weights, (rows, F), num_resamples rows in all."""
    num_rows = max(1, _BLOCK_CELLS // num_families)
    for start in range(0, num_resamples, num_rows):
        yield rng.exponential(size=(min(num_rows, num_resamples - start), num_families))


def _families(clusters: Clusters | None, num_problems: int) -> npt.NDArray[np.int64]:
    """Returns the number of each problem's family, counted from 0 in order of appearance."""
    if clusters is None:
        return np.arange(num_problems)
    if len(clusters) != num_problems:
        raise InputError(f"clusters: {len(clusters)} names for {num_problems} problems; expected one per problem.")
    numbers: dict[str | int, int] = {}
    keys = [row if name is None else name for row, name in enumerate(clusters)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _band(
    resampled: _Resampled, tail: float, lowest: float = -1.0, highest: float = 1.0
) -> tuple[FloatArray, FloatArray]:
    """Returns the ends of the simultaneous band of means whose values lie between `lowest` and `highest`."""
    mean_M = resampled.mean_M
    below_M, above_M = np.empty_like(mean_M), np.empty_like(mean_M)
    largest_B = np.zeros(len(resampled.unseen_B))
    num_columns = max(1, _BLOCK_CELLS // len(largest_B))
    for start in range(0, len(mean_M), num_columns):
        block = slice(start, start + num_columns)
        low_BM = mean_M[block] - resampled.means_BM(lowest, block)
        high_BM = resampled.means_BM(highest, block) - mean_M[block]
        below_M[block], above_M[block] = (np.quantile(side, 1.0 - tail, axis=0) for side in (low_BM, high_BM))
        relative_BM = np.maximum(_ratio(low_BM, below_M[block]), _ratio(high_BM, above_M[block]))
        largest_B = np.maximum(largest_B, relative_BM.max(axis=1))
    # Not below 1: the band is never narrower than the pointwise ends, which are exact in the 0/1 case.
    factor = max(1.0, float(np.quantile(largest_B, 1.0 - 2.0 * tail)))
    ends = mean_M - factor * below_M, mean_M + factor * above_M
    return np.clip(ends[0], lowest, highest), np.clip(ends[1], lowest, highest)


def _ratio(distance_BM: FloatArray, scale_M: FloatArray) -> FloatArray:
    """Returns distance / scale, and 0 where the scale vanishes (all differences at the end of the range)."""
    is_positive_M = scale_M > 1e-12
    return np.where(is_positive_M, distance_BM / np.where(is_positive_M, scale_M, 1.0), 0.0)


def _word(lo: float, hi: float) -> Change:
    """NaN compares false, and so cannot tell."""
    if lo > 0.0:
        return "gain"
    return "loss" if hi < 0.0 else "cannot tell"


def _paired_values(base_PK: npt.ArrayLike, other_SPK: npt.ArrayLike, num_ks: int) -> tuple[FloatArray, FloatArray]:
    """Returns both as float arrays, the second with its step axis."""
    base = _unit_values(base_PK, "base_PK", num_axes=2)
    other = np.asarray(other_SPK, dtype=np.float64)
    other = _unit_values(other[None] if other.ndim == 2 else other, "other_SPK", num_axes=3)
    if other.shape[1:] != base.shape or base.shape[1] != num_ks:
        shapes = f"base {base.shape}, other {other.shape}, {num_ks} ks"
        raise InputError(f"compare: {shapes} do not fit; expected (P, K), (S, P, K) and K, over the same problems.")
    return base, other


def _unit_values(values: npt.ArrayLike, name: str, num_axes: int) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != num_axes or array.size == 0:
        raise InputError(f"{name}: shape {array.shape}; expected {num_axes} axes, none empty.")
    if not ((array >= 0.0) & (array <= 1.0)).all():
        raise InputError(f"{name}: values from {array.min()} to {array.max()}; expected pass@k within [0, 1].")
    return array


def _tail(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence: {confidence} is not usable; expected a value between 0 and 1, such as 0.95.")
    return (1.0 - confidence) / 2.0


def _nan(size: int) -> FloatArray:
    return np.full(size, np.nan, dtype=np.float64)
