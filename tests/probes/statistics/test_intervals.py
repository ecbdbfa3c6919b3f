import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from probes.statistics.estimators import Counts, fail_at_k
from probes.statistics.intervals import (
    Comparison,
    StepComparison,
    compare,
    compare_counts,
    crossing,
    curve_band,
    problem_interval,
)
from rlvr.errors import InputError

KS = (1, 4, 16, 64, 256)


def pass_table(rng, p, n, ks=KS):
    """Per-problem pass@k of n fresh draws for success rates p."""
    return 1 - fail_at_k(np.full(len(p), n), rng.binomial(n, p), ks)


def true_pass(p, ks=KS):
    return np.array([1 - np.mean((1 - p) ** k) for k in ks])


def counts_from(c, n=8, ids=None, **more):
    ids = ids or tuple(f"p{row}" for row in range(len(c)))
    return Counts(ids, np.full(len(c), n), np.array(c), **more)


def compare_differences(values, **more):
    """Compares two arms whose differences at one k are the given values."""
    column = np.array(values)[:, None]
    return compare(np.maximum(-column, 0), np.maximum(column, 0), [1], **more)


def verdict(*values, **more):
    return compare_differences(values, **more).at().verdict_K[0]


# problem_interval


@pytest.mark.parametrize(("num_problems", "solved"), [(5, 0), (5, 5), (10, 3), (30, 29), (100, 50)])
def test_interval_of_zeros_and_ones_is_clopper_pearson(num_problems, solved):
    values = np.repeat([0.0, 1.0], [num_problems - solved, solved])[:, None]
    lo, hi = problem_interval(values, num_resamples=100_000)
    failed = num_problems - solved
    expected_lo = beta.ppf(0.025, solved, failed + 1) if solved else 0.0
    expected_hi = beta.ppf(0.975, solved + 1, failed) if failed else 1.0
    assert lo[0] == pytest.approx(expected_lo, abs=0.005)
    assert hi[0] == pytest.approx(expected_hi, abs=0.005)


def test_all_problems_solved_is_not_certainty():
    lo, hi = problem_interval(np.ones((20, 2)), num_resamples=20_000)
    assert lo == pytest.approx([0.025 ** (1 / 20)] * 2, abs=0.01)
    assert hi.tolist() == [1.0, 1.0]


def test_no_problem_solved_is_not_certainty():
    lo, hi = problem_interval(np.zeros((20, 1)), num_resamples=20_000)
    assert lo[0] == 0.0
    assert hi[0] == pytest.approx(1 - 0.025 ** (1 / 20), abs=0.01)


def test_equal_values_inside_the_range_are_not_certainty():
    lo, hi = problem_interval(np.full((50, 1), 0.5))
    assert lo[0] < 0.48
    assert hi[0] > 0.52


@pytest.mark.parametrize(("values", "clusters"), [([[0.3, 0.7]], None), ([[0.3], [0.4], [0.9]], ("a", "a", "a"))])
def test_one_problem_or_one_family_cannot_tell(values, clusters):
    lo, hi = problem_interval(values, clusters)
    assert np.isnan(lo).all()
    assert np.isnan(hi).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=2, max_size=12), st.integers(0, 5))
def test_interval_is_ordered_within_zero_and_one_and_rises_with_the_estimates(rows, seed):
    values = np.sort(np.array(rows), axis=1)
    lo, hi = problem_interval(values, num_resamples=200, seed=seed)
    assert (lo >= 0).all()
    assert (lo <= values.mean(axis=0) + 1e-12).all()
    assert (values.mean(axis=0) <= hi + 1e-12).all()
    assert (hi <= 1).all()
    assert (np.diff(lo) >= -1e-12).all()
    assert (np.diff(hi) >= -1e-12).all()


