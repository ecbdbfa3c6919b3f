"""What a probe costs: published spreads, the promised saving, the price in precision."""

import numpy as np
import pytest

from probes.statistics.cost import SPREADS, cost_of, measured_cost, spread, typical_costs
from probes.statistics.estimators import Counts
from probes.statistics.plan import Plan

KS = (1, 16, 64, 256)


@pytest.mark.parametrize(
    ("name", "pass_at_1", "pass_at_256"),
    [("math-like", 0.345, 0.962), ("hard", 0.102, 0.691), ("polarised", 0.75, 0.97)],
)
def test_the_spreads_have_the_published_pass_at_1_and_256(name, pass_at_1, pass_at_256):
    p = spread(name, 500)
    assert p.mean() == pytest.approx(pass_at_1, abs=0.005)
    assert 1 - ((1 - p) ** 256).mean() == pytest.approx(pass_at_256, abs=0.005)


def test_a_math_like_benchmark_costs_a_quarter_at_nearly_the_same_precision():
    sequential, fixed = (
        next(cost for cost in typical_costs(plan, 500, KS) if cost.name == "math-like")
        for plan in (Plan.sequential(1024), Plan.fixed(1024))
    )
    assert fixed.draws / sequential.draws >= 4
    assert sequential.se_draws[256] <= 1.3 * fixed.se_draws[256]


def test_the_true_standard_error_of_fixed_n_by_hand():
    """One draw more than needed: pass@1 of n draws has variance p q / n."""
    cost = cost_of("one", Plan.fixed(50), np.array([0.2, 0.5]), (1,))
    assert cost.se_draws[1] == pytest.approx(np.sqrt(0.2 * 0.8 / 50 + 0.25 / 50) / 2)
    assert (cost.draws, cost.draws_at_least, cost.draws_at_most) == (100, 100, 100)
    assert cost.times_fewer == pytest.approx(1.0)


def test_tokens_are_counted_where_a_limit_is_given():
    assert cost_of("one", Plan.fixed(50), np.array([0.2]), (1,), max_new_tokens=24).tokens_at_most == 1200
    assert cost_of("one", Plan.fixed(50), np.array([0.2]), (1,)).tokens_at_most is None


def test_a_probe_measured_before_gives_its_own_cost():
    counts = Counts(("a", "b"), np.array([64, 64]), np.array([64, 0]))
    cost = measured_cost(Plan.sequential(256), counts, (1,))
    assert (cost.name, cost.draws) == ("measured", 32 + 256)


def test_all_spreads_are_priced():
    assert [cost.name for cost in typical_costs(Plan.sequential(64), 10, (1,))] == list(SPREADS)
