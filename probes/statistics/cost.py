"""What a probe will cost, before it is made.

Owns: the draws and the precision that a plan costs and gives on typical benchmarks, or on problems measured before.
Does not own: the arithmetic of a plan (`probes.statistics.sequential`).

The benchmarks are spreads of the success probability p over problems, beta distributions whose pass@1 and pass@256 are
those that Yue et al. (arXiv 2504.13837) publish for Qwen2.5-7B:

    math-like   the base on MATH500: pass@1 0.345, pass@256 0.962
    hard        the base on Omni-MATH, held out: 0.102, 0.691
    polarised   after RL on MATH500: 0.75, 0.97
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.statistics.estimators import Counts, FloatArray, pass_at_k
from probes.statistics.plan import Plan
from probes.statistics.sequential import expected_draws, standard_error

SPREADS = {"math-like": (0.6, 1.14), "hard": (0.235, 2.07), "polarised": (0.36, 0.12)}


@dataclass(frozen=True)
class Cost:
    """The price of one probe of one arm.

    Attributes:
        name: of the benchmark, or `measured`.
        draws: expected, over all problems.
        draws_at_least: if every problem stops at the first look.
        draws_at_most: if none stops early.
        times_fewer: than with the fixed number of draws of the last look.
        tokens_at_most: expected draws times the token limit; None where no limit is given.
        se_draws: standard error from the draws of pass@k, by k.
    """

    name: str
    draws: int
    draws_at_least: int
    draws_at_most: int
    times_fewer: float
    tokens_at_most: int | None
    se_draws: dict[int, float]


def spread(name: str, num_problems: int) -> FloatArray:
    """Returns the success probabilities of a typical benchmark: the quantiles of its beta distribution, (P,)."""
    from scipy.stats import beta

    return beta(*SPREADS[name]).ppf((np.arange(num_problems) + 0.5) / num_problems)


def typical_costs(plan: Plan, num_problems: int, ks: Sequence[int], max_new_tokens: int | None = None) -> list[Cost]:
    """Returns the cost on each of `SPREADS`."""
    return [cost_of(name, plan, spread(name, num_problems), ks, max_new_tokens) for name in SPREADS]


def measured_cost(plan: Plan, counts: Counts, ks: Sequence[int], max_new_tokens: int | None = None) -> Cost:
    """Returns the cost on problems that were measured before, their estimated pass@1 taken as p."""
    p_P = np.clip(pass_at_k(counts, [1]).per_problem_PK[:, 0], 0.0, 1.0)
    return cost_of("measured", plan, p_P, ks, max_new_tokens)


def cost_of(name: str, plan: Plan, p_P: FloatArray, ks: Sequence[int], max_new_tokens: int | None = None) -> Cost:
    """Returns the cost on problems of known p."""
    draws = float(expected_draws(plan, p_P).sum())
    most = plan.max_draws * len(p_P)
    return Cost(
        name=name,
        draws=round(draws),
        draws_at_least=plan.first_look * len(p_P),
        draws_at_most=most,
        times_fewer=most / draws,
        tokens_at_most=None if max_new_tokens is None else round(draws * max_new_tokens),
        se_draws=dict(zip(ks, standard_error(plan, p_P, ks).tolist(), strict=True)),
    )
