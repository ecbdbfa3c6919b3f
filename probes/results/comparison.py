"""Comparing arms: from the counts of several trained arms to one JSON value.

Owns: schema `rlvr.comparison/2` (docs/contracts.md): which state of each arm is compared, differences to the base
under one band over arms and k, solved sets, efficiency gaps, entropies, and what cannot be said.
Does not own: estimates (`probes.statistics.intervals`, `probes.analyses`), the training of arms
(`rlvr.jobs.comparison`), the page.

Arms are compared in up to three states: at equal steps, at equal rollouts and at equal tokens. The budget of the last
two is what the cheapest arm spent in all; each arm stands at its last probed step within 1.1 times that budget, so it
may have spent less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from probes.analyses.cells import four_cells, support
from probes.analyses.curves import efficiency_gap
from probes.statistics.estimators import Counts, FloatArray, pass_at_k
from probes.statistics.intervals import compare, crossing, curve_band, problem_interval
from rlvr.errors import InputError

STATES = ("steps", "rollouts", "tokens")
TOLERANCE = 0.1  # a probed step rarely falls on the budget; the report says so


@dataclass(frozen=True)
class State:
    """One trained arm at one probed step.

    Attributes:
        arm: its name.
        seed: of its training.
        step: optimizer steps taken.
        rollouts: completions that models generated for it until then, thrown-away ones included; None where it learned
            from completions that no model was asked for here.
        tokens: prompt and completion tokens of them; None where they are not known.
    """

    arm: str
    seed: int
    step: int
    rollouts: int | None
    tokens: int | None


@dataclass(frozen=True)
class Measured:
    """What a probe found at one state, on one problem set.

    Attributes:
        counts: of its draws.
        answer_entropy: mean over problems, in nats; None where it is not known.
        token_entropy: of the arm's own completions, in nats; None where it was not measured.
    """

    counts: Counts
    answer_entropy: float | None = None
    token_entropy: float | None = None


def choose_states(states: Sequence[State], by: str) -> tuple[list[State], float]:
    """Returns one state of each arm and seed, and the budget that they keep to.

    Args:
        states: all probed states.
        by: `steps`, `rollouts` or `tokens`. An arm whose first probed state is over the budget stands there all the
            same: `over_budget` tells. An arm whose cost is not known has no part in the budget.
    """
    if by not in STATES:
        raise InputError(f"states: {by!r} is not known; use one of {', '.join(STATES)}.")
    runs: dict[tuple[str, int], list[State]] = {}
    for state in states:
        runs.setdefault((state.arm, state.seed), []).append(state)
    last = [max(run, key=lambda state: state.step) for run in runs.values()]
    budget = min((cost for state in last if (cost := cost_of(state, by)) is not None), default=0.0)
    chosen = []
    for run in runs.values():
        within = [state for state in run if not over_budget(state, by, budget)]
        chosen.append(max(within, key=lambda state: state.step) if within else min(run, key=lambda state: state.step))
    return chosen, budget


def cost_of(state: State, by: str) -> float | None:
    """Returns what a state cost, in steps, rollouts or tokens."""
    return {"steps": state.step, "rollouts": state.rollouts, "tokens": state.tokens}[by]


def over_budget(state: State, by: str, budget: float) -> bool:
    """Returns whether a state cost more than the budget, by more than `TOLERANCE` of it."""
    cost = cost_of(state, by)
    return cost is not None and cost > (1 + TOLERANCE) * budget


@dataclass(frozen=True)
class Frame:
    """What is the same for all arms of one comparison.

    Attributes:
        base: the arm that all were trained from.
        ks: numbers of attempts.
        by: `steps`, `rollouts` or `tokens`.
        budget: in its unit.
        confidence: of the band and of each interval.
        seed: of the resampling.
    """

    base: Measured
    ks: Sequence[int]
    by: str
    budget: float
    confidence: float
    seed: int

    def values_PK(self, other: Measured) -> FloatArray:
        """Returns pass@k of each problem, in the base's order of problems."""
        return pass_at_k(other.counts.aligned_to(self.base.counts), self.ks).per_problem_PK

    def rows(self, values_PK: FloatArray) -> dict[str, Any]:
        """Returns estimate, interval and simultaneous band by k."""
        clusters = self.base.counts.cluster_P
        ends = problem_interval(values_PK, clusters, self.confidence, seed=self.seed)
        band = curve_band(values_PK, clusters, self.confidence, seed=self.seed)
        names = ("estimate", "lo", "hi", "band_lo", "band_hi")
        rows = zip(self.ks, values_PK.mean(axis=0), *ends, *band, strict=True)
        return {str(k): dict(zip(names, row, strict=True)) for k, *row in rows}

    def run(self, state: State, measured: Measured) -> dict[str, Any]:
        """Returns what belongs to one seed of one arm."""
        counts = measured.counts.aligned_to(self.base.counts)
        cells = four_cells(self.base.counts, counts)
        return {
            **asdict(state),
            "over_budget": over_budget(state, self.by, self.budget),
            "pass@k": dict(zip(map(str, self.ks), self.values_PK(measured).mean(axis=0), strict=True)),
            "cells": asdict(cells),
            "support": asdict(support(cells)),
            "efficiency_gap": asdict(efficiency_gap(self.base.counts, counts, self.ks[-1], seed=self.seed)),
            "answer_entropy": measured.answer_entropy,
            "token_entropy": measured.token_entropy,
        }