def test_interval_depends_on_the_seed_and_on_nothing_else():
    values = np.random.default_rng(3).random((40, 2))
    first, again, other = (np.array(problem_interval(values, seed=seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).all()
    np.testing.assert_allclose(first, other, atol=0.01)


def test_interval_narrows_with_problems_and_widens_with_confidence():
    values = np.random.default_rng(3).random((400, 1))

    def width(rows, confidence=0.95):
        lo, hi = problem_interval(rows, confidence=confidence)
        return hi[0] - lo[0]

    assert width(values) < 0.6 * width(values[:100])
    assert width(values) < width(values, confidence=0.99)


def test_copies_of_a_family_add_no_information():
    values = np.random.default_rng(3).random((20, 1))
    clusters = [str(row) for row in range(20)] * 5
    plain = np.array(problem_interval(values, num_resamples=20_000))
    copied = np.array(problem_interval(np.tile(values, (5, 1)), clusters, num_resamples=20_000))
    np.testing.assert_allclose(copied, plain, atol=1e-9)


def test_the_band_of_one_k_is_its_interval():
    values = np.random.default_rng(1).random((40, 1))
    lo, hi = problem_interval(values, num_resamples=40_000)
    band_lo, band_hi = curve_band(values, num_resamples=40_000)
    assert band_lo == pytest.approx(lo, abs=0.01)
    assert band_hi == pytest.approx(hi, abs=0.01)


def test_the_band_is_nowhere_narrower_than_the_interval_and_stays_in_range():
    p_P = np.random.default_rng(2).beta(0.4, 1.5, 60)
    values = 1 - (1 - p_P[:, None]) ** np.array([1, 4, 16, 64, 256])
    lo, hi = problem_interval(values, num_resamples=4000, seed=3)
    band_lo, band_hi = curve_band(values, num_resamples=4000, seed=3)
    assert (band_lo <= lo + 1e-12).all()
    assert (band_hi >= hi - 1e-12).all()
    assert (band_lo < lo).any()
    assert ((band_lo >= 0) & (band_hi <= 1)).all()


def test_the_band_of_zeros_and_ones_at_one_k_is_clopper_pearson():
    values = np.repeat([0.0, 1.0], [7, 3])[:, None]
    lo, hi = curve_band(values, num_resamples=100_000)
    assert lo[0] == pytest.approx(beta.ppf(0.025, 3, 8), abs=0.01)
    assert hi[0] == pytest.approx(beta.ppf(0.975, 4, 7), abs=0.01)


def test_the_band_at_more_k_is_never_narrower_and_copies_of_one_k_change_nothing():
    values = np.random.default_rng(4).random((40, 3))
    alone = np.array(curve_band(values[:, :1], seed=2))
    np.testing.assert_allclose(curve_band(np.repeat(values[:, :1], 3, axis=1), seed=2), np.repeat(alone, 3, axis=1))
    lo, hi = curve_band(values, seed=2)
    assert lo[0] < alone[0, 0]
    assert hi[0] > alone[1, 0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=2, max_size=12), st.integers(0, 5))
def test_the_band_rises_with_the_curve_and_still_holds_the_interval(rows, seed):
    values = np.sort(np.array(rows), axis=1)
    band_lo, band_hi = curve_band(values, num_resamples=200, seed=seed)
    lo, hi = problem_interval(values, num_resamples=200, seed=seed)
    assert (np.diff(band_lo) >= 0).all()
    assert (np.diff(band_hi) >= 0).all()
    assert (band_lo <= lo + 1e-9).all()
    assert (band_hi >= hi - 1e-9).all()


def test_the_band_does_not_make_a_falling_curve_rise():
    values = np.column_stack([np.full(30, 0.9), np.full(30, 0.1)])
    lo, hi = curve_band(values)
    assert lo[0] > hi[1]


def test_the_band_of_one_family_cannot_tell():
    assert np.isnan(curve_band(np.full((3, 2), 0.5), ["a", "a", "a"])).all()


@pytest.mark.slow
def test_the_band_covers_the_curve_of_the_population_at_all_k_at_once():
    """Measured over 300 benchmarks of 60 problems; intervals at each k alone cover all k together less often."""
    rng, ks = np.random.default_rng(5), np.array([1, 4, 16, 64, 256])
    truth = (1 - (1 - rng.beta(0.4, 1.5, 400_000)[:, None]) ** ks).mean(axis=0)
    in_band, in_intervals = 0, 0
    for seed in range(300):
        values = 1 - (1 - rng.beta(0.4, 1.5, 60)[:, None]) ** ks
        band_lo, band_hi = curve_band(values, num_resamples=1000, seed=seed)
        lo, hi = problem_interval(values, num_resamples=1000, seed=seed)
        in_band += bool(((band_lo <= truth) & (truth <= band_hi)).all())
        in_intervals += bool(((lo <= truth) & (truth <= hi)).all())
    assert in_band / 300 >= 0.93
    assert in_intervals < in_band


def test_problems_without_a_family_are_their_own():
    values = np.random.default_rng(3).random((20, 2))
    assert np.array_equal(problem_interval(values), problem_interval(values, [None] * 20))
    assert np.array_equal(problem_interval(values), problem_interval(values, [str(row) for row in range(20)]))


@pytest.mark.parametrize(
    ("values", "more", "message"),
    [
        ([[0.5], [1.5]], {}, "values from 0.5 to 1.5; expected pass@k within"),
        ([[0.5], [np.nan]], {}, "expected pass@k within"),
        ([0.5, 0.5], {}, r"shape \(2,\); expected 2 axes"),
        (np.zeros((0, 1)), {}, "none empty"),
        ([[0.5], [0.5]], {"clusters": ["a"]}, "1 names for 2 problems"),
        ([[0.5], [0.5]], {"confidence": 1.0}, "confidence: 1.0 is not usable"),
        ([[0.5], [0.5]], {"num_resamples": 0}, "num_resamples: 0 is too small"),
    ],
)
def test_interval_refuses_nonsense(values, more, message):
    with pytest.raises(InputError, match=message):
        problem_interval(values, **more)


def test_memory_stays_bounded_for_many_problems():
    values = np.random.default_rng(0).random((20_000, 2))
    tracemalloc.start()
    problem_interval(values, num_resamples=2000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6


POPULATIONS = {
    "math-like": lambda rng, size: rng.beta(0.3, 1.5, size),
    "near one": lambda rng, size: rng.beta(8, 0.3, size),
    "near zero": lambda rng, size: rng.beta(0.02, 3, size),
    "polarised": lambda rng, size: rng.beta(0.1, 0.1, size),
    "all alike": lambda rng, size: np.full(size, 0.02),
    "solved or never": lambda rng, size: (rng.random(size) < 0.97).astype(float),
}


@pytest.mark.slow
@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("num_problems", [5, 30, 100])
def test_interval_covers_the_mean_of_the_population(population, num_problems):
    """At least 95 % at each k; 400 repetitions put 3 standard errors at 3.3 points."""
    sample, ks, repetitions = POPULATIONS[population], (1, 4, 16, 32), 400
    truth = true_pass(sample(np.random.default_rng(7), 1_000_000), ks)
    rng, covered = np.random.default_rng(1), np.zeros(len(ks))
    for seed in range(repetitions):
        table = pass_table(rng, sample(rng, num_problems), 64, ks)
        lo, hi = problem_interval(table, num_resamples=500, seed=seed)
        covered += (lo <= truth) & (truth <= hi)
    assert (covered / repetitions >= 0.95 - 0.033).all()


@pytest.mark.slow
@pytest.mark.parametrize("family_sizes", ["equal", "unequal"])
def test_interval_covers_when_problems_come_in_families(family_sizes):
    """Ignoring the families would cover about half of the time."""
    rng, big, repetitions, ks = np.random.default_rng(3), np.random.default_rng(9), 300, (1, 16)
    rate = big.beta(0.6, 1.2, 500_000)
    truth = true_pass(big.beta(rate * 4 + 1e-9, (1 - rate) * 4 + 1e-9), ks)
    covered, ignored = np.zeros(2), np.zeros(2)
    for seed in range(repetitions):
        sizes = np.full(30, 5) if family_sizes == "equal" else rng.geometric(0.15, 30)
        family = np.repeat(np.arange(30), sizes)
        rate = rng.beta(0.6, 1.2, 30)[family]
        table = pass_table(rng, rng.beta(rate * 4 + 1e-9, (1 - rate) * 4 + 1e-9), 64, ks)
        for counter, clusters in ((covered, [str(name) for name in family]), (ignored, None)):
            lo, hi = problem_interval(table, clusters, num_resamples=500, seed=seed)
            counter += (lo <= truth) & (truth <= hi)
    assert (covered / repetitions >= 0.95 - 0.038).all()
    assert (ignored / repetitions < 0.8).all()


# compare


def test_clear_changes_are_named():
    base, other = np.tile([0.1, 0.9], (200, 1)), np.tile([0.4, 0.5], (200, 1))
    result = compare(base, other, [1, 256]).at()
    assert result.ks == (1, 256)
    assert result.verdict_K == ("gain", "loss")
    np.testing.assert_allclose(result.difference_K, [0.3, -0.4])
    assert (result.lo_K < result.difference_K).all()
    assert (result.difference_K < result.hi_K).all()


def test_equal_arms_cannot_tell_and_are_not_certain():
    table = np.random.default_rng(0).random((50, 3))
    result = compare(table, table, [1, 2, 4]).at()
    assert result.verdict_K == ("cannot tell",) * 3
    assert (result.difference_K == 0).all()
    assert (result.lo_K < -0.02).all()
    assert (result.hi_K > 0.02).all()


@pytest.mark.parametrize(
    ("gained", "lost", "expected"),
    [
        # Exact McNemar: 2^-5 per side is above 2.5 %, 2^-6 below; 1 of 9 and 2 of 11 below and above.
        (0, 5, "cannot tell"),
        (0, 6, "loss"),
        (6, 0, "gain"),
        (1, 8, "loss"),
        (2, 9, "cannot tell"),
        (2, 10, "loss"),
        (5, 18, "loss"),
    ],
)
def test_sparse_differences_follow_exact_mcnemar(gained, lost, expected):
    values = np.repeat([1.0, -1.0, 0.0], [gained, lost, 100 - gained - lost])
    assert verdict(*values, num_resamples=40_000) == expected


@pytest.mark.parametrize(("num_problems", "expected"), [(30, "cannot tell"), (36, "cannot tell"), (42, "gain")])
def test_an_equal_small_gain_needs_enough_problems(num_problems, expected):
    """A gain of g in all of P problems leaves (1 + g)^-P to chance: 2.5 % at P = 38.7 for g = 0.1."""
    assert verdict(*[0.1] * num_problems, num_resamples=40_000) == expected


def test_all_problems_lost_is_a_loss_with_a_finite_band():
    result = compare(np.ones((20, 1)), np.zeros((20, 1)), [256]).at()
    assert result.verdict_K == ("loss",)
    assert result.lo_K[0] == -1.0
    assert -1.0 < result.hi_K[0] < 0.0


def test_exchanging_the_arms_mirrors_the_band():
    rng = np.random.default_rng(0)
    base, other = rng.random((30, 2)), rng.random((30, 2))
    forward, backward = compare(base, other, [1, 2]).at(), compare(other, base, [1, 2]).at()
    np.testing.assert_allclose(forward.lo_K, -backward.hi_K, atol=1e-12)
    np.testing.assert_allclose(forward.hi_K, -backward.lo_K, atol=1e-12)


def test_band_over_many_k_is_wider_than_at_one():
    rng = np.random.default_rng(0)
    base, other = rng.random((60, 20)), rng.random((60, 20))
    together, alone = compare(base, other, range(1, 21)).at(), compare(base[:, :1], other[:, :1], [1]).at()
    assert together.lo_K[0] < alone.lo_K[0]
    assert together.hi_K[0] > alone.hi_K[0]


def test_repeating_one_k_costs_nothing():
    base, other = np.random.default_rng(0).random((2, 60, 1))
    alone, thrice = compare(base, other, [1]).at(), compare(np.tile(base, 3), np.tile(other, 3), [1, 2, 3]).at()
    np.testing.assert_allclose(thrice.lo_K, alone.lo_K[0], atol=1e-12)


def test_stack_of_steps_has_one_band_and_one_row_per_step():
    base, *steps = np.random.default_rng(0).random((4, 60, 2))
    stack = compare(base, np.stack(steps), [1, 2])
    assert isinstance(stack, Comparison)
    assert stack.lo_SK.shape == (3, 2)
    for position, step in enumerate(steps):
        row, alone = stack.at(position), compare(base, step, [1, 2]).at()
        np.testing.assert_allclose(row.difference_K, alone.difference_K)
        assert (row.lo_K <= alone.lo_K + 0.01).all()
    assert (stack.at().difference_K == stack.at(2).difference_K).all()


def test_one_problem_cannot_tell():
    result = compare([[0.0]], [[1.0]], [1]).at()
    assert result.difference_K.tolist() == [1.0]
    assert np.isnan(result.lo_K).all()
    assert result.verdict_K == ("cannot tell",)


def test_one_family_cannot_tell():
    assert verdict(*[1.0] * 30, clusters=["a"] * 30) == "cannot tell"


def test_comparison_is_seeded():
    base, other = np.random.default_rng(0).random((2, 30, 3))
    first, again, different = (compare(base, other, [1, 2, 3], seed=seed).lo_SK for seed in (4, 4, 5))
    assert (first == again).all()
    assert (first != different).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=15))
