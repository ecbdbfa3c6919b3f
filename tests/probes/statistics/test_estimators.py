from fractions import Fraction
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.statistics.estimators import Counts, detectable_p, draw_variance, error_bounds, fail_at_k, pass_at_k
from rlvr.errors import InputError, ProblemError


@st.composite
def draws(draw, max_n=200):
    """n, c and k with 0 <= c <= n and 1 <= k <= n."""
    n = draw(st.integers(1, max_n))
    return n, draw(st.integers(0, n)), draw(st.integers(1, n))


def named(problem_ids, n, c, errors=(), clusters=()):
    """Counts from plain lists."""
    return Counts(problem_ids, n, c, errors, clusters)


def counts_of(*pairs, errors=()):
    n, c = zip(*pairs, strict=True)
    return Counts(tuple(f"p{row}" for row in range(len(n))), np.array(n), np.array(c), np.array(errors))


def binomial(n, p):
    """Probabilities of c = 0, ..., n, exact up to the last rounding."""
    p = Fraction(p)
    return np.array([float(comb(n, c) * p**c * (1 - p) ** (n - c)) for c in range(n + 1)])


def every_c(n) -> tuple[Any, Any]:
    """n and c of every possible number of successes."""
    return np.full(n + 1, n), np.arange(n + 1)


# fail_at_k


def test_fail_at_k_by_hand():
    assert fail_at_k([4, 4, 4, 4], [0, 1, 2, 4], 2).tolist() == [1.0, 0.5, pytest.approx(1 / 6), 0.0]


def test_one_success_in_four_draws_is_found_by_four_attempts():
    assert 1 - fail_at_k([4], [1], 4)[0] == 1.0
    assert 1 - fail_at_k([4], [1], 2)[0] == 0.5


@pytest.mark.parametrize(("n", "with_replacement"), [(4, 0.684), (8, 0.656), (64, 0.635)])
def test_draws_with_replacement_would_be_biased_where_this_estimate_is_one(n, with_replacement):
    assert 1 - (1 - 1 / n) ** n == pytest.approx(with_replacement, abs=5e-4)
    assert 1 - fail_at_k([n], [1], n)[0] == 1.0


@pytest.mark.parametrize(("n", "c", "k"), [(1, 0, 1), (1, 1, 1), (5, 2, 3), (6, 1, 6), (7, 4, 2), (8, 3, 5)])
def test_fail_at_k_is_the_share_of_subsets_without_success(n, c, k):
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    assert fail_at_k([n], [c], k)[0] == pytest.approx(sum(not any(subset) for subset in subsets) / len(subsets))


@given(draws())
def test_fail_at_k_against_exact_fractions(case):
    n, c, k = case
    assert fail_at_k([n], [c], k)[0] == pytest.approx(comb(n - c, k) / comb(n, k), rel=1e-13)


