"""Replaying a plan over outcomes: what is owed, where a problem stops, failures of the verifier, surplus draws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.statistics.estimators import error_bounds, pass_at_k
from probes.statistics.outcomes import CORRECT, ERROR, NOT_DRAWN, NOT_JUDGED, WRONG, Outcomes
from probes.statistics.plan import Plan
from rlvr.errors import StoreError

SIGNS = {"+": CORRECT, "-": WRONG, "e": ERROR, ".": NOT_DRAWN, "?": NOT_JUDGED}
PLAN = Plan((2, 4, 8), stop_at=2)


def outcomes(*rows: str) -> Outcomes:
    """One row per problem, a character per draw."""
    width = max(map(len, rows))
    codes = [[SIGNS[sign] for sign in row.ljust(width, ".")] for row in rows]
    names = tuple(f"p{at}" for at in range(len(rows)))
    return Outcomes(names, (None,) * len(rows), np.array(codes, dtype=np.int8))


def test_a_problem_owes_draws_up_to_its_next_look():
    found = outcomes("", "++", "+-", "-+--", "-+-+", "----").owed(PLAN)
    assert found == {"p0": (0, 1), "p2": (2, 3), "p3": (4, 5, 6, 7), "p5": (4, 5, 6, 7)}


def test_a_gap_is_owed_before_anything_else():
    assert outcomes("-.--").owed(PLAN) == {"p0": (1,)}
    assert outcomes("--.-").owed(PLAN) == {"p0": (2,)}


def test_nothing_is_owed_at_the_end():
    assert outcomes("--------", "++......").owed(PLAN) == {}


def test_giving_up_owes_no_more():
    assert outcomes("----", "---+").owed(Plan((2, 4, 8), 2, give_up_at=4)) == {"p1": (4, 5, 6, 7)}


def test_counts_at_the_stopping_point():
    counts = outcomes("++", "-+-+", "----+---").counts(PLAN)
    assert counts.n_P.tolist() == [2, 4, 8]
    assert counts.c_P.tolist() == [2, 2, 1]
    assert counts.plan_P == (PLAN,) * 3


def test_draws_beyond_the_stopping_point_do_not_count():
    """Drawn under a longer or fixed plan, counted under this one: the same counts as if drawn under it."""
    counts = outcomes("++------", "-+-+++++").counts(PLAN)
    assert counts.n_P.tolist() == [2, 4]
    assert counts.c_P.tolist() == [2, 2]


def test_a_problem_that_owes_draws_is_refused_with_their_number():
    with pytest.raises(StoreError, match=r"1 of 2 problems owe draws under the plan \(at least 2 draws\)"):
        outcomes("++", "+-").counts(PLAN)


def test_draws_without_a_verdict_are_refused():
    for ask in (lambda found: found.counts(PLAN), lambda found: found.counts(), lambda found: found.owed(PLAN)):
        with pytest.raises(StoreError, match="1 draws have no verdict"):
            ask(outcomes("+?"))


def test_without_a_plan_all_draws_count():
    counts = outcomes("+-+", "-").counts()
    assert counts.n_P.tolist() == [3, 1]
    assert counts.c_P.tolist() == [2, 0]
    assert counts.plan_P == ()
    with pytest.raises(StoreError, match="1 problems have no draw, p1 among them"):
        outcomes("+", "").counts()


def test_an_error_is_no_success_for_the_stopping_rule_and_no_failure_for_the_estimate():
    found = outcomes("+e-+").counts(Plan((2, 4), stop_at=2))
    assert (found.n_P.tolist(), found.c_P.tolist(), found.errors_P.tolist()) == ([3], [2], [1])
    assert found.plan_P[0].looks == (1, 3), "looks in judged draws"


def test_bounds_replay_the_plan_with_errors_as_wrong_and_as_correct():
    found = outcomes("+e--").counts(Plan((2, 4), stop_at=2))
    all_wrong, all_correct = found.extremes
    assert (all_wrong.n_P.tolist(), all_wrong.c_P.tolist()) == ([4], [1])
    assert (all_correct.n_P.tolist(), all_correct.c_P.tolist()) == ([2], [2]), "it would have stopped at the first look"
    lower, upper = error_bounds(found, [1, 2])
    middle = pass_at_k(found, [1, 2]).estimate_K
    assert np.all(lower <= middle)
    assert np.all(middle <= upper)
    assert upper.tolist() == [1.0, 1.0]


def test_bounds_for_a_fixed_number_of_draws():
    found = outcomes("+e--").counts(Plan.fixed(4))
    assert [(each.n_P.tolist(), each.c_P.tolist()) for each in found.extremes] == [([4], [1]), ([4], [2])]


def test_the_first_draws_and_some_rows():
    found = outcomes("+-+-", "--++")
    assert found.first(2).counts().c_P.tolist() == [1, 0]
    assert found.of({"p1"}).counts().c_P.tolist() == [2]
    assert (found.num_draws, found.num_unjudged, found.num_errors) == (8, 0, 0)


@settings(max_examples=60)
@given(st.floats(0, 1), st.integers(0, 10_000), st.integers(1, 4))
def test_drawing_what_is_owed_ends_and_equals_the_replay_of_a_full_sample(p, seed, stop_at):
    """The loop of a probe: ask, draw, judge, until nothing is owed. Its counts are those of the full sample."""
    plan = Plan.sequential(32, stop_at, first_look=4)
    truth = (np.random.default_rng(seed).random((5, 32)) < p).astype(np.int8)
    full = Outcomes(tuple("abcde"), (None,) * 5, np.where(truth, CORRECT, WRONG).astype(np.int8))
    grown = Outcomes(full.problem_ids, full.cluster_P, np.full((5, 32), NOT_DRAWN, dtype=np.int8))
    while owed := grown.owed(plan):
        for problem_id, indices in owed.items():
            row = full.problem_ids.index(problem_id)
            grown.code_PD[row, list(indices)] = full.code_PD[row, list(indices)]
    assert grown.num_draws <= full.num_draws
    for mine, theirs in [(grown.counts(plan), full.counts(plan))]:
        assert mine.n_P.tolist() == theirs.n_P.tolist()
        assert mine.c_P.tolist() == theirs.c_P.tolist()
