"""Exposures: how many rollouts a training has made, and of which problem.

Owns: the count, which checkpoints keep: a run that goes on counts from what its weights have seen, not from what a kill
undid.
Does not own: what an uninterrupted run would have seen (`rlvr.rollouts.order`), who compares (`rlvr.jobs.doctor`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from rlvr.rollouts.order import Order


class RolloutCount(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Completions generated since the run began, over all processes, thrown-away ones included.

    Attributes:
        num: all of them.
        by_problem: those of each problem, in the order of the data set; empty where its rows have no `problem_id`.
            ReMax's greedy completions are not among them: nothing is learned from them.
        order: which rows are visited; None before the training begins.
        since: the step from which `by_problem` counts; above 0 where a run goes on from a checkpoint that has none.
    """

    def __init__(self) -> None:
        self.num = 0
        self.by_problem: dict[str, int] = {}
        self.order: Order | None = None
        self.since = 0

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint's trainer_state.json keeps."""
        count = {
            "num": self.num,
            "by_problem": list(self.by_problem.items()),  # the file sorts the keys of objects
            "order": self.order and asdict(self.order),
            "since": self.since,
        }
        return {"args": {}, "attributes": count}

    def visits(self, rows: Any, order: Order) -> None:
        """Notes the data set and the order in which it is visited, before the training begins."""
        self.order = order
        if not self.by_problem and "problem_id" in rows.column_names:
            self.by_problem = dict.fromkeys(rows["problem_id"], 0)

    def add(self, problem_ids: Iterable[str | None], num: int) -> None:
        """Counts the rollouts of a generation: `num` in all, one for each of these problems, by id."""
        self.num += num
        for problem_id in problem_ids:
            if problem_id in self.by_problem:
                self.by_problem[problem_id] += 1

    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002 - of transformers
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Takes over the count of the checkpoint that the run goes on from."""
        saved = saved_count(state.stateful_callbacks)
        self.num = saved.get("num", 0)
        self.since = saved.get("since", state.global_step)
        self.by_problem |= dict(saved.get("by_problem", ()))

    def on_train_end(
        self,
        args: TrainingArguments,  # noqa: ARG002 - of transformers
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Keeps the count in the state that is saved beside the final model, too."""
        state.stateful_callbacks[type(self).__name__] = self.state()


def saved_count(stateful_callbacks: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the count that a trainer_state.json keeps, as JSON; nothing where it has none."""
    attributes: dict[str, Any] = stateful_callbacks.get(RolloutCount.__name__, {}).get("attributes", {})
    return attributes