@pytest.mark.parametrize("n", [4096, 65_535, 65_536])
def test_fail_at_k_keeps_twelve_digits_for_many_draws(n):
    c = np.array([0, 1, 7, 300, 2000, n // 2, n - 300, n - 1, n])
    ks = [1, 2, 255, 1024, n // 2, n - 1, n]
    # True division of integers is correctly rounded however long they are.
    exact = [[comb(n - int(c_), k) / comb(n, k) for k in ks] for c_ in c]
    np.testing.assert_allclose(fail_at_k(np.full(len(c), n), c, ks), exact, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("p", ["0", "1/100", "3/10", "1/2", "9/10", "1"])
@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_fail_at_k_is_unbiased_by_enumeration(n, p):
    ks = range(1, n + 1)
    expected = binomial(n, p) @ fail_at_k(*every_c(n), ks)
    np.testing.assert_allclose(expected, [float((1 - Fraction(p)) ** k) for k in ks], atol=1e-12)


@given(draws(max_n=60))
def test_fail_at_k_falls_with_k_and_with_c(case):
    n, c, _ = case
    over_k = fail_at_k([n], [c], range(1, n + 1))[0]
    assert (np.diff(over_k) <= 0).all()
    over_c = fail_at_k(*every_c(n), range(1, n + 1))
    assert (np.diff(over_c, axis=0) <= 0).all()
    assert (over_c[0] == 1).all()
    assert (over_c[-1] == 0).all()


def test_one_k_gives_a_vector_and_several_a_matrix():
    assert fail_at_k([4, 8], [1, 1], 2).shape == (2,)
    assert fail_at_k([4, 8], [1, 1], [2]).shape == (2, 1)
    assert fail_at_k([4, 8], [1, 1], (1, 2, 4)).shape == (2, 3)


def test_blocks_of_problems_change_nothing():
    """More problems than fit in one block of a temporary array at k = 32,768."""
    c = np.arange(70)
    n = np.full(70, 65_536)
    whole = fail_at_k(n, c, [32_768])
    alone = np.concatenate([fail_at_k(n[row : row + 1], c[row : row + 1], [32_768]) for row in range(70)])
    assert (whole == alone).all()


def test_problems_may_have_different_numbers_of_draws():
    expected = [[0.75, 0.5], [0.875, 0.75]]
    np.testing.assert_allclose(fail_at_k([4, 8], [1, 1], [1, 2]), expected)


def test_k_above_n_names_the_problem():
    with pytest.raises(InputError, match=r"k = 8 exceeds n = 4 of problem 'b'; ask for k <= 4 or draw more\."):
        fail_at_k([16, 4], [1, 1], 8, problem_ids=["a", "b"])
    with pytest.raises(InputError, match="of problem number 1"):
        fail_at_k([16, 4], [1, 1], 8)


@pytest.mark.parametrize("k", [0, -1, []])
def test_k_below_one_is_refused(k):
    with pytest.raises(InputError, match="expected one or more whole numbers >= 1"):
        fail_at_k([4], [1], k)


# draw_variance


@pytest.mark.parametrize("p", ["0", "1/20", "1/3", "4/5", "1"])
@pytest.mark.parametrize("n", [2, 5, 12])
def test_draw_variance_is_unbiased_by_enumeration(n, p):
    ks = range(1, n // 2 + 1)
    chances, estimates = binomial(n, p), fail_at_k(*every_c(n), ks)
    true_variance = chances @ estimates**2 - (chances @ estimates) ** 2
    np.testing.assert_allclose(chances @ draw_variance(*every_c(n), ks), true_variance, atol=1e-12)


@pytest.mark.parametrize(("n", "sd"), [(128, 0.447), (256, 0.263), (512, 0.170)])
def test_sd_of_pass_at_128_of_a_hard_problem(n, sd):
    chances, estimates = binomial(n, "1/100"), fail_at_k(*every_c(n), 128)
    true_variance = chances @ estimates**2 - (chances @ estimates) ** 2
    assert np.sqrt(true_variance) == pytest.approx(sd, abs=5e-4)
    if n >= 256:
        assert chances @ draw_variance(*every_c(n), [128])[:, 0] == pytest.approx(true_variance, abs=1e-12)


def test_draw_variance_cannot_tell_where_n_is_below_2k():
    variance = draw_variance([4, 7, 8], [1, 1, 1], [1, 2, 4])
    assert np.isnan(variance).tolist() == [[False, False, True], [False, False, True], [False, False, False]]


@given(draws())
def test_draw_variance_is_never_negative_for_a_fixed_number_of_draws(case):
    n, c, k = case
    assert not draw_variance([2 * n], [c], [k])[0, 0] < -1e-15


def test_draw_variance_of_one_attempt_is_that_of_a_mean():
    assert draw_variance([10], [3], [1])[0, 0] == pytest.approx(0.3 * 0.7 / 9)


# Counts


def test_counts_fill_in_errors_and_clusters():
    counts = named(("a", "b"), [4, 4], [1, 2])
    assert counts.errors_P.tolist() == [0, 0]
    assert counts.cluster_P == (None, None)
    assert counts.n_P.dtype == np.int64
    assert counts.num_problems == 2
    assert counts.largest_k == 4


def test_counts_cannot_be_changed():
    given_n = np.array([4])
    counts = named(("a",), given_n, np.array([1]))
    given_n[0] = 1
    assert counts.n_P.tolist() == [4]
    with pytest.raises(ValueError, match="read-only"):
        counts.n_P[0] = 1


@pytest.mark.parametrize(
    ("n", "c", "message"),
    [
        ([4, 4], [1, 5], r"problem 'b': c = 5 exceeds n = 4; expected 0 <= c <= n\."),
        ([4, 4], [1, -1], "problem 'b': c = -1 is negative"),
        ([4, 0], [1, 0], "problem 'b': n = 0 draws judged; expected at least 1"),
        ([4, -3], [1, 0], "problem 'b': n = -3"),
        ([4, 2.5], [1, 0], r"problem 'b': n_P holds 2.5; expected a whole number"),
        ([4, float("nan")], [1, 0], "problem 'b': n_P holds nan"),
        ([4, 4, 4], [1, 1], r"n_P has shape \(3,\); expected \(2,\)"),
    ],
)
def test_impossible_counts_name_the_problem(n, c, message):
    with pytest.raises(ProblemError, match=message):
        named(("a", "b"), n, c)


def test_negative_errors_name_the_problem():
    with pytest.raises(ProblemError, match="problem 'p1': errors = -2 is negative"):
        counts_of((4, 1), (4, 1), errors=(0, -2))


def test_repeated_problem_is_named():
    with pytest.raises(ProblemError, match="problem 'a' occurs more than once"):
        named(("a", "b", "a"), [4, 4, 4], [1, 1, 1])


def test_counts_need_a_problem_and_one_cluster_each():
    with pytest.raises(ProblemError, match="no problems found"):
        named((), [], [])
    with pytest.raises(ProblemError, match="1 clusters for 2 problems"):
        named(("a", "b"), [4, 4], [1, 1], clusters=("x",))


def test_alignment_reorders_every_array():
    base = named(("a", "b", "c"), [4, 4, 4], [0, 1, 2])
    other = named(("c", "a", "b"), [8, 6, 7], [3, 1, 2], [9, 7, 8], ("z", "x", "y"))
    aligned = other.aligned_to(base)
    assert aligned.problem_ids == ("a", "b", "c")
    assert aligned.n_P.tolist() == [6, 7, 8]
    assert aligned.c_P.tolist() == [1, 2, 3]
    assert aligned.errors_P.tolist() == [7, 8, 9]
    assert aligned.cluster_P == ("x", "y", "z")


def test_alignment_names_the_problems_that_differ():
    base = named(("a", "b"), [4, 4], [0, 1])
    other = named(("b", "c"), [4, 4], [0, 1])
    with pytest.raises(InputError, match="only in the first: a; only in the second: c"):
        other.aligned_to(base)


def test_alignment_lists_five_names_at_most():
    base = named(("a",), [4], [0])
    other = named(tuple("abcdefghij"), [4] * 10, [0] * 10)
    with pytest.raises(InputError, match=r"only in the second: b, c, d, e, f and 4 more"):
        other.aligned_to(base)


# pass_at_k, error_bounds, detectable_p


def test_pass_at_k_by_hand():
    result = pass_at_k(counts_of((4, 1), (4, 4)), [1, 2])
    assert result.ks == (1, 2)
    assert result.estimate_K.tolist() == [0.625, 0.75]
    assert result.per_problem_PK.tolist() == [[0.25, 0.5], [1.0, 1.0]]
    # k = 1: (3/4)^2 - C(3,2)/C(4,2) = 1/16; k = 2: (1/2)^2 - C(3,4)/C(4,4) = 1/4; the second problem adds 0.
    np.testing.assert_allclose(result.se_draws_K, [np.sqrt(1 / 16) / 2, np.sqrt(1 / 4) / 2])


def test_standard_error_is_unknown_once_one_problem_has_too_few_draws():
    result = pass_at_k(counts_of((8, 1), (4, 1)), [1, 2, 4])
    assert np.isnan(result.se_draws_K).tolist() == [False, False, True]
    assert not np.isnan(result.estimate_K).any()


def test_problems_without_success_or_without_failure_add_no_standard_error():
    assert pass_at_k(counts_of((16, 0), (16, 16)), [1, 4, 8]).se_draws_K.tolist() == [0.0, 0.0, 0.0]


def test_standard_error_shrinks_with_the_number_of_problems():
    one, many = (pass_at_k(counts_of(*[(16, 3)] * number), [2]).se_draws_K[0] for number in (1, 25))
    assert many == pytest.approx(one / 5)


@given(st.lists(draws(max_n=40), min_size=1, max_size=8))
def test_pass_at_k_rises_with_k_and_stays_within_zero_and_one(cases):
    counts = counts_of(*[(n, c) for n, c, _ in cases])
    estimate = pass_at_k(counts, range(1, counts.largest_k + 1)).estimate_K
    assert (np.diff(estimate) >= -1e-15).all()
    assert ((estimate >= 0) & (estimate <= 1)).all()
    assert estimate[0] == pytest.approx(np.mean(counts.c_P / counts.n_P))


def test_pass_at_k_names_the_problem_with_too_few_draws():
    with pytest.raises(InputError, match="k = 8 exceeds n = 4 of problem 'p1'"):
        pass_at_k(counts_of((16, 1), (4, 1)), [1, 8])


def test_error_bounds_by_hand():
    # 4 judged, 1 correct, 2 not judged: 1 or 3 of 6.
    all_wrong, all_correct = error_bounds(counts_of((4, 1), errors=(2,)), [1, 2])
    np.testing.assert_allclose(all_wrong, [1 / 6, 1 - comb(5, 2) / comb(6, 2)])
    np.testing.assert_allclose(all_correct, [3 / 6, 1 - comb(3, 2) / comb(6, 2)])


@given(draws(max_n=40), st.integers(0, 20))
def test_error_bounds_hold_the_estimate(case, errors):
    n, c, k = case
    counts = counts_of((n, c), errors=(errors,))
    all_wrong, all_correct = error_bounds(counts, [k])
    estimate = pass_at_k(counts, [k]).estimate_K
    assert all_wrong[0] <= estimate[0] + 1e-12
    assert estimate[0] <= all_correct[0] + 1e-12
    if errors == 0:
        assert all_wrong[0] == all_correct[0] == estimate[0]


@pytest.mark.parametrize("n", [1, 10, 128, 1024, 10**9])
def test_detectable_p_is_the_p_that_no_success_leaves_at_five_percent(n):
    assert n * np.log1p(-detectable_p(n)) == pytest.approx(np.log(0.05))


def test_detectable_p_is_about_three_over_n():
    assert detectable_p(1024) == pytest.approx(3 / 1024, rel=0.01)
    assert detectable_p(1, confidence=0.8) == pytest.approx(0.8)


@pytest.mark.parametrize(("n", "confidence"), [(0, 0.95), (4, 0.0), (4, 1.0)])
def test_detectable_p_refuses_nonsense(n, confidence):
    with pytest.raises(InputError, match="expected n >= 1 and 0 < confidence < 1"):
        detectable_p(n, confidence)
