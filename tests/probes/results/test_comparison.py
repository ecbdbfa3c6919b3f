"""Comparing arms: which states are compared, under which budget, and what is said."""

import numpy as np
import pytest

from probes.results.comparison import Measured, State, choose_states, compare_arms, notes
from probes.statistics.estimators import Counts
from probes.statistics.intervals import compare_counts
from rlvr.errors import InputError

KS = (1, 4, 16)


def states(arm, *rows, seed=1):
    return [State(arm, seed, step, rollouts, tokens) for step, rollouts, tokens in rows]


GRPO = states("grpo", (50, 100, 1000), (100, 200, 2000), (150, 300, 3000))
DAPO = states("dapo", (50, 250, 2500), (100, 500, 5000), (150, 750, 7500))
SOLVER = states("distill", (50, None, None), (150, None, None))


def chosen(by, *runs):
    found, budget = choose_states([state for run in runs for state in run], by)
    return {state.arm: state.step for state in found}, budget


def test_at_equal_steps_every_arm_stands_at_its_last_step():
    assert chosen("steps", GRPO, DAPO, SOLVER) == ({"grpo": 150, "dapo": 150, "distill": 150}, 150)


def test_at_equal_rollouts_an_arm_that_throws_rollouts_away_stands_earlier():
    assert chosen("rollouts", GRPO, DAPO) == ({"grpo": 150, "dapo": 50}, 300)
    assert chosen("tokens", GRPO, DAPO) == ({"grpo": 150, "dapo": 50}, 3000)


def test_an_arm_without_a_cost_has_no_part_in_the_budget():
    assert chosen("rollouts", SOLVER, GRPO) == ({"distill": 150, "grpo": 150}, 300)


def test_a_tenth_over_the_budget_is_still_within_it():
    slightly, more = states("a", (50, 109, None), (60, 111, None)), states("b", (9, 100, None))
    assert chosen("rollouts", slightly, more)[0] == {"a": 50, "b": 9}


def test_an_arm_that_is_over_at_its_first_probe_stands_there_and_is_named():
    found = chosen("rollouts", states("cheap", (50, 10, 1)), DAPO)
    assert found == ({"cheap": 50, "dapo": 50}, 10)


def test_each_seed_has_a_state_of_its_own():
    both = [*GRPO, *states("grpo", (50, 100, 1000), (100, 290, 2000), seed=2)]
    found, budget = choose_states(both, "rollouts")
    assert [(state.seed, state.step) for state in found] == [(1, 150), (2, 100)]
    assert budget == 290


def test_another_kind_of_budget_is_refused():
    with pytest.raises(InputError, match="'seconds' is not known"):
        choose_states(GRPO, "seconds")


def counts(rng, p_P, n=64):
    ids = tuple(f"p{i}" for i in range(len(p_P)))
    return Counts(ids, np.full(len(p_P), n), rng.binomial(n, p_P))


@pytest.fixture
def measured():
    rng = np.random.default_rng(0)
    p_P = rng.beta(0.5, 2, 200)
    base = Measured(counts(rng, p_P), 2.0, 0.5)
    better = Measured(counts(rng, np.clip(p_P + 0.4, 0, 1)), 1.0, 0.2)
    return base, {State("same", 1, 10, 5, 7): Measured(counts(rng, p_P)), State("better", 1, 10, 6, 8): better}


def test_one_band_covers_all_arms_and_k(measured):
    base, arms = measured
    found = compare_arms(base, arms, "steps", KS)
    together = compare_counts(base.counts, [each.counts for each in arms.values()], KS)
    for position, name in enumerate(("same", "better")):
        assert found["arms"][name]["against_base"] == together.at(position).rows()
    assert found["arms"]["better"]["against_base"]["1"]["verdict"] == "gain"
    assert found["arms"]["same"]["against_base"]["1"]["verdict"] == "cannot tell"


def test_a_record_has_costs_cells_gap_and_entropies(measured):
    base, arms = measured
    found = compare_arms(base, arms, "rollouts", KS)
    (run,) = found["arms"]["better"]["runs"]
    assert (run["step"], run["rollouts"], run["tokens"], run["over_budget"]) == (10, 6, 8, True)
    assert sum(run["cells"][key] for key in ("both", "base_only", "rl_only", "neither")) == 200
    gap = found["base"]["pass@k"]["16"]["estimate"] - found["arms"]["better"]["pass@k"]["1"]["estimate"]
    assert run["efficiency_gap"]["gap"] == pytest.approx(gap)
    assert (run["answer_entropy"], found["base"]["token_entropy"]) == (1.0, 0.5)


def test_seeds_are_averaged_problem_by_problem(measured):
    base, arms = measured
    one, two = arms.values()
    pair = {State("a", 1, 10, 5, None): one, State("a", 2, 10, 5, None): two}
    found = compare_arms(base, pair, "steps", KS)["arms"]["a"]
    for k in map(str, KS):
        values = [run["pass@k"][k] for run in found["runs"]]
        assert found["pass@k"][k]["estimate"] == pytest.approx(np.mean(values))


def test_arms_over_other_problems_are_refused(measured):
    base, _ = measured
    other = Counts(("q",), np.array([64]), np.array([1]))
    with pytest.raises(InputError, match="problems"):
        compare_arms(base, {State("a", 1, 10, 5, None): Measured(other)}, "steps", KS)


def test_the_notes_say_what_cannot_be_said(measured):
    base, arms = measured
    parts = [compare_arms(base, arms, by, KS) for by in ("steps", "rollouts")]
    said = " ".join(notes(1, parts))
    for text in ("One seed per arm", "better (by rollouts)", "may still be alike"):
        assert text in said
    assert "3 seeds per arm are averaged" in notes(3, parts)[0]
