"""Extrapolation: pass@k beyond the draws at hand, by a model of how success probabilities spread over problems.

Owns: the zero-inflated beta-binomial fit, its pass@k, and the check whether it fits at all.
Does not own: pass@k within the draws (`probes.statistics.estimators`), which needs no model.

p is 0 with probability z, else Beta(a, b). Under a plan that stops early the likelihood of (n, c) is the same up to a
factor that depends on neither parameter, so one fit serves all plans. Beyond the draws everything rests on the model:
problems solved once in 10,000 draws and problems never solved look alike.

Intervals carry both sources of error, draws and choice of problems, and hold only as far as the model does.

Source: arXiv 2510.05197 (beta-binomial law of pass@k); Skellam 1948 (the distribution).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import log

import numpy as np

from probes.statistics.estimators import Counts, FloatArray, IntArray
from probes.statistics.plan import Plan
from probes.statistics.sequential import sequences, stopping_points
from rlvr.errors import InputError

STARTS = ((0.3, 1.0, 0.05), (1.0, 1.0, 0.2), (0.1, 3.0, 0.5))
BOUNDS = ((-7.0, 7.0), (-7.0, 9.0), (-12.0, 6.0))  # of log a, log b, logit z


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """A fitted spread of success probabilities.

    Shapes:
        estimate_K, lo_K, hi_K: (K,) float.

    Attributes:
        a, b: of the beta distribution.
        never: z, share of problems that are never solved.
        ks: numbers of attempts, beyond the draws too.
        estimate_K: pass@k of the fit.
        lo_K: lower end of the parametric bootstrap interval; NaN where the model does not fit: cannot tell.
        hi_K: upper end.
        fit_p: share of data sets simulated from the fit that deviate from their own fit at least as much as the data do
            from theirs.
        fits: `fit_p` is at least 0.05.
    """

    a: float
    b: float
    never: float
    ks: tuple[int, ...]
    estimate_K: FloatArray
    lo_K: FloatArray
    hi_K: FloatArray
    fit_p: float
    fits: bool


def extrapolate(
    counts: Counts, ks: Sequence[int], confidence: float = 0.95, num_resamples: int = 200, seed: int = 0
) -> Extrapolation:
    """Returns the maximum-likelihood fit, its pass@k with a parametric bootstrap interval, and the check of the fit.

    The check compares the numbers of problems by share of successes with what the fit expects under the plan. Each
    simulated data set is fitted again before it is compared, as the data were: a fit follows its own data, and compared
    with a fit that was not made to it, a simulated set would deviate too much and hide a poor fit.

    Raises:
        InputError: fewer than 10 problems, or problems with different plans or fixed numbers of draws.
    """
    plan = _common_plan(counts)
    fit = _fit(counts.n_P, counts.c_P)
    rng = np.random.default_rng(seed)
    observed = _deviation(counts, _shares(plan, fit))
    curves, as_far = [], 0
    for _ in range(num_resamples):
        copy = _simulate(plan, fit, counts, rng)
        refit = _fit(copy.n_P, copy.c_P, [_near(fit)])
        as_far += _deviation(copy, _shares(plan, refit)) >= observed
        curves.append(_curve(refit, ks))
    fit_p = (1 + as_far) / (1 + num_resamples)
    tail = (1.0 - confidence) / 2.0
    lo_K, hi_K = np.quantile(np.stack(curves), [tail, 1.0 - tail], axis=0)
    fits = fit_p >= 0.05
    unknown_K = np.full(len(ks), np.nan)
    lo_K, hi_K = (lo_K, hi_K) if fits else (unknown_K, unknown_K)
    return Extrapolation(*fit, tuple(ks), _curve(fit, ks), lo_K, hi_K, fit_p, fits)


def _common_plan(counts: Counts) -> Plan:
    if counts.num_problems < 10:
        raise InputError(f"extrapolation: {counts.num_problems} problems are too few to fit; expected at least 10.")
    plans = set(counts.plan_P) or {Plan.fixed(int(n)) for n in counts.n_P}
    if len(plans) > 1:
        raise InputError("extrapolation: problems were drawn under different plans; fit problems of one plan.")
    return plans.pop()


def _fit(
    n_P: IntArray, c_P: IntArray, starts: Sequence[tuple[float, float, float]] = STARTS
) -> tuple[float, float, float]:
    """Returns (a, b, z) of the largest likelihood, from a few starts."""
    from scipy.optimize import minimize
    from scipy.special import expit, logit

    # Problems that stopped at the same point share one term.
    points_U2, times_U = np.unique(np.column_stack([n_P, c_P]), axis=0, return_counts=True)
    seen = (points_U2[:, 0], points_U2[:, 1], times_U)
    begins = [np.array([np.log(a), np.log(b), logit(z)]) for a, b, z in starts]
    ends = [minimize(_loss, begin, seen, method="L-BFGS-B", jac=True, bounds=BOUNDS) for begin in begins]
    log_a, log_b, logit_z = min(ends, key=lambda end: float(end.fun)).x
    return float(np.exp(log_a)), float(np.exp(log_b)), float(expit(logit_z))


def _loss(x: FloatArray, n_U: IntArray, c_U: IntArray, times_U: IntArray) -> tuple[float, FloatArray]:
    """Returns minus the log likelihood and its gradient at x = (log a, log b, logit z)."""
    from scipy.special import betaln, expit, psi

    a, b, z = np.exp(x[0]), np.exp(x[1]), expit(x[2])
    can_U = np.log1p(-z) + betaln(a + c_U, b + n_U - c_U) - betaln(a, b)  # the problem can be solved
    log_U = np.where(c_U == 0, np.logaddexp(can_U, np.log(z)), can_U)
    weight_U = np.exp(can_U - log_U)  # chance that it can, given what was seen
    both_U = psi(a + b) - psi(a + b + n_U)
    slopes_3U = np.stack(
        [
            weight_U * a * (psi(a + c_U) - psi(a) + both_U),
            weight_U * b * (psi(b + n_U - c_U) - psi(b) + both_U),
            1.0 - weight_U - z,
        ]
    )
    return -float(log_U @ times_U), -np.asarray(slopes_3U @ times_U, dtype=np.float64)


def _near(fit: tuple[float, float, float]) -> tuple[float, float, float]:
    """Returns a start close to a fit, off the ends of z, where the likelihood is flat."""
    return fit[0], fit[1], min(max(fit[2], 1e-3), 1.0 - 1e-3)


def _curve(fit: tuple[float, float, float], ks: Sequence[int]) -> FloatArray:
    """Returns (1 - z) (1 - B(a, b + k) / B(a, b)), (K,)."""
    from scipy.special import betaln

    a, b, z = fit
    return np.asarray((1.0 - z) * -np.expm1(betaln(a, b + np.asarray(ks, dtype=np.float64)) - betaln(a, b)))


def _shares(plan: Plan, fit: tuple[float, float, float]) -> FloatArray:
    """Returns the expected share of problems in each bin of c / n, under the plan; exact."""
    from scipy.special import betaln

    a, b, z = fit
    n_S, c_S, log_ways_S = _stops(plan)
    # A plan stops a problem that is never solved at one point only, the one with c = 0.
    at_S = (1.0 - z) * np.exp(log_ways_S + betaln(a + c_S, b + n_S - c_S) - betaln(a, b)) + z * (c_S == 0)
    return np.asarray(np.bincount(_bins(n_S, c_S), weights=at_S, minlength=12), dtype=np.float64)


@cache
def _stops(plan: Plan) -> tuple[IntArray, IntArray, FloatArray]:
    """Returns n, c and the log of W, the number of sequences, of each stopping point."""
    n_S, c_S = np.array(stopping_points(plan), dtype=np.int64).T
    return n_S, c_S, np.array([log(sequences(plan, n, c)) for n, c in stopping_points(plan)])


def _bins(n: IntArray, c: IntArray) -> IntArray:
    """Returns the bin of each (n, c): 0 for none correct, 11 for all, tenths between."""
    inner = np.clip(np.ceil(np.round(10 * c / n, 9)), 1, 10).astype(int)
    return np.asarray(np.where(c == 0, 0, np.where(c == n, 11, inner)), dtype=np.int64)


def _deviation(counts: Counts, expected: FloatArray) -> float:
    """Returns Pearson's statistic over the bins; its distribution is simulated, not assumed."""
    observed = np.bincount(_bins(counts.n_P, counts.c_P), minlength=12)
    scale = np.maximum(expected * counts.num_problems, 0.5)
    return float(((observed - expected * counts.num_problems) ** 2 / scale).sum())


def _simulate(plan: Plan, fit: tuple[float, float, float], like: Counts, rng: np.random.Generator) -> Counts:
    """Returns counts of as many problems, drawn from the fit under the plan."""
    a, b, z = fit
    p_P = np.where(rng.random(like.num_problems) < z, 0.0, rng.beta(a, b, like.num_problems))
    c_P, n_P = np.zeros(len(p_P), dtype=np.int64), np.zeros(len(p_P), dtype=np.int64)
    is_open_P = np.ones(len(p_P), dtype=bool)
    for before, num_draws in zip((0, *plan.looks), plan.looks, strict=False):
        c_P += np.where(is_open_P, rng.binomial(num_draws - before, p_P), 0)
        n_P[is_open_P] = num_draws
        is_open_P &= np.array([not plan.stops(num_draws, c) for c in c_P.tolist()])
    return Counts(like.problem_ids, n_P, c_P, plan_P=() if plan.is_fixed else (plan,) * len(p_P))