def test_band_holds_the_difference_and_stays_in_range(values):
    result = compare_differences(values, num_resamples=300)
    assert -1 <= result.lo_SK[0, 0] <= result.difference_SK[0, 0] + 1e-12
    assert result.difference_SK[0, 0] - 1e-12 <= result.hi_SK[0, 0] <= 1


@pytest.mark.parametrize(
    ("base", "other", "ks", "message"),
    [
        (np.zeros((3, 2)), np.zeros((4, 2)), [1, 2], "do not fit; expected"),
        (np.zeros((3, 2)), np.zeros((3, 2)), [1], "do not fit; expected"),
        (np.zeros((3, 1)), np.zeros((2, 4, 1)), [1], "do not fit; expected"),
        (np.zeros((3, 1)), np.full((3, 1), 2.0), [1], "other_SPK: values from 2.0 to 2.0"),
    ],
)
def test_compare_refuses_tables_that_do_not_fit(base, other, ks, message):
    with pytest.raises(InputError, match=message):
        compare(base, other, ks)


def test_compare_counts_matches_problems_by_id():
    base = counts_from([8, 8, 0, 0] * 10, ids=tuple(f"{row:02}" for row in range(40)))
    other = counts_from([0, 0, 8, 8] * 10, ids=tuple(f"{row:02}" for row in reversed(range(40))))
    assert (compare_counts(base, other, [1, 4]).difference_SK == 0).all()


