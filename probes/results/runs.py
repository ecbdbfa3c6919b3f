"""Runs and stores as arms of a comparison: what was probed, at which step, and what it had cost until then.

    ArmRun           the folder of a probed run, read
    compare_runs     several runs from one base -> `rlvr.comparison/2`
    compare_stores   several stores of draws, the first of them the base -> `rlvr.comparison/2`

Owns: which numbers of a run folder or a store a comparison takes, and whether they may be compared.
Does not own: the comparison (`probes.results.comparison`), the summary of a run (`probes.results.summary`).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from probes.results.cautions import mode_cautions
from probes.results.comparison import STATES, Measured, State, compare_arms, notes
from probes.results.measured import Measured as MeasuredArm
from probes.results.measured import measure_probe
from probes.results.schema import COMPARISON_SCHEMA, Probe, Summary
from probes.statistics.estimators import Counts
from probes.statistics.plan import k_grid
from probes.store.index import ProbeEntry, ProbeIndex
from probes.store.store import ProbeStore
from rlvr.errors import InputError


@dataclass(frozen=True)
class ArmRun:
    """One run that was probed.

    Attributes:
        arm: name of the arm; runs of one arm differ in their seed.
        seed: of the training.
        folder: of the run.
        summary: of the run.
    """

    arm: str
    seed: int
    folder: Path
    summary: Summary

    @cached_property
    def entries(self) -> dict[int, ProbeEntry]:
        """What the run's index says of each probed step."""
        return {entry.step: entry for entry in ProbeIndex(self.folder).entries()}

    @property
    def base(self) -> Probe:
        """The probe of step 0."""
        return self.summary["probes"][0]

    def states(self) -> list[State]:
        """Returns every probed step after 0 with its cost."""
        return [
            State(self.arm, self.seed, probe["step"], probe["cost"]["rollouts"], probe["cost"]["tokens"])
            for probe in self.summary["probes"]
            if probe["step"] > 0
        ]

    def measure(self, step: int) -> Measured:
        """Returns the counts and entropies of a probed step."""
        return arm_measured(measure_probe(ProbeIndex(self.folder), self.entries[step]))


class MeasuredStates(Mapping[State, Measured]):
    """States by what was measured there; a state is measured when it is asked for first."""

    def __init__(self, states: Sequence[State], measure: Callable[[State], Measured]) -> None:
        self._states = dict.fromkeys(states)
        self._measure = measure
        self._found: dict[State, Measured] = {}

    def __getitem__(self, state: State) -> Measured:
        if state not in self._found:
            self._found[state] = self._measure(state)
        return self._found[state]

    def __iter__(self) -> Iterator[State]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)


def arm_measured(measured: MeasuredArm) -> Measured:
    """Returns the counts and entropies of an arm that a comparison needs."""
    entropy = measured.answers.entropy.mean
    scores = (measured.scores or {}).get("own", {})
    token_entropy = scores.get("token_entropy", {}).get("estimate")
    return Measured(measured.counts, None if math.isnan(entropy) else entropy, token_entropy)


def compare_runs(name: str, runs: Sequence[ArmRun], seed: int = 0) -> dict[str, Any]:
    """Returns the comparison of runs that started from one base, on the problems that they were probed on.

    Args:
        name: of the comparison.
        runs: one or more.
        seed: of the resampling.

    Raises:
        InputError: the runs differ in base, problems or verifier, or a run has no probe after step 0.
    """
    base, states = require_comparable(runs), measured_states(runs)
    sets = {runs[0].summary["problems"]["name"]: all_states(base, states, k_max_of(runs), seed)}
    return describe(name, runs, sets)