def compare_arms(
    base: Measured,
    measured: Mapping[State, Measured],
    by: str,
    ks: Sequence[int],
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Returns the comparison of all arms with the base, in one kind of state and on one problem set.

    Several seeds of an arm are averaged problem by problem. The band holds for all arms and all k at once, over
    problems like these; it does not cover other seeds, whose values stand beside it.

    Args:
        base: the arm that all were trained from.
        measured: by state; must hold every state that `choose_states` chooses.
        by: `steps`, `rollouts` or `tokens`.
        ks: numbers of attempts.
        confidence: of the band and of each interval.
        seed: of the resampling.

    Raises:
        InputError: arms hold different problems, or k cannot be estimated.
    """
    chosen, budget = choose_states(list(measured), by)
    frame = Frame(base, ks, by, budget, confidence, seed)
    arms: dict[str, list[State]] = {}
    for state in chosen:
        arms.setdefault(state.arm, []).append(state)
    means = {
        name: np.mean([frame.values_PK(measured[state]) for state in group], axis=0) for name, group in arms.items()
    }
    base_PK, clusters = frame.values_PK(base), base.counts.cluster_P
    band = compare(base_PK, np.stack(list(means.values())), ks, clusters, confidence, seed=seed)
    records = {
        name: {
            "pass@k": frame.rows(means[name]),
            "against_base": band.at(position).rows(),
            "crossing": crossing(band.at(position)),
            "runs": [frame.run(state, measured[state]) for state in group],
        }
        for position, (name, group) in enumerate(arms.items())
    }
    entropies = {"answer_entropy": base.answer_entropy, "token_entropy": base.token_entropy}
    return {
        "by": by,
        "budget": budget,
        "confidence": confidence,
        "k": list(ks),
        "num_problems": len(base.counts.problem_ids),
        "base": {"pass@k": frame.rows(base_PK), **entropies},
        "arms": records,
    }


def notes(num_seeds: int, comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns what cannot be said, and what could mislead, in sentences."""
    found = []
    runs = [(part["by"], run) for part in comparisons for arm in part["arms"].values() for run in arm["runs"]]
    if num_seeds == 1:
        found.append("One seed per arm: a difference between two arms may be one between two seeds.")
    else:
        found.append(f"{num_seeds} seeds per arm are averaged; the bands do not cover other seeds.")
    free = sorted({run["arm"] for by, run in runs if by == "rollouts" and run["rollouts"] is None})
    if free:
        found.append(f"Not sampled from a model here, so without a cost in rollouts or tokens: {', '.join(free)}.")
    if unequal := _unequal_rollouts([run for by, run in runs if by == "steps"]):
        found.append(f"At equal steps the arms had unequal numbers of rollouts: {unequal}. See equal rollouts, too.")
    found.append("Each verdict compares an arm with the base. Two arms with different verdicts may still be alike.")
    over = sorted({f"{run['arm']} (by {by})" for by, run in runs if run["over_budget"]})
    if over:
        found.append(f"Over the budget already at their first probe: {', '.join(over)}.")
    if any(part["num_problems"] < 30 for part in comparisons):
        found.append("Fewer than 30 problems: intervals over problems are rough.")
    return found


def _unequal_rollouts(runs: Sequence[Mapping[str, Any]]) -> str:
    """Returns the smallest and the largest number of rollouts by arm, where they are further apart than `TOLERANCE`."""
    spent = {run["arm"]: run["rollouts"] for run in runs if run["rollouts"]}
    if not spent or max(spent.values()) <= (1 + TOLERANCE) * min(spent.values()):
        return ""
    least, most = min(spent, key=lambda arm: spent[arm]), max(spent, key=lambda arm: spent[arm])
    return f"{spent[least]:,} ({least}) to {spent[most]:,} ({most})"
