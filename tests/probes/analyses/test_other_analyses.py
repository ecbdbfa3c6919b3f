"""Histogram, efficiency gap, reliability, extrapolation, guessability, reasoning, two prompts."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.stats import beta

from probes.analyses.curves import efficiency_gap, pass_at_k_curve
from probes.analyses.extrapolation import _bins, _loss, _shares, extrapolate
from probes.analyses.guessability import guessable
from probes.analyses.histogram import BINS, accuracy_histogram
from probes.analyses.prompts import prompt_effect
from probes.analyses.reasoning import Judged, cot_pass_at_k, judged_reasoning
from probes.analyses.reliability import cover_at_tau, g_pass_at_k, mg_pass_at_k, pass_hat_k
from probes.results.studies import study_reasoning
from probes.statistics.estimators import Counts, pass_at_k
from probes.statistics.intervals import problem_interval
from probes.statistics.outcomes import CORRECT, ERROR, NOT_JUDGED, WRONG, Outcomes
from probes.statistics.plan import Plan
from probes.statistics.sequential import stop_probabilities, stopping_points
from probes.store.arm import Sampling, declared_arm
from rlvr.errors import InputError


def counts_from(c, n=8, **more):
    return Counts(tuple(f"p{row}" for row in range(len(c))), np.full(len(c), n), np.asarray(c), **more)


# histogram


def test_histogram_by_hand():
    found = accuracy_histogram(counts_from([0, 1, 10, 11, 20, 30, 90, 91, 99, 100, 100], n=100))
    assert len(BINS) == 12
    by_name = dict(zip(found.bins, found.num_problems, strict=True))
    assert {name: number for name, number in by_name.items() if number} == {
        "0": 1,
        "(0, 0.1]": 2,
        "(0.1, 0.2]": 2,
        "(0.2, 0.3]": 1,
        "(0.8, 0.9]": 1,
        "(0.9, 1)": 2,
        "1": 2,
    }


@given(st.lists(st.integers(0, 16), min_size=1, max_size=30))
def test_every_problem_is_in_one_bin(c):
    assert sum(accuracy_histogram(counts_from(c, n=16)).num_problems) == len(c)


# efficiency gap


def test_efficiency_gap_by_hand():
    base, other = counts_from([2, 4, 0, 8] * 10), counts_from([8, 4, 0, 8] * 10)
    found = efficiency_gap(base, other, 2)
    expected = pass_at_k(base, [2]).estimate_K[0] - pass_at_k(other, [1]).estimate_K[0]
    assert found.gap == pytest.approx(expected)
    assert found.lo < found.gap < found.hi


def test_curve_records_hold_the_estimates_and_both_errors():
    counts = counts_from([0, 1, 4, 8] * 5)
    curve, (lo_K, hi_K) = pass_at_k(counts, [1, 4, 8]), problem_interval(pass_at_k(counts, [1, 4, 8]).per_problem_PK)
    points = pass_at_k_curve(counts, [1, 4, 8])
    assert [(point.k, point.estimate) for point in points] == list(zip([1, 4, 8], curve.estimate_K, strict=True))
    assert [(point.lo, point.hi) for point in points] == list(zip(lo_K, hi_K, strict=True))
    assert points[1].se_draws == curve.se_draws_K[1]
    assert np.isnan(points[2].se_draws), "2k = 16 exceeds n = 8: cannot tell"


def test_gap_of_one_arm_with_itself_at_one_attempt_is_zero():
    counts = counts_from([0, 3, 8] * 5)
    assert efficiency_gap(counts, counts, 1).gap == 0


# reliability


@pytest.mark.parametrize(("c", "k"), list(product(range(6), (1, 2, 3, 5))))
def test_pass_hat_k_and_g_pass_at_k_by_enumeration(c, k):
    """All ways to choose k of 5 draws of which c are correct."""
    chosen = [sum(draws) for draws in combinations([1] * c + [0] * (5 - c), k)]
    counts = counts_from([c], n=5)
    assert pass_hat_k(counts, [k])[0] == pytest.approx(np.mean([number == k for number in chosen]))
    for tau in (0.25, 0.5, 0.75, 1.0):
        assert g_pass_at_k(counts, k, tau) == pytest.approx(np.mean([number >= tau * k for number in chosen]))


def test_mg_pass_at_k_by_hand():
    """k = 4: twice the mean over i = 3, 4 of G-Pass@4 at i / 4, divided by 4 and summed."""
    counts = counts_from([6], n=8)
    expected = 2 / 4 * (g_pass_at_k(counts, 4, 0.75) + g_pass_at_k(counts, 4, 1.0))
    assert mg_pass_at_k(counts, 4) == pytest.approx(expected)


@pytest.mark.parametrize(("k", "expected"), [(2, 1), (3, 2 / 3), (4, 1), (5, 4 / 5), (8, 1)])
def test_mg_pass_at_k_of_an_arm_that_is_always_correct(k, expected):
    assert mg_pass_at_k(counts_from([8]), k) == pytest.approx(expected)


def test_mg_pass_at_one_cannot_tell():
    """Its sum is empty: a perfect arm once showed 0."""
    assert np.isnan(mg_pass_at_k(counts_from([8]), 1))
    with pytest.raises(InputError, match="k = 9 is outside"):
        mg_pass_at_k(counts_from([8]), 9)


def test_cover_at_tau_by_hand_and_its_integral_is_pass_at_k():
    """For known p (as many draws as it takes to know it), pass@k = integral of k (1 - tau)^(k - 1) Cover@tau."""
    n = 10**6
    p = np.array([0.0, 0.01, 0.2, 0.5, 0.9])
    counts = counts_from((p * n).astype(int), n=n)
    assert cover_at_tau(counts, [0.2, 0.21, 1.0]).tolist() == [3 / 5, 2 / 5, 0.0]
    taus = np.linspace(0, 1, 20_001)[1:]
    for k in (1, 4, 16):
        integral = np.trapezoid(k * (1 - taus) ** (k - 1) * cover_at_tau(counts, taus), taus)
        assert integral == pytest.approx((1 - (1 - p) ** k).mean(), abs=2e-3)


def test_draws_that_stopped_early_are_refused():
    plan = Plan((4, 8), stop_at=2)
    counts = Counts(("a",), np.array([4]), np.array([3]), plan_P=(plan,))
    asks = (
        lambda: pass_hat_k(counts, [1]),
        lambda: mg_pass_at_k(counts, 1),
        lambda: cover_at_tau(counts, [0.5]),
        lambda: cot_pass_at_k(counts, Judged({}, {}), [1]),
    )
    for ask in asks:
        with pytest.raises(InputError, match="stopped early; take the first look's"):
            ask()


# extrapolation


@pytest.mark.parametrize("plan", [Plan.fixed(64), Plan.sequential(64, first_look=16, stop_at=8)])
def test_the_fit_finds_the_spread_and_extrapolates_under_any_plan(plan):
    rng = np.random.default_rng(3)
    p_P = np.where(rng.random(2000) < 0.1, 0.0, rng.beta(0.5, 1.5, 2000))
    draws = rng.random((2000, 64)) < p_P[:, None]
    totals = {n: draws[:, :n].sum(axis=1) for n in plan.looks}
    n_P = np.array([next(n for n in plan.looks if plan.stops(n, int(totals[n][row]))) for row in range(2000)])
    c_P = np.array([totals[n][row] for row, n in enumerate(n_P)])
    names = tuple(map(str, range(2000)))
    found = extrapolate(
        Counts(names, n_P, c_P, plan_P=() if plan.is_fixed else (plan,) * 2000), [1, 256], num_resamples=20
    )
    truth = (1 - (1 - p_P[:, None]) ** np.array([1, 256])).mean(axis=0)
    assert found.fits
    assert found.estimate_K == pytest.approx(truth, abs=0.03)
    assert found.lo_K[1] <= truth[1] <= found.hi_K[1]
    assert found.never == pytest.approx(0.1, abs=0.06)


@pytest.mark.parametrize("plan", [Plan.fixed(5), Plan((2, 4, 8), stop_at=2, give_up_at=4)], ids=str)
def test_expected_shares_are_the_integral_over_the_spread(plan):
    """The closed form against a fine sum over p of the chance of every stopping point."""
    a, b, never = 0.7, 1.6, 0.2
    p = beta(a, b).ppf((np.arange(20_000) + 0.5) / 20_000)
    at_S = (1 - never) * stop_probabilities(plan, p).mean(axis=0) + never * stop_probabilities(plan, [0.0])[0]
    n_S, c_S = np.array(stopping_points(plan)).T
    found = _shares(plan, (a, b, never))
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, np.bincount(_bins(n_S, c_S), weights=at_S, minlength=12), atol=1e-4)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-6, 4))
def test_the_gradient_of_the_likelihood_is_its_slope(log_a, log_b, logit_z):
    seen = (np.array([8, 8, 8, 4]), np.array([0, 3, 8, 2]), np.array([5, 2, 1, 3]))
    x = np.array([log_a, log_b, logit_z])
    slope = approx_fprime(x, lambda at: _loss(at, *seen)[0], 1e-6)
    np.testing.assert_allclose(_loss(x, *seen)[1], slope, atol=1e-3, rtol=1e-4)


def test_the_check_of_the_fit_neither_hides_nor_invents_a_poor_fit():
    """Data from the model: `fit_p` is spread over 0 to 1, so its mean is about 1/2. Where simulated data are compared
    with a fit that was not made to them, they deviate too much, and the mean is 0.69.
    """
    rng, found = np.random.default_rng(0), []
    for seed in range(80):
        c = rng.binomial(64, rng.beta(1.0, 1.0, 60))
        found.append(extrapolate(counts_from(c, n=64), [64], num_resamples=20, seed=seed).fit_p)
    assert np.mean(found) == pytest.approx(0.5, abs=4 * 0.29 / np.sqrt(80))
    assert np.mean(np.array(found) < 0.1) <= 0.25


def test_a_spread_that_is_no_beta_is_told_and_gets_no_interval():
    """Problems of two kinds, p = 0.2 and p = 0.8, and nothing between or beyond."""
    rng = np.random.default_rng(4)
    c = rng.binomial(200, np.where(rng.random(400) < 0.5, 0.2, 0.8))
    found = extrapolate(counts_from(c, n=200), [400], num_resamples=40)
    assert not found.fits
    assert np.isnan(found.lo_K).all()
    assert np.isnan(found.hi_K).all()


def test_too_few_problems_or_mixed_numbers_of_draws_are_refused():
    with pytest.raises(InputError, match="9 problems are too few"):
        extrapolate(counts_from([1] * 9), [16])
    mixed = Counts(tuple(map(str, range(12))), np.array([8] * 11 + [9]), np.full(12, 3))
    with pytest.raises(InputError, match="different plans"):
        extrapolate(mixed, [16])


# guessability, reasoning, prompts


def test_guessable_problems_are_left_out_and_counted():
    found = guessable(counts_from([0, 4, 8]), threshold=0.5)
    assert (found.kept, found.left_out) == (("p0",), ("p1", "p2"))


def test_correct_draws_that_no_judge_read_are_unknown():
    """They once counted as wrong in both bounds."""
    counts = counts_from([3, 2], n=4)
    low, high = cot_pass_at_k(counts, Judged({}, {}), [1])
    assert (low.estimate_K[0], high.estimate_K[0]) == (0.0, 5 / 8)
    judged = judged_reasoning(coded([CORRECT] * 3), coded([WRONG, NOT_JUDGED, NOT_JUDGED]))
    assert (judged.right, judged.unknown) == ({"p": 0}, {"p": 2})


def test_cot_pass_at_k_bounds_what_the_judge_cannot_tell():
    judged = judged_reasoning(coded([CORRECT, CORRECT, CORRECT, WRONG]), coded([CORRECT, WRONG, ERROR, CORRECT]))
    assert (judged.right, judged.unknown) == ({"p": 1}, {"p": 1})
    counts = Counts(("p",), np.array([4]), np.array([3]))
    low, high = cot_pass_at_k(counts, judged, [1, 2])
    assert low.estimate_K.tolist() == [1 / 4, 1 / 2]
    assert high.estimate_K.tolist() == pytest.approx([2 / 4, 5 / 6])
    with pytest.raises(InputError, match="more draws were judged"):
        cot_pass_at_k(replace(counts, c_P=np.array([1])), judged, [1])


def test_an_answer_that_the_verifier_failed_to_judge_is_unknown_too():
    """It was left out of both ends before."""
    answers, reasoning = coded([CORRECT, ERROR, WRONG, WRONG]), coded([CORRECT, NOT_JUDGED, NOT_JUDGED, NOT_JUDGED])
    low, high = cot_pass_at_k(answers.counts(), judged_reasoning(answers, reasoning), [1])
    assert (low.estimate_K[0], high.estimate_K[0]) == (1 / 4, 2 / 4)


def test_a_study_of_reasoning_has_both_ends_within_its_interval():
    """30 problems with 8 draws: 4 right answers, of which 2 have right reasoning and 1 could not be judged."""
    answers = coded(*[[CORRECT] * 4 + [WRONG] * 4] * 30)
    reasoning = coded(*[[CORRECT, CORRECT, ERROR, WRONG] + [NOT_JUDGED] * 4] * 30)
    found = study_reasoning(answers, reasoning)
    assert (found["num_draws"], found["num_correct_answers"]) == (8, 120)
    assert (found["num_right"], found["num_unknown"], found["num_errors"]) == (60, 30, 0)
    assert list(found["cot_pass@k"]) == list(found["pass@k"]) == ["1", "2"]
    row = found["cot_pass@k"]["1"]
    assert (row["unknown_wrong"], row["unknown_right"], found["pass@k"]["1"]["estimate"]) == (2 / 8, 3 / 8, 4 / 8)
    assert row["lo"] <= row["unknown_wrong"] < row["unknown_right"] <= row["hi"]
    assert found["cot_pass@k"]["2"]["unknown_wrong"] == pytest.approx(1 - 15 / 28)
    sure = study_reasoning(answers, coded(*[[CORRECT, CORRECT, WRONG, WRONG] + [NOT_JUDGED] * 4] * 30))
    assert sure["cot_pass@k"]["1"]["hi"] < row["hi"], "what could not be judged widens the interval"


def coded(*rows):
    """The outcomes of problems, the first of which is p."""
    names = ("p", *(f"p{n}" for n in range(1, len(rows))))
    return Outcomes(names, (None,) * len(rows), np.array(rows, dtype=np.int8))


def test_a_prompt_that_moves_pass_at_1_is_told_and_other_models_are_refused():
    arms = [declared_arm("m", {"template": text}, Sampling()) for text in ("{question}", "Q: {question}")]
    low, high = counts_from([1] * 60, n=64), counts_from([40] * 60, n=64)
    found = prompt_effect((arms[0], low), (arms[1], high), [1, 16])
    assert found.moves
    same = prompt_effect((arms[0], low), (arms[1], low), [1, 16])
    assert not same.moves
    other = declared_arm("other", {"template": "{question}"}, Sampling())
    with pytest.raises(InputError, match="the arms differ in weights too"):
        prompt_effect((arms[0], low), (other, high), [1])
