# ruff: noqa: N815 - shape suffixes are part of the names: _P problem, _K attempts, _B resample.
"""Extrapolation: pass@k beyond the draws at hand, by a model of how success probabilities spread over problems.

Owns: the zero-inflated beta-binomial fit, its pass@k, and the check whether it fits at all.
Does not own: pass@k within the draws (`probes.estimators`), which needs no model.

p is 0 with probability z, else Beta(a, b). Under a plan that stops early the likelihood of (n, c) is the same up to a
factor that depends on neither parameter, so one fit serves all plans. Beyond the draws everything rests on the model:
problems solved once in 10,000 draws and problems never solved look alike.

Source: arXiv 2510.05197 (beta-binomial law of pass@k); Skellam 1948 (the distribution).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.estimators import Counts, FloatArray, IntArray
from probes.plan import Plan
from probes.sequential import stop_probabilities, stopping_points
from rlvr.errors import InputError

STARTS = ((0.3, 1.0, 0.05), (1.0, 1.0, 0.2), (0.1, 3.0, 0.5))
NUM_QUANTILES = 64


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
        fit_p: share of data sets simulated from the fit that deviate from it at least as much as the data.
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
    counts: Counts, ks: Sequence[int], confidence: float = 0.95, num_resamples: int = 100, seed: int = 0
) -> Extrapolation:
    """Returns the maximum-likelihood fit, its pass@k with a parametric bootstrap interval, and the check of the fit.

    The check compares the numbers of problems by share of successes with those of data simulated from the fit, under
    the same plan.

    Raises:
        InputError: fewer than 10 problems, or problems with different plans or fixed numbers of draws.
    """
    plan = _common_plan(counts)
    fit = _fit(counts.n_P, counts.c_P)
    rng = np.random.default_rng(seed)
    expected = _shares(plan, fit)
    observed = _deviation(counts, expected)
    curves, as_far = [], 0
    for _ in range(num_resamples):
        copy = _simulate(plan, fit, counts, rng)
        as_far += _deviation(copy, expected) >= observed
        curves.append(_curve(_fit(copy.n_P, copy.c_P, [near(fit)]), ks))
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
    from scipy.special import betaln, expit, logit

    def loss(x: FloatArray) -> float:
        a, b, z = np.exp(x[0]), np.exp(x[1]), expit(x[2])
        log_P = np.log1p(-z) + betaln(a + c_P, b + n_P - c_P) - betaln(a, b)
        never = np.logaddexp(log_P, np.log(z))
        return -float(np.where(c_P == 0, never, log_P).sum())

    bounds = [(-7.0, 7.0), (-7.0, 9.0), (-12.0, 6.0)]
    points = [np.array([np.log(a), np.log(b), logit(z)]) for a, b, z in starts]
    best = min((minimize(loss, point, method="L-BFGS-B", bounds=bounds) for point in points), key=lambda r: r.fun)
    return float(np.exp(best.x[0])), float(np.exp(best.x[1])), float(expit(best.x[2]))


def near(fit: tuple[float, float, float]) -> tuple[float, float, float]:
    """Returns a start close to a fit, off the ends of z, where the likelihood is flat."""
    return fit[0], fit[1], min(max(fit[2], 1e-3), 1.0 - 1e-3)


def _curve(fit: tuple[float, float, float], ks: Sequence[int]) -> FloatArray:
    """Returns (1 - z) (1 - B(a, b + k) / B(a, b)), (K,)."""
    from scipy.special import betaln

    a, b, z = fit
    return np.asarray((1.0 - z) * -np.expm1(betaln(a, b + np.asarray(ks, dtype=np.float64)) - betaln(a, b)))


def _shares(plan: Plan, fit: tuple[float, float, float]) -> FloatArray:
    """Returns the expected share of problems in each bin of c / n, under the plan."""
    from scipy.stats import beta

    a, b, z = fit
    p = np.clip(beta(a, b).ppf((np.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES), 0.0, 1.0)
    at_S = (1.0 - z) * stop_probabilities(plan, p).mean(axis=0) + z * stop_probabilities(plan, [0.0])[0]
    n_S, c_S = np.array(stopping_points(plan)).T
    return np.asarray(np.bincount(_bins(n_S, c_S), weights=at_S, minlength=12), dtype=np.float64)


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