def test_compare_counts_takes_one_arm_per_step_and_the_families_of_the_base():
    base = counts_from([0, 4, 8], cluster_P=("a", "a", "a"))
    result = compare_counts(base, [counts_from([8, 8, 8]), counts_from([0, 0, 0])], [1, 2])
    np.testing.assert_allclose(result.difference_SK[:, 0], [0.5, -0.5])
    assert np.isnan(result.lo_SK).all()


def test_compare_counts_names_the_problems_that_differ():
    base, other = counts_from([1, 2], ids=("a", "b")), counts_from([1, 2], ids=("b", "c"))
    with pytest.raises(InputError, match="only in the first: a; only in the second: c"):
        compare_counts(base, other, [1])
    with pytest.raises(InputError, match="expected at least one"):
        compare_counts(base, [], [1])


NULLS = {
    "math-like": lambda rng, size: rng.beta(0.3, 1.5, size),
    "pass@256 near one": lambda rng, size: rng.uniform(0.01, 0.05, size),
    "all alike, near one": lambda rng, size: np.full(size, 0.02),
    "hard": lambda rng, size: rng.beta(0.05, 3, size),
    "nearly all solved": lambda rng, size: np.where(rng.random(size) < 0.04, 0.002, rng.beta(0.8, 1.5, size)),
}


