"""The training rollouts that stand on the page of a run that has kept them.

    choose_rollouts   a bounded choice of problems, and the first and last rollouts of each

Owns: which rollouts are shown, and how long their texts are.
Does not own: keeping them (`rlvr.rollouts.kept`), the page. Completions are not trusted; the template escapes them.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_PROBLEMS, EACH, TEXT_CHARS = 40, 3, 700
REWARD = "reward_"


@dataclass
class TrainedProblem:
    """One problem of the training.

    Attributes:
        problem_id: of the problem.
        num: rollouts of it that were kept.
        num_correct: among them.
        first, last: some rollouts, see `shown`.
    """

    problem_id: str
    num: int = 0
    num_correct: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)
    last: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=EACH))

    def add(self, row: Mapping[str, Any]) -> None:
        """Counts a rollout, and keeps it where it is among the first or the last."""
        self.num += 1
        self.num_correct += row["outcome"] == "correct"
        (self.first if len(self.first) < EACH else self.last).append(_shown(row))

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The first rollouts, then the last."""
        return [*self.first, *self.last]


@dataclass(frozen=True)
class TrainingRollouts:
    """What the page says of a training's rollouts: how many there are, and some of them."""

    num: int
    num_problems: int
    problems: list[TrainedProblem]


def choose_rollouts(rows: Iterable[Mapping[str, Any]]) -> TrainingRollouts | None:
    """Returns the first and last rollouts of up to `MAX_PROBLEMS` problems; None where there is no rollout.

    The problems are chosen by a hash of their ids.

    Args:
        rows: kept rollouts in the order of their steps; they are read once.
    """
    chosen: dict[str, TrainedProblem] = {}
    seen: set[str] = set()
    num = 0
    for row in rows:
        num += 1
        key = str(row["problem_id"])
        if key not in seen:
            seen.add(key)
            chosen[key] = TrainedProblem(key)
            if len(chosen) > MAX_PROBLEMS:
                del chosen[max(chosen, key=_rank)]
        if key in chosen:
            chosen[key].add(row)
    return (
        TrainingRollouts(num, len(seen), sorted(chosen.values(), key=lambda each: _rank(each.problem_id)))
        if num
        else None
    )


def _rank(problem_id: str) -> str:
    return hashlib.sha256(problem_id.encode("utf-8", "surrogatepass")).hexdigest()


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row for the page, its text cut in the middle."""
    text = str(row["completion"])
    cut = max(0, len(text) - TEXT_CHARS)
    half = TEXT_CHARS // 2
    rewards = {name.removeprefix(REWARD): value for name, value in row.items() if name.startswith(REWARD)}
    return {
        **row,
        "rewards": rewards,
        "head": text[:half] if cut else text,
        "tail": text[-half:] if cut else "",
        "cut": cut,
    }
