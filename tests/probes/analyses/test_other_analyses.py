"""Histogram, efficiency gap, reliability, extrapolation, guessability, reasoning, two prompts."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.analyses.curves import efficiency_gap
from probes.analyses.extrapolation import extrapolate
from probes.analyses.guessability import guessable
from probes.analyses.histogram import BINS, accuracy_histogram
from probes.analyses.prompts import prompt_effect
from probes.analyses.reasoning import Judged, cot_pass_at_k, judge_reasoning
from probes.analyses.reliability import cover_at_tau, g_pass_at_k, mg_pass_at_k, pass_hat_k
from probes.arm import Sampling, declared_arm
from probes.estimators import Counts, pass_at_k
from probes.plan import Plan
from probes.store import Draw
from rlvr.errors import InputError
from rlvr.problems import Problem


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
    for ask in (lambda: pass_hat_k(counts, [1]), lambda: cot_pass_at_k(counts, Judged({}, {}), [1])):
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


def test_cot_pass_at_k_bounds_what_the_judge_cannot_tell():
    problem = Problem("1+1", "2")
    key = problem.problem_id
    said = {"right": True, "lucky": False, "unclear": None}
    draws = [Draw(key, index, text, 1, False, "x") for index, text in enumerate(["right", "lucky", "unclear", "wrong"])]
    judged = judge_reasoning(draws, {key: {0, 1, 2}}, {key: problem}, lambda _, text: said[text])
    assert (judged.right, judged.unknown) == ({key: 1}, {key: 1})
    counts = Counts((key,), np.array([4]), np.array([3]))
    low, high = cot_pass_at_k(counts, judged, [1, 2])
    assert low.estimate_K.tolist() == [1 / 4, 1 / 2]
    assert high.estimate_K.tolist() == pytest.approx([2 / 4, 5 / 6])
    with pytest.raises(InputError, match="more draws were judged"):
        cot_pass_at_k(replace(counts, c_P=np.array([1])), judged, [1])


def test_a_prompt_that_moves_pass_at_1_is_told_and_other_models_are_refused():
    arms = [declared_arm("m", {"template": text}, Sampling()) for text in ("{question}", "Q: {question}")]
    low, high = counts_from([1] * 60, n=64), counts_from([40] * 60, n=64)
    assert prompt_effect((arms[0], low), (arms[1], high), [1, 16]).moves
    assert not prompt_effect((arms[0], low), (arms[1], low), [1, 16]).moves
    other = declared_arm("other", {"template": "{question}"}, Sampling())
    with pytest.raises(InputError, match="the arms differ in weights too"):
        prompt_effect((arms[0], low), (other, high), [1])
