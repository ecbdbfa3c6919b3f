from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.plan import Plan, k_grid
from rlvr.errors import RecipeError


def test_all_draws_are_owed_at_first_and_none_at_the_end():
    plan = Plan(num_draws=4)
    assert plan.owed([]) == [0, 1, 2, 3]
    assert plan.owed({0, 2}) == [1, 3]
    assert plan.owed(range(4)) == []


def test_a_longer_plan_owes_only_what_is_new():
    assert Plan(num_draws=6).owed(range(4)) == [4, 5]


def test_draws_beyond_a_shorter_plan_are_ignored():
    assert Plan(num_draws=2).owed({1, 5}) == [0]


@given(st.integers(1, 50), st.sets(st.integers(0, 80)))
def test_owed_and_stored_make_the_plan_whole_without_overlap(num_draws, stored):
    owed = Plan(num_draws).owed(stored)
    assert owed == sorted(owed)
    assert not stored & set(owed)
    assert set(range(num_draws)) == set(owed) | (stored & set(range(num_draws)))


@given(st.integers(1, 10**6))
def test_plan_survives_json(num_draws):
    assert Plan.from_json(Plan(num_draws).to_json()) == Plan(num_draws)


@pytest.mark.parametrize("value", [{}, {"kind": "sequential", "num_draws": 4}, {"kind": "fixed", "num_draws": "4"}])
def test_unknown_plan_is_refused(value):
    with pytest.raises(RecipeError, match=r"expected the form \{'kind': 'fixed', 'num_draws': 1\}"):
        Plan.from_json(value)


def test_plan_needs_a_draw():
    with pytest.raises(RecipeError, match="expected at least 1"):
        Plan(num_draws=0)


def test_k_max_may_reach_half_the_draws():
    Plan(num_draws=64).validate_k_max(32)


def test_k_max_beyond_half_the_draws_says_what_to_do():
    with pytest.raises(RecipeError) as caught:
        Plan(num_draws=64).validate_k_max(128)
    assert str(caught.value) == (
        "probe_k_max: 128 exceeds n_max / 2 = 32; raise probe_max_draws to 256 or lower probe_k_max."
    )


def test_k_max_with_an_odd_number_of_draws():
    with pytest.raises(RecipeError, match=r"4 exceeds n_max / 2 = 3\.5; raise probe_max_draws to 8"):
        Plan(num_draws=7).validate_k_max(4)


@pytest.mark.parametrize("refuse", [k_grid, Plan(num_draws=8).validate_k_max])
def test_k_max_is_at_least_one(refuse):
    with pytest.raises(RecipeError, match="probe_k_max: 0 is too small"):
        refuse(0)


@pytest.mark.parametrize(
    ("k_max", "expected"), [(1, (1,)), (2, (1, 2)), (12, (1, 2, 4, 8, 12)), (256, (1, 2, 4, 8, 16, 32, 64, 128, 256))]
)
def test_grid_by_hand(k_max, expected):
    assert k_grid(k_max) == expected


@given(st.integers(1, 10**6))
def test_grid_rises_to_k_max_and_at_most_doubles(k_max):
    grid = k_grid(k_max)
    assert grid[0] == 1
    assert grid[-1] == k_max
    assert all(low < high <= 2 * low for low, high in pairwise(grid))