def compare_stores(
    name: str, base: ProbeStore, counts: Mapping[str, Counts], k_max: int, seed: int = 0
) -> dict[str, Any]:
    """Returns the comparison of stores of draws, of which no cost is known.

    Args:
        name: of the comparison.
        base: the store that the others are compared with.
        counts: of every store by its name, the base first.
        k_max: largest k.
        seed: of the resampling.

    Raises:
        InputError: the stores hold different problems.
    """
    first, *names = counts
    states = {State(arm, 0, place, None, None): Measured(counts[arm]) for place, arm in enumerate(names, 1)}
    part = compare_arms(Measured(counts[first]), states, "steps", k_grid(k_max), seed=seed)
    return {
        "schema": COMPARISON_SCHEMA,
        "name": name,
        "model": first,
        "train_problems": None,
        "algorithms": {},
        "seeds": [],
        "runs": [],
        "sets": {base.problem_set_name: {"stores": {**part, "by": "stores"}}},
        "trajectory": [],
        "facts": {},
        "notes": ["Nothing is known of what the arms cost, or how they were trained."],
    }


def require_comparable(runs: Sequence[ArmRun]) -> Measured:
    """Returns what was measured of the base, which all runs must share; see `compare_runs` for what it raises."""
    first = runs[0]
    for run in runs:
        if not run.states():
            raise InputError(f"{run.folder}: probed at step 0 only; expected a later probe, to compare with it.")
        for what, here, there in (
            ("the base model", first.base["arm_id"], run.base["arm_id"]),
            ("the problems", first.summary["problems"]["content_id"], run.summary["problems"]["content_id"]),
            ("the verifier", first.summary["verifier"], run.summary["verifier"]),
        ):
            if here != there:
                raise InputError(
                    f"{first.folder} and {run.folder} differ in {what}: {here} and {there}. Runs are compared on the "
                    "same problems, from the same base; write a report of each."
                )
    keys = [(run.arm, run.seed) for run in runs]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise InputError(f"two runs are called {twice[0]!r} with seed {twice[1]}; rename a folder.")
    return first.measure(first.base["step"])


def measured_states(runs: Sequence[ArmRun]) -> MeasuredStates:
    """Returns every probed state after step 0 of every run."""
    by_key = {(run.arm, run.seed): run for run in runs}
    states = [state for run in runs for state in run.states()]
    return MeasuredStates(states, lambda state: by_key[state.arm, state.seed].measure(state.step))


def all_states(base: Measured, states: Mapping[State, Measured], k_max: int, seed: int) -> dict[str, Any]:
    """Returns the comparison at equal steps, rollouts and tokens."""
    return {by: compare_arms(base, states, by, k_grid(k_max), seed=seed) for by in STATES}


def k_max_of(runs: Sequence[ArmRun]) -> int:
    """Returns the largest k that every run has."""
    return min(run.summary["k"][-1] for run in runs)


def describe(name: str, runs: Sequence[ArmRun], sets: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the whole comparison: what was compared, and beside it every probe of every run."""
    summaries = [run.summary for run in runs]
    first, seeds = summaries[0]["run"], sorted({run.seed for run in runs})
    said = [f"{run.folder.name}: {line}" for run in runs for line in mode_cautions(run.summary)]
    return {
        "schema": COMPARISON_SCHEMA,
        "name": name,
        "model": first["model"],
        "train_problems": first["facts"].get("train_problems"),
        "algorithms": {run.arm: run.summary["run"]["algorithm"] for run in runs},
        "seeds": seeds,
        "runs": [{"arm": run.arm, "seed": run.seed, "folder": run.folder.name} for run in runs],
        "sets": dict(sets),
        "trajectory": [row for run in runs for row in _trajectory(run)],
        "facts": _shared([each["run"]["facts"] for each in summaries]),
        "notes": [*notes(len(seeds), [part for states in sets.values() for part in states.values()]), *said],
    }


def _trajectory(run: ArmRun) -> Iterator[dict[str, Any]]:
    """Yields every probe of a run with what it had cost."""
    probes = {probe["step"]: probe for probe in run.summary["probes"]}
    for state in run.states():
        values = {k: row["estimate"] for k, row in probes[state.step]["pass@k"].items()}
        cost = {"rollouts": state.rollouts, "tokens": state.tokens}
        yield {"arm": run.arm, "seed": run.seed, "step": state.step, **cost, "pass@k": values}


def _shared(facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Returns the facts in which all runs agree."""
    return {key: value for key, value in facts[0].items() if all(other.get(key) == value for other in facts)}
