"""One arm with what was counted: a probe of a run, or a store of draws.

    measure_probe   a probe of a run -> Measured
    measure_store   a store that no run's index names -> Measured

Owns: reading a store once for all that is computed of it.
Does not own: what is computed (`probes.statistics.estimators`, `probes.analyses`), the store.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from probes.analyses.answers import AnswerEntropy, DistinctCorrect, answer_entropy, distinct_correct
from probes.analyses.rates import Rates, rates
from probes.statistics.estimators import Counts
from probes.statistics.outcomes import Outcomes
from probes.statistics.plan import Plan
from probes.store.index import ProbeEntry, ProbeIndex
from probes.store.store import ProbeStore
from rlvr.verifiers.mixture import is_mixture

DEFAULT = "default"  # stands for the verifier of problems that name none


@dataclass(frozen=True)
class Answers:
    """Statistics of the answers among the first draws of each problem."""

    entropy: AnswerEntropy
    distinct: DistinctCorrect


@dataclass(frozen=True, eq=False)
class Measured:
    """One arm with its counts: a probe of a run, or a store of draws.

    Attributes:
        step: optimizer steps taken.
        label: what the report calls it, for example `step 50`.
        store: of its draws.
        verifier_id: whose verdicts count.
        plan: under which its draws count; None counts all draws.
        outcomes: of all draws.
        counts: under the plan.
        seconds: wall time of the probe; None where it is not known.
        scores: what a forward pass says of the first draws; None where that was not made.
    """

    step: int
    label: str
    store: ProbeStore
    verifier_id: str
    plan: Plan | None
    outcomes: Outcomes
    counts: Counts
    seconds: float | None = None
    scores: Mapping[str, Any] | None = None

    @property
    def num_first(self) -> int:
        """First draws of each problem, which every problem has."""
        return self.outcomes.num_first(self.plan)

    @cached_property
    def rates(self) -> Rates:
        """Rates over the first draws."""
        return rates(self.outcomes, self.store.totals(self.num_first), self.num_first)

    @cached_property
    def counts_by_verifier(self) -> dict[str, Counts]:
        """Counts of a mixture by the verifier that problems name, `DEFAULT` for none; empty for any other verifier."""
        if not is_mixture(self.verifier_id):
            return {}
        ids: dict[str, set[str]] = {}
        for problem in self.store.problems():
            ids.setdefault(problem.verifier or DEFAULT, set()).add(problem.problem_id)
        return {name: self.outcomes.of(ids[name]).counts(self.plan) for name in sorted(ids)}

    @cached_property
    def answers(self) -> Answers:
        """Statistics of the answers among the first draws; reads them once."""
        found = self.store.answers(self.verifier_id, self.num_first)
        entropy = answer_entropy(found, self.num_first)
        return Answers(entropy, distinct_correct(found, self.outcomes.problem_ids, self.num_first))


def measure_probe(index: ProbeIndex, entry: ProbeEntry) -> Measured:
    """Returns the counts of one probe of a run, over the problems of its store."""
    store, plan = ProbeStore.open_existing(index.store_path(entry)), Plan.from_json(entry.plan)
    outcomes = store.outcomes(entry.verifier_id)
    label = f"step {entry.step}"
    counts = outcomes.counts(plan)
    return Measured(entry.step, label, store, entry.verifier_id, plan, outcomes, counts, entry.seconds, entry.scores)


def measure_store(path: Path, place: int, verifier_id: str | None = None) -> Measured:
    """Returns the counts of a store of draws that no run's index names, under the plan that it notes.

    Args:
        path: of the store.
        place: among the stores that are compared; stands for the step.
        verifier_id: whose verdicts; may be left out where the store has those of one verifier only.
    """
    store = ProbeStore.open_existing(path)
    verifier_id, plan = store.require_verifier(verifier_id), store.plan()
    outcomes = store.outcomes(verifier_id)
    return Measured(place, path.name, store, verifier_id, plan, outcomes, store.counts_of(outcomes))
