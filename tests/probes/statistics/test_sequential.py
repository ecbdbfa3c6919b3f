"""The estimator under a sequential plan: exact by enumeration, both special cases, variance, monotone in k, cost."""

from fractions import Fraction
from itertools import pairwise, product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.statistics.plan import Plan
from probes.statistics.sequential import exact_fail_at_k, expected_draws, fail_at_k_under, sequences
from rlvr.errors import InputError, ProblemError

SMALL_PLANS = [
    Plan((12,)),
    Plan((4, 8, 12), stop_at=2),
    Plan((2, 4, 8, 12), stop_at=1),
    Plan((3, 7, 12), stop_at=3),
    Plan((2, 6, 8, 12), stop_at=2, give_up_at=8),
    Plan((4, 8, 12), stop_at=None, give_up_at=8),
    Plan(tuple(range(1, 13)), stop_at=3),
]


def stopping_point(plan: Plan, outcomes) -> tuple[int, int]:
    """Plays one sequence of outcomes through the plan: (draws, successes) where it stops."""
    return next((n, sum(outcomes[:n])) for n in plan.looks if plan.stops(n, sum(outcomes[:n])))


def stopping_points(plan: Plan, p: Fraction) -> dict[tuple[int, int], Fraction]:
    """The exact distribution of the stopping point, from all 2^n_max sequences."""
    found: dict[tuple[int, int], Fraction] = {}
    weights = {c: p**c * (1 - p) ** (plan.max_draws - c) for c in range(plan.max_draws + 1)}
    for outcomes in product((0, 1), repeat=plan.max_draws):
        point = stopping_point(plan, outcomes)
        found[point] = found.get(point, Fraction(0)) + weights[sum(outcomes)]
    return found


@pytest.mark.parametrize("plan", SMALL_PLANS)
@pytest.mark.parametrize("p", [Fraction(0), Fraction(1, 20), Fraction(1, 3), Fraction(9, 10), Fraction(1)])
def test_unbiased_for_every_k_by_enumeration(plan, p):
    """The expectation over all 4,096 sequences is q^k exactly; in floating point within 1e-12."""
    points = stopping_points(plan, p)
    assert sum(points.values()) == 1
    for k in range(1, plan.largest_k + 1):
        assert sum(weight * exact_fail_at_k(plan, *point, k) for point, weight in points.items()) == (1 - p) ** k
        rounded = sum(float(weight) * fail_at_k_under(plan, [n], [c], [k])[0, 0] for (n, c), weight in points.items())
        assert rounded == pytest.approx(float((1 - p) ** k), abs=1e-12)


@pytest.mark.parametrize("plan", SMALL_PLANS)
def test_the_variance_estimate_is_unbiased_by_enumeration(plan):
    p = Fraction(1, 4)
    points = stopping_points(plan, p)
    for k in range(1, plan.largest_k // 2 + 1):
        values = {point: exact_fail_at_k(plan, *point, k) for point in points}
        variance = sum(points[point] * value**2 for point, value in values.items()) - (1 - p) ** (2 * k)
        expected = sum(w * (values[at] ** 2 - exact_fail_at_k(plan, *at, 2 * k)) for at, w in points.items())
        assert expected == variance


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_one_look_is_the_fixed_formula(case):
    n, c, k = case
    assert exact_fail_at_k(Plan.fixed(n), n, c, k) == Fraction(comb(n - c, k), comb(n, k))


@pytest.mark.parametrize("r", [1, 2, 5])
def test_looking_after_every_draw_is_inverse_sampling(r):
    """Stopping at the r-th success, at m draws: C(m-1-k, r-1) / C(m-1, r-1)."""
    plan = Plan(tuple(range(1, 31)), stop_at=r)
    for m in range(r, 30):
        for k in range(1, m):
            assert exact_fail_at_k(plan, m, r, k) == Fraction(comb(max(0, m - 1 - k), r - 1), comb(m - 1, r - 1))


@pytest.mark.parametrize("plan", [*SMALL_PLANS, Plan.sequential(1024), Plan.sequential(512, give_up_at=256)])
def test_never_rises_with_k_and_stays_in_the_unit_interval(plan):
    points = [
        (n, c)
        for n in plan.looks
        for c in range(0, n + 1, max(1, n // 8))
        if plan.stops(n, c) and sequences(plan, n, c)
    ]
    ks = sorted({min(2**e, plan.largest_k) for e in range(12)} | {plan.largest_k})
    for row in fail_at_k_under(plan, *zip(*points, strict=True), ks):
        assert all(0.0 <= low <= high <= 1.0 for high, low in pairwise(row))


def test_growing_a_plan_keeps_the_estimates_of_problems_that_had_stopped():
    short, long = Plan.sequential(256), Plan.sequential(1024)
    for k in (1, 16, 128):
        assert exact_fail_at_k(short, 64, 20, k) == exact_fail_at_k(long, 64, 20, k)


@pytest.mark.slow
@pytest.mark.parametrize("plan", [Plan.sequential(256), Plan.sequential(256, give_up_at=128)])
@pytest.mark.parametrize("p", [0.004, 0.05, 0.4])
def test_mean_and_variance_by_simulation(plan, p):
    """20,000 problems of one p: the mean is q^k, the mean of the variance estimates the variance, within 5 errors."""
    rng = np.random.default_rng(7)
    draws = rng.random((20_000, plan.max_draws)) < p
    totals = {n: draws[:, :n].sum(axis=1) for n in plan.looks}
    stop = np.array([next(n for n in plan.looks if plan.stops(n, int(totals[n][row]))) for row in range(len(draws))])
    c = np.array([int(totals[n][row]) for row, n in enumerate(stop)])
    ks = [1, 8, 64]
    q, q2 = fail_at_k_under(plan, stop, c, ks), fail_at_k_under(plan, stop, c, [2 * k for k in ks])
    error = q.std(axis=0) / np.sqrt(len(q))
    assert np.all(np.abs(q.mean(axis=0) - (1 - p) ** np.array(ks)) <= 5 * error + 1e-12)
    estimates = q**2 - q2
    assert np.all(np.abs(estimates.mean(axis=0) - q.var(axis=0)) <= 5 * estimates.std(axis=0) / np.sqrt(len(q)) + 1e-4)


@pytest.mark.parametrize("plan", SMALL_PLANS)
@pytest.mark.parametrize("p", [0.0, 0.2, 0.8, 1.0])
def test_expected_draws_by_enumeration(plan, p):
    exact = sum(n * weight for (n, _), weight in stopping_points(plan, Fraction(p).limit_denominator(10)).items())
    assert expected_draws(plan, [p])[0] == pytest.approx(float(exact), rel=1e-9)


def test_expected_draws_of_easy_and_hopeless_problems():
    plan = Plan.sequential(1024)
    np.testing.assert_allclose(expected_draws(plan, [0.0, 1.0]), [1024, 32])
    assert expected_draws(Plan.sequential(1024, give_up_at=512), [0.0])[0] == 512


def test_a_point_where_the_plan_does_not_stop_is_refused():
    plan = Plan((4, 8), stop_at=2)
    for n, c in [(4, 1), (5, 2), (8, 9), (8, 6)]:
        with pytest.raises(ProblemError, match=f"n = {n} draws with c = {c} correct is no stopping point"):
            exact_fail_at_k(plan, n, c, 1)


@pytest.mark.parametrize("k", [0, 9])
def test_k_outside_the_plan_is_refused(k):
    with pytest.raises(InputError, match="is outside 1 to 8"):
        exact_fail_at_k(Plan((4, 8), stop_at=2), 4, 2, k)
