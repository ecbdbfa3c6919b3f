"""Solved sets: cells by hand and from published runs, the null by enumeration of all halves, flow through training."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from probes.analyses.cells import (
    Cells,
    Transition,
    cells_over_steps,
    expected_cells,
    four_cells,
    same_model_null,
    support,
)
from probes.statistics.estimators import Counts
from probes.statistics.outcomes import CORRECT, WRONG, Outcomes
from probes.statistics.plan import Plan
from probes.statistics.sequential import stop_probabilities, stopping_points
from rlvr.errors import InputError


def counts_from(c, n=8, ids=None):
    """Counts with n draws of every problem."""
    ids = ids or tuple(f"p{row}" for row in range(len(c)))
    return Counts(ids, np.full(len(c), n), np.asarray(c))


def test_four_cells_by_hand():
    cells = four_cells(counts_from([1, 8, 3, 0, 0]), counts_from([2, 0, 0, 5, 0]))
    assert (cells.both, cells.base_only, cells.rl_only, cells.neither) == (1, 2, 1, 1)
    assert cells.mcnemar_p == 1.0


@pytest.mark.parametrize(
    ("both", "base_only", "rl_only", "neither", "p"),
    [(19, 4, 0, 7, 0.125), (462, 18, 5, 15, 0.011)],
    ids=["AIME24 at k = 1024", "MATH500 at k = 128"],
)
def test_four_cells_of_published_runs(both, base_only, rl_only, neither, p):
    sizes = [both, base_only, rl_only, neither]
    cells = four_cells(counts_from(np.repeat([1, 1, 0, 0], sizes)), counts_from(np.repeat([1, 0, 1, 0], sizes)))
    assert [cells.both, cells.base_only, cells.rl_only, cells.neither] == sizes
    assert cells.mcnemar_p == pytest.approx(p, abs=5e-4)


def test_four_cells_match_problems_by_id():
    base, other = counts_from([1, 0], ids=("a", "b")), counts_from([0, 1], ids=("b", "a"))
    assert four_cells(base, other).both == 1
    with pytest.raises(InputError, match="only in the second: c"):
        four_cells(base, counts_from([0, 1, 1], ids=("a", "b", "c")))


def test_without_a_discordant_problem_p_is_one():
    assert four_cells(counts_from([1, 0]), counts_from([1, 0])).mcnemar_p == 1.0


def counts_at(plan, n, c):
    """Counts of one problem that stopped at n draws with c correct."""
    return Counts(("p",), np.array([n]), np.array([c]), plan_P=() if plan.is_fixed else (plan,))


# the same model twice


@pytest.mark.parametrize("c", range(7))
def test_the_null_is_the_average_over_all_halves(c):
    """One problem with c of 6 correct: of the 20 ways to split its draws, how many show it solved by one half only."""
    outcomes = [1] * c + [0] * (6 - c)
    halves = [(set(half), set(range(6)) - set(half)) for half in combinations(range(6), 3)]
    only_first = [any(outcomes[i] for i in a) and not any(outcomes[i] for i in b) for a, b in halves]
    null = same_model_null(counts_from([c], n=6))
    assert null is not None
    assert null.k == 3
    assert null.base_only == null.rl_only == pytest.approx(np.mean(only_first))
    assert null.both + null.base_only + null.rl_only + null.neither == pytest.approx(1)


def test_a_single_draw_cannot_be_split():
    assert same_model_null(counts_from([0, 1], n=1)) is None


def test_the_same_model_drawn_twice_at_128_shows_problems_of_one_arm_only():
    """Published for MATH500 at n = 128: about 5.4 and 5.4. A spread of p that has this value: the formula finds it, and
    so do two samples.
    """
    rng = np.random.default_rng(0)
    p_P = beta(0.75, 1.14).ppf((np.arange(500) + 0.5) / 500)
    truth = ((1 - p_P) ** 128 - (1 - p_P) ** 256).sum()
    assert truth == pytest.approx(5.4, abs=0.1)
    estimates, seen = [], []
    for _ in range(300):
        first, second = rng.binomial(128, p_P), rng.binomial(128, p_P)
        seen.append(((first > 0) & (second == 0)).sum())
        estimates.append(same_model_null(counts_from(first + second, n=256)).base_only)
    for found in (estimates, seen):
        assert abs(np.mean(found) - truth) <= 4 * np.std(found) / np.sqrt(len(found))


SMALL_PLANS = [
    Plan.fixed(6),
    Plan((2, 4, 8), stop_at=2),
    Plan((3, 6), stop_at=1),
    Plan((2, 4, 6), stop_at=2, give_up_at=4),
]


@pytest.mark.parametrize("plan", SMALL_PLANS, ids=str)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_null_is_exactly_unbiased_under_any_plan(plan, p):
    """The mean over every stopping point, weighted by its probability, is q^k - q^2k."""
    chances, k = stop_probabilities(plan, [p])[0], plan.largest_k // 2
    nulls = [same_model_null(counts_at(plan, *point)) for point in stopping_points(plan)]
    assert all(null.k == k for null in nulls)
    assert chances @ [null.base_only for null in nulls] == pytest.approx((1 - p) ** k - (1 - p) ** (2 * k), abs=1e-12)


@pytest.mark.parametrize("plan", SMALL_PLANS, ids=str)
def test_expected_cells_are_exactly_unbiased_under_any_plan(plan):
    """The mean over every pair of stopping points, weighted by its probability."""
    base_p, other_p, k = 0.2, 0.6, 3
    base_chances, other_chances = stop_probabilities(plan, [base_p, other_p])
    mean = np.zeros(4)
    for point, base_chance in zip(stopping_points(plan), base_chances, strict=True):
        for other, other_chance in zip(stopping_points(plan), other_chances, strict=True):
            cells = expected_cells(counts_at(plan, *point), counts_at(plan, *other), k)
            mean += base_chance * other_chance * np.array([cells.both, cells.base_only, cells.rl_only, cells.neither])
    a, b = (1 - base_p) ** k, (1 - other_p) ** k
    np.testing.assert_allclose(mean, [(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b], atol=1e-12)


def test_expected_cells_are_unbiased_under_a_sequential_plan():
    """Two arms of known rates: the mean over 400 probes equals the truth."""
    rng = np.random.default_rng(1)
    plan, names = Plan.sequential(64, stop_at=4, first_look=8), tuple("abcdef")
    base_p, other_p = np.array([0, 0.02, 0.1, 0.4, 0.9, 1]), np.array([0.05, 0, 0.02, 0.8, 0.9, 0])
    found = []
    for _ in range(400):
        arms = [
            Outcomes(names, (None,) * 6, np.where(rng.random((6, 64)) < p[:, None], CORRECT, WRONG).astype(np.int8))
            for p in (base_p, other_p)
        ]
        cells = expected_cells(arms[0].counts(plan), arms[1].counts(plan), 16)
        found.append([cells.both, cells.base_only, cells.rl_only, cells.neither])
    base_q, other_q = (1 - base_p) ** 16, (1 - other_p) ** 16
    truth = [
        ((1 - base_q) * (1 - other_q)).sum(),
        ((1 - base_q) * other_q).sum(),
        (base_q * (1 - other_q)).sum(),
        (base_q * other_q).sum(),
    ]
    errors = np.std(found, axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(np.mean(found, axis=0) - truth) <= 4.5 * errors)


# through training


def test_flow_by_hand():
    probes = [
        (0, counts_from([1, 1, 0, 0, 1], ids=tuple("abcde"))),
        (10, counts_from([1, 0, 1, 0, 1], ids=tuple("abcde"))),
        (20, counts_from([1, 0, 0, 0, 0], ids=tuple("abcde"))),
    ]
    flow = cells_over_steps(probes)
    assert flow.steps == (0, 10, 20)
    assert flow.gained == {"c": 10}
    assert flow.lost == {"b": 0, "e": 10}
    assert flow.forgetting == pytest.approx(3 / 5), "b, c and e were solved at some step and not at the last"
    assert [(each.base_only, each.rl_only) for each in flow.cells] == [(0, 0), (1, 1), (2, 0)]
    assert flow.transitions == (
        Transition(kept=2, lost=1, gained=1, never=1),  # a and e; b; c; d
        Transition(kept=1, lost=2, gained=0, never=2),  # a; c and e; b and d
    )


def test_flow_of_one_probe_and_of_none():
    alone = cells_over_steps([(0, counts_from([1, 0]))])
    assert (alone.forgetting, alone.transitions) == (0, ())
    with pytest.raises(InputError, match="no probe"):
        cells_over_steps([])


def test_steps_out_of_order_are_refused():
    """Steps in another order once exchanged gained and lost."""
    for steps in ((20, 0), (0, 0)):
        with pytest.raises(InputError, match="expected them ascending"):
            cells_over_steps([(step, counts_from([1])) for step in steps])


# support


@pytest.mark.parametrize(
    ("cells", "retention", "discovery", "net_change"),
    [((19, 4, 0, 7), 19 / 23, 0.0, -4 / 23), ((462, 18, 5, 15), 462 / 480, 5 / 467, -13 / 485)],
    ids=["AIME24 at k = 1024", "MATH500 at k = 128"],
)
def test_support_of_published_cells(cells, retention, discovery, net_change):
    found = support(Cells(*cells, mcnemar_p=1.0))
    assert (found.retention, found.discovery, found.net_change) == (retention, discovery, net_change)


def test_support_by_hand():
    """P = 6, S = 2, E = 3."""
    found = support(Cells(both=6, base_only=2, rl_only=3, neither=1, mcnemar_p=1.0))
    assert found.retention == 6 / 8
    assert found.discovery == 3 / 9
    assert found.harmonic == pytest.approx(2 / (1 / (6 / 8) + 1 / (3 / 9))), "the harmonic mean of the two"
    assert found.net_change == 1 / 11


def test_support_cannot_tell_where_nothing_is_solved():
    found = support(Cells(0, 0, 0, 5, 1.0))
    assert all(np.isnan([found.retention, found.discovery, found.harmonic, found.net_change]))


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 50))
def test_support_stays_in_range_and_is_the_harmonic_mean(p, s, e):
    found = support(Cells(p, s, e, 0, 1.0))
    assert 0 <= found.discovery <= 1
    assert -1 <= found.net_change <= 1
    assert found.harmonic == pytest.approx(2 / (1 / found.retention + 1 / found.discovery))
