"""Estimates under a group-sequential plan, and what the plan costs.

Owns: the unbiased estimate of q^k at a stopping point; the expected draws and the true standard error for known p.
Does not own: the plan (`probes.statistics.plan`), sums over problems (`probes.statistics.estimators`).

A problem that stops at look j with c successes has seen one of W_j(c) sequences of outcomes, all equally probable
whatever p is. Of these, W_j^k(c) begin with k failures. Their ratio estimates q^k without bias: it is the conditional
expectation of "the first k draws all fail", given a sufficient statistic.

Source: Girshick, Mosteller and Savage 1946, "Unbiased estimates for certain binomial sampling problems with
applications"; Ann. Math. Statist. 17(1).
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import comb, log

import numpy as np
import numpy.typing as npt

from probes.statistics.plan import Plan
from rlvr.errors import InputError, ProblemError

FloatArray = npt.NDArray[np.float64]


def fail_at_k_under(plan: Plan, n_P: npt.ArrayLike, c_P: npt.ArrayLike, ks: Sequence[int]) -> FloatArray:
    """Returns the unbiased estimates of q^k, the chance that k draws all fail, at the stopping points of a plan.

    Computed with exact integers and rounded once. Never rises with k. With one look it is C(n - c, k) / C(n, k).

    Shapes:
        n_P, c_P: (P,) int. Returns (P, K) float.

    Args:
        plan: under which the draws were made.
        n_P: draws at which each problem stopped: a look of the plan.
        c_P: successes among them.
        ks: attempts allowed, at most `plan.largest_k`.

    Raises:
        InputError: k < 1, or k above `plan.largest_k`.
        ProblemError: the plan does not stop at (n, c).
    """
    points = list(zip(np.asarray(n_P).tolist(), np.asarray(c_P).tolist(), strict=True))
    table = {
        point: [float(exact_fail_at_k(plan, point[0], point[1], int(k))) for k in ks] for point in sorted(set(points))
    }
    return np.array([table[point] for point in points], dtype=np.float64).reshape(len(points), len(ks))


@cache
def exact_fail_at_k(plan: Plan, n: int, c: int, k: int) -> Fraction:
    """Returns W_j^k(c) / W_j(c) at the look j of n draws as a fraction; see `fail_at_k_under`.

    Example:
        >>> exact_fail_at_k(Plan((2, 4), stop_at=1), 2, 1, 1)
        Fraction(1, 2)
    """
    if not 1 <= k <= plan.largest_k:
        raise InputError(f"k = {k} is outside 1 to {plan.largest_k}, the largest k that the plan allows.")
    if n not in plan.looks or not plan.stops(n, c) or not sequences(plan, n, c):
        raise ProblemError(f"n = {n} draws with c = {c} correct is no stopping point of the plan {plan.to_json()}.")
    return Fraction(sequences(plan, n, c, k), sequences(plan, n, c))


def sequences(plan: Plan, n: int, c: int, k: int = 0) -> int:
    """Returns W: how many sequences of outcomes reach the look of n draws with c successes, the first k failing."""
    look = plan.looks.index(n)
    before = plan.looks[look - 1] if look else 0
    free = n - max(before, min(k, n))  # draws since the look before that may succeed
    return sum(ways * comb(free, c - s) for s, ways in _continuing(plan, look, k).items() if 0 <= c - s <= free)


@cache
def _continuing(plan: Plan, look: int, k: int) -> dict[int, int]:
    """Returns the number of sequences that draw on towards a look, by their successes so far, the first k failing."""
    if look == 0:
        return {0: 1}
    num_draws = plan.looks[look - 1]
    reached = {c: sequences(plan, num_draws, c, k) for c in range(num_draws + 1) if not plan.stops(num_draws, c)}
    return {c: ways for c, ways in reached.items() if ways}


@cache
def stopping_points(plan: Plan) -> tuple[tuple[int, int], ...]:
    """Returns every (draws, successes) at which a plan can stop."""
    points = ((n, c) for n in plan.looks for c in range(n + 1) if plan.stops(n, c))
    return tuple((n, c) for n, c in points if sequences(plan, n, c))


def stop_probabilities(plan: Plan, p_P: npt.ArrayLike) -> FloatArray:
    """Returns the probability of each stopping point, W p^c (1 - p)^(n - c), for problems of known p.

    Shapes:
        p_P: (P,) float in [0, 1]. Returns (P, S) float, in the order of `stopping_points`; rows sum to 1.
    """
    from scipy.special import xlog1py, xlogy

    p_P1 = np.asarray(p_P, dtype=np.float64)[:, None]
    n_S, c_S = np.array(stopping_points(plan)).T
    log_ways_S = np.array([log(sequences(plan, n, c)) for n, c in stopping_points(plan)])
    return np.asarray(np.exp(log_ways_S + xlogy(c_S, p_P1) + xlog1py(n_S - c_S, -p_P1)))


def expected_draws(plan: Plan, p_P: npt.ArrayLike) -> FloatArray:
    """Returns the expected number of draws of problems with success probabilities p.

    Shapes:
        p_P: (P,) float in [0, 1]. Returns (P,) float.
    """
    n_S = np.array([n for n, _ in stopping_points(plan)], dtype=np.float64)
    return np.asarray(stop_probabilities(plan, p_P) @ n_S)


def standard_error(plan: Plan, p_P: npt.ArrayLike, ks: Sequence[int]) -> FloatArray:
    """Returns the true standard error of mean pass@k over problems of known p that the draws cause.

    Shapes:
        p_P: (P,) float in [0, 1]. Returns (K,) float.
    """
    p_P = np.asarray(p_P, dtype=np.float64)
    n_S, c_S = np.array(stopping_points(plan)).T
    q_SK = fail_at_k_under(plan, n_S, c_S, ks)
    variance_PK = stop_probabilities(plan, p_P) @ q_SK**2 - (1.0 - p_P[:, None]) ** (2.0 * np.asarray(ks))
    return np.asarray(np.sqrt(np.maximum(variance_PK.sum(axis=0), 0.0)) / len(p_P))
