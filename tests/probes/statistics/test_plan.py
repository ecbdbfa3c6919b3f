from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.statistics.plan import Plan, k_grid
from rlvr.errors import RecipeError


@pytest.mark.parametrize(
    ("max_draws", "first_look", "looks"),
    [(1024, 32, (32, 64, 128, 256, 512, 1024)), (100, 32, (32, 64, 100)), (16, 32, (16,)), (32, 32, (32,))],
)
def test_looks_double_up_to_the_last(max_draws, first_look, looks):
    plan = Plan.sequential(max_draws, first_look=first_look)
    assert plan.looks == looks
    assert plan.stop_at == 16
    assert (plan.first_look, plan.max_draws, plan.largest_k) == (looks[0], max_draws, max_draws)


def test_a_fixed_number_of_draws_has_one_look_and_no_early_stop():
    plan = Plan.fixed(64)
    assert plan.is_fixed
    assert (plan.looks, plan.stop_at, plan.give_up_at) == ((64,), None, None)
    assert plan.stops(64, 0)


@pytest.mark.parametrize(
    ("stop_at", "give_up_at", "expected"),
    [
        (0, 0, Plan.fixed(64)),
        (4, 0, Plan((16, 32, 64), 4)),
        (0, 32, Plan((16, 32, 64), None, 32)),
        (4, 32, Plan((16, 32, 64), 4, 32)),
    ],
)
def test_zero_switches_a_rule_off_and_leaves_the_other(stop_at, give_up_at, expected):
    assert Plan.of_numbers(64, stop_at, 16, give_up_at) == expected


def test_where_a_problem_stops():
    plan = Plan((32, 64, 128, 256), stop_at=16, give_up_at=128)
    assert not plan.stops(32, 15)
    assert plan.stops(32, 16)
    assert not plan.stops(64, 0)
    assert plan.stops(128, 0)
    assert not plan.stops(128, 1)
    assert plan.stops(256, 1)
    assert plan.largest_k == 128


@given(st.integers(1, 5000), st.integers(1, 40), st.integers(1, 100))
def test_plan_survives_json(max_draws, stop_at, first_look):
    plan = Plan.sequential(max_draws, stop_at, first_look)
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan.from_json(Plan.fixed(max_draws).to_json()) == Plan.fixed(max_draws)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"kind": "fixed", "num_draws": 4},
        {"looks": 4, "stop_at": None, "give_up_at": None},
        {"looks": ["4"], "stop_at": None, "give_up_at": None},
        {"looks": [4], "stop_at": 1.5, "give_up_at": None},
    ],
)
def test_an_unknown_plan_is_refused(value):
    with pytest.raises(RecipeError, match=r"is not known; expected"):
        Plan.from_json(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plan.fixed(0), "probe_max_draws: 0 is too small"),
        (lambda: Plan.sequential(0), "expected at least 1 each"),
        (lambda: Plan(()), "expected numbers of draws that ascend"),
        (lambda: Plan((4, 4)), "expected numbers of draws that ascend"),
        (lambda: Plan((0, 4)), "expected numbers of draws that ascend"),
        (lambda: Plan((4, 8), stop_at=0), "probe_stop_at: 0 is too small"),
        (lambda: Plan((4, 8), 1, give_up_at=5), r"probe_give_up_at: 5 is not a look of the plan; use one of \[4, 8\]"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(make, message):
    with pytest.raises(RecipeError, match=message):
        make()


def test_k_max_may_reach_half_the_draws():
    Plan.fixed(64).validate_k_max(32)
    Plan.sequential(512).validate_k_max(256)


def test_k_max_beyond_half_the_draws_says_what_to_do():
    with pytest.raises(RecipeError) as caught:
        Plan.fixed(64).validate_k_max(128)
    assert str(caught.value) == (
        "probe_k_max: 128 exceeds n_max / 2 = 32; raise probe_max_draws to 256 or lower probe_k_max."
    )


def test_giving_up_bounds_k_max_too():
    with pytest.raises(RecipeError, match=r"64 exceeds give_up_at / 2 = 32; raise probe_give_up_at to 128"):
        Plan.sequential(512, give_up_at=64).validate_k_max(64)


def test_k_max_with_an_odd_number_of_draws():
    with pytest.raises(RecipeError, match=r"4 exceeds n_max / 2 = 3\.5; raise probe_max_draws to 8"):
        Plan.fixed(7).validate_k_max(4)


@pytest.mark.parametrize("refuse", [k_grid, Plan.fixed(8).validate_k_max])
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
