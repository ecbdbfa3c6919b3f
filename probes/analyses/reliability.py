"""Reliability: not whether one of k draws is correct, but whether all or most of them are.

    pass_hat_k     pass^k, the chance that k draws are all correct
    g_pass_at_k    G-Pass@k_tau, the chance that at least ceil(tau k) of k draws are correct
    mg_pass_at_k   its mean over tau from 1/2 to 1
    cover_at_tau   Cover@tau, the share of problems with success probability of at least tau

Owns: these estimates, for a fixed number of draws. Under a plan that stops early they are taken over the first look's
draws (`Outcomes.first(plan.first_look).counts()`): the chance that k draws all succeed cannot be estimated from draws
that end because they succeeded.
Does not own: pass@k (`probes.statistics.estimators`).
"""

from collections.abc import Sequence
from math import ceil, nan

import numpy as np

from probes.statistics.estimators import Counts, FloatArray
from rlvr.errors import InputError


def pass_hat_k(counts: Counts, ks: Sequence[int]) -> FloatArray:
    """Returns pass^k = mean over problems of C(c, k) / C(n, k), unbiased.

    Shapes:
        Returns (K,) float.

    Raises:
        InputError: k < 1, or k > n for some problem, or the draws stopped early.

    Source: Yao et al. 2024, tau-bench (arXiv 2406.12045).
    """
    return np.array([g_pass_at_k(counts, k, 1.0) for k in ks])


def g_pass_at_k(counts: Counts, k: int, tau: float) -> float:
    """Returns G-Pass@k_tau = mean over problems of P(at least ceil(tau k) correct among k of the n draws), unbiased.

    Raises:
        InputError: tau outside (0, 1], k < 1, k > n for some problem, or the draws stopped early.

    Source: Liu et al. 2024 (arXiv 2412.13147), equation 2.
    """
    if not 0.0 < tau <= 1.0:
        raise InputError(f"tau: {tau} is outside (0, 1]; use 1 for pass^k.")
    # Rounded, so that 0.3 of 10 is 3 in spite of floating point.
    return float(_at_least(counts, k, max(1, ceil(round(tau * k, 9)))).mean())


def mg_pass_at_k(counts: Counts, k: int) -> float:
    """Returns mG-Pass@k = (2 / k) sum over i = ceil(k / 2) + 1 ... k of G-Pass@k_{i/k}.

    Compare at even k: an arm that is always correct has 1 there, but 1 - 1 / k at odd k, where the sum has (k - 1) / 2
    terms. NaN at k = 1, where it has none: cannot tell.

    Raises:
        InputError: as `g_pass_at_k`.

    Source: Liu et al. 2024 (arXiv 2412.13147), equation 4.
    """
    _check(counts, k)
    if k == 1:
        return nan
    return 2.0 / k * sum(float(_at_least(counts, k, i).mean()) for i in range(ceil(k / 2) + 1, k + 1))


def cover_at_tau(counts: Counts, taus: Sequence[float]) -> FloatArray:
    """Returns Cover@tau, the share of problems whose estimated success probability c / n is at least tau.

    A plug-in estimate: noise of the draws moves problems over the threshold both ways. For known p,
    pass@k is the integral over tau of k (1 - tau)^(k - 1) Cover@tau.

    Shapes:
        Returns (T,) float.

    Raises:
        InputError: the draws stopped early.

    Source: arXiv 2510.08325.
    """
    _check(counts)
    p_P = counts.c_P / counts.n_P
    return np.array([float((p_P >= tau).mean()) for tau in taus])


def _at_least(counts: Counts, k: int, num_correct: int) -> FloatArray:
    """Returns the chance of at least `num_correct` correct ones among k of each problem's n draws, (P,)."""
    from scipy.stats import hypergeom

    _check(counts, k)
    return np.asarray(hypergeom.sf(num_correct - 1, counts.n_P, counts.c_P, k))


def _check(counts: Counts, k: int = 1) -> None:
    if counts.plan_P:
        raise InputError("the draws stopped early; take the first look's: outcomes.first(plan.first_look).counts().")
    if not 1 <= k <= counts.largest_k:
        raise InputError(f"k = {k} is outside 1 to {counts.largest_k}, the smallest number of draws of a problem.")