@pytest.mark.slow
@pytest.mark.parametrize("null", NULLS)
@pytest.mark.parametrize(("n_base", "n_other"), [(256, 256), (512, 512), (1024, 256)])
@pytest.mark.parametrize("num_problems", [10, 100])
def test_no_change_is_hardly_ever_called_a_change(null, n_base, n_other, num_problems):
    """At most 5 % of comparisons name a change at any k. Bands made of the differences seen reach 80 % here: with n = k
    the arm of fewer draws shows pass@256 = 1 nearly everywhere, and its rare failures are not among the problems seen.
    """
    rng, named, repetitions = np.random.default_rng(2), 0, 100
    for seed in range(repetitions):
        p = NULLS[null](rng, num_problems)
        base, other = pass_table(rng, p, n_base), pass_table(rng, p, n_other)
        words = compare(base, other, KS, num_resamples=1000, seed=seed).at().verdict_K
        named += set(words) != {"cannot tell"}
    assert named <= 0.05 * repetitions


@pytest.mark.slow
def test_no_change_at_any_of_ten_checkpoints():
    rng, named, repetitions = np.random.default_rng(2), 0, 100
    for seed in range(repetitions):
        p = rng.beta(0.3, 1.5, 100)
        base, *steps = (pass_table(rng, p, 512) for _ in range(11))
        result = compare(base, np.stack(steps), KS, num_resamples=1000, seed=seed)
        named += bool(((result.lo_SK > 0) | (result.hi_SK < 0)).any())
    assert named <= 0.05 * repetitions


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0.02, 0.05, 0.1])
def test_problems_flipping_both_ways_alike_is_no_change(lost):
    """Differences of -1, 0 and 1: the regime of exact McNemar, where the level of 5 % is nearly used up."""
    rng, named, repetitions = np.random.default_rng(2), 0, 300
    for seed in range(repetitions):
        values = rng.choice([-1.0, 0.0, 1.0], size=100, p=[lost, 1 - 2 * lost, lost])
        named += verdict(*values, num_resamples=1000, seed=seed) != "cannot tell"
    assert named <= 0.05 * repetitions + 3 * np.sqrt(0.05 * 0.95 * repetitions)


