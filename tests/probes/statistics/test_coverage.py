"""Coverage under the sequential plan, with known truth: draws made by the plan, estimates, intervals, words."""

import numpy as np
import pytest

from probes.statistics.cost import SPREADS
from probes.statistics.estimators import pass_at_k
from probes.statistics.intervals import compare_counts, problem_interval
from probes.statistics.outcomes import CORRECT, WRONG, Outcomes
from probes.statistics.plan import Plan

PLAN = Plan.sequential(256)
KS = (1, 4, 16, 64)
NUM_PROBLEMS, NUM_BENCHMARKS = 100, 250

pytestmark = pytest.mark.slow


def counts_of(p_P, rng):
    """Counts of one probe of problems with these success probabilities."""
    codes = np.where(rng.random((len(p_P), PLAN.max_draws)) < p_P[:, None], CORRECT, WRONG).astype(np.int8)
    names = tuple(map(str, range(len(p_P))))
    return Outcomes(names, (None,) * len(p_P), codes).counts(PLAN)


def solved(p, ks=KS):
    """True pass@k of problems, (P, K)."""
    return 1 - (1 - np.asarray(p)[:, None]) ** np.array(ks)


def rate_at_least(hits, times, nominal):
    """Whether hits of times could come from a rate of at least `nominal`: within 3 standard errors."""
    return hits / times >= nominal - 3 * np.sqrt(nominal * (1 - nominal) / times)


@pytest.mark.parametrize("name", SPREADS)
def test_intervals_and_bands_cover_and_no_change_is_seldom_called_one(name):
    """Problems are new in each benchmark: the truth is that of the spread, not of the problems at hand."""
    rng = np.random.default_rng(5)
    a, b = SPREADS[name]
    many = rng.beta(a, b, 200_000)
    base_truth, other_truth = solved(many).mean(axis=0), solved(np.sqrt(many)).mean(axis=0)
    difference = other_truth - base_truth
    in_interval, in_band, false_words = np.zeros(len(KS)), 0, 0
    for seed in range(NUM_BENCHMARKS):
        p_P = rng.beta(a, b, NUM_PROBLEMS)
        base, same, other = (counts_of(p, rng) for p in (p_P, p_P, np.sqrt(p_P)))
        lo, hi = problem_interval(pass_at_k(base, KS).per_problem_PK, num_resamples=500, seed=seed)
        in_interval += (lo <= base_truth) & (base_truth <= hi)
        band = compare_counts(base, other, KS, num_resamples=2000, seed=seed).at()
        in_band += bool(np.all((band.lo_K <= difference) & (difference <= band.hi_K)))
        words = compare_counts(base, same, KS, num_resamples=2000, seed=seed).at().verdict_K
        false_words += any(word != "cannot tell" for word in words)
    assert all(rate_at_least(hits, NUM_BENCHMARKS, 0.95) for hits in in_interval)
    assert rate_at_least(in_band, NUM_BENCHMARKS, 0.95)
    assert false_words / NUM_BENCHMARKS <= 0.05


def test_the_standard_error_over_draws_covers_the_problems_at_hand():
    """The set of problems held fixed: estimate - truth within 1.96 standard errors in 95 % of probes."""
    rng = np.random.default_rng(6)
    p_P = rng.beta(*SPREADS["math-like"], NUM_PROBLEMS)
    truth, covered = solved(p_P).mean(axis=0), np.zeros(len(KS))
    for _ in range(400):
        curve = pass_at_k(counts_of(p_P, rng), KS)
        covered += np.abs(curve.estimate_K - truth) <= 1.96 * curve.se_draws_K
    assert all(rate_at_least(hits, 400, 0.95) for hits in covered)
    assert all(covered <= 399)