CHANGES = {
    "sharpened": lambda rng, p: np.where(rng.random(len(p)) < 0.7, p**0.6, p**1.6),
    "small gain": lambda rng, p: np.minimum(1, p * 1.15),
    "rare problems lost": lambda rng, p: np.where(rng.random(len(p)) < 0.03, 0, np.minimum(1, p * 1.05)),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("num_problems", [10, 30, 100])
def test_band_covers_true_changes_at_all_k_at_once(change, num_problems):
    """The population's change lies in the band at every k; 200 repetitions put 3 standard errors at 4.6 points."""
    big, rng, covered, repetitions = np.random.default_rng(9), np.random.default_rng(5), 0, 200
    p = big.random(1_000_000)
    truth = true_pass(CHANGES[change](big, p)) - true_pass(p)
    for seed in range(repetitions):
        p = rng.random(num_problems)
        base, other = pass_table(rng, p, 512), pass_table(rng, CHANGES[change](rng, p), 512)
        result = compare(base, other, KS, num_resamples=1000, seed=seed).at()
        covered += bool(((result.lo_K <= truth) & (truth <= result.hi_K)).all())
    assert covered / repetitions >= 0.95 - 0.046


@pytest.mark.slow
def test_sharpening_that_loses_the_tail_is_seen():
    """Half of the hardest problems lost, the others found sooner: gain at 1 and loss at 256, with 300 problems."""
    rng, gains, losses, repetitions = np.random.default_rng(5), 0, 0, 50
    for seed in range(repetitions):
        p = rng.beta(0.3, 1.5, 300)
        later = np.where((p < 0.03) & (rng.random(300) < 0.6), 0, p**0.7)
        words = compare(pass_table(rng, p, 512), pass_table(rng, later, 512), KS, num_resamples=1000, seed=seed).at()
        gains += words.verdict_K[0] == "gain"
        losses += words.verdict_K[-1] == "loss"
    assert gains >= 0.95 * repetitions
    assert losses >= 0.5 * repetitions


# crossing


def words_over_k(*words):
    ks = tuple(2**power for power in range(len(words)))
    zeros = np.zeros(len(words))
    return StepComparison(ks, zeros, zeros, zeros, words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("gain", "gain", "cannot tell", "loss"), (2, 8)),
        (("gain", "loss"), (1, 2)),
        (("cannot tell", "gain", "cannot tell", "loss", "loss"), (2, 8)),
        (("gain", "gain"), None),
        (("cannot tell", "loss"), None),
        (("cannot tell",), None),
        (("loss", "gain"), None),
        (("gain", "loss", "gain"), None),
    ],
)
def test_crossing_by_hand(words, expected):
    assert crossing(words_over_k(*words)) == expected
