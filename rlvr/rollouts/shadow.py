"""A shadow verifier's view of a training: it judges rollouts and rewards none.

Owns: what is logged of it, and the alarm: the reward rises, and what the shadow says does not follow.
Does not own: judging (`rlvr.verifiers`), rewards (`rlvr.training.rewards`).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.stats import linregress
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.rollouts.agreement import cells_of, logged_name
from rlvr.verifiers.verdicts import Outcome

logger = logging.getLogger(__name__)

REWARDED, SHADOW, PASSED = "rewards/accuracy/mean", "shadow/accuracy", "shadow/passed_rate"
MIN_ROWS = 20
LEVEL = 1e-3  # of the slopes; logged steps are no independent sample, so this is a rule of thumb
MIN_RISE = 0.05
SHARE = 0.5  # of the rise of the reward that the shadow does not see


def shadow_metrics(rewarded: Sequence[Outcome], shadow: Sequence[Outcome]) -> dict[str, float]:
    """Returns what is logged of a batch; no shares where the shadow could judge none of it.

    `shadow/accuracy` is the share that it calls correct. `shadow/passed_rate` is the share of the rewarded completions
    that it does not call correct. Beside them stands the number of rollouts in each cell (`rlvr.rollouts.agreement`).
    """
    judged = [(one, other) for one, other in zip(rewarded, shadow, strict=True) if other is not Outcome.ERROR]
    cells = {logged_name(name): float(number) for name, number in asdict(cells_of(rewarded, shadow)).items()}
    if not judged:
        return cells
    said = {SHADOW: sum(other is Outcome.CORRECT for _, other in judged) / len(judged)}
    passed = [other is not Outcome.CORRECT for one, other in judged if one is Outcome.CORRECT]
    return said | cells | ({PASSED: sum(passed) / len(passed)} if passed else {})


def shadow_alarm(log_history: Sequence[Mapping[str, Any]]) -> str | None:
    """Returns a sentence where the reward has risen and at least half of the rise is not seen by the shadow.

    Rise and gap are the slopes of straight lines through the logged steps, over all of them.
    """
    rows = [(row[REWARDED], row[SHADOW]) for row in log_history if _has(row, REWARDED) and _has(row, SHADOW)]
    if len(rows) < MIN_ROWS:
        return None
    reward_T, shadow_T = np.array(rows, dtype=float).T
    rise, is_rising = _rise(reward_T)
    gap, is_gap_rising = _rise(reward_T - shadow_T)
    if not (is_rising and is_gap_rising and rise >= MIN_RISE and gap >= SHARE * rise):
        return None
    return (
        f"The reward's share of correct rollouts rose by {rise:.2f}, the shadow verifier's by {rise - gap:.2f}: the "
        "training may be learning what the verifier is wrong about. Read rollouts that one calls correct and the other "
        "does not (keep_rollouts: true)."
    )


def _rise(value_T: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, bool]:
    """Returns the rise of a line through the values from first to last, and whether its slope is clear."""
    if np.ptp(value_T) == 0:
        return 0.0, False
    line = linregress(np.arange(len(value_T)), value_T)
    return float(line.slope) * (len(value_T) - 1), bool(line.slope > 0 and line.pvalue < LEVEL)


def _has(row: Mapping[str, Any], name: str) -> bool:
    """Returns whether a number was logged."""
    value = row.get(name)
    return isinstance(value, int | float) and value == value


class ShadowAlarm(TrainerCallback):  # type: ignore[misc]
    """Says once in a training that the alarm holds; the report says it too."""

    def __init__(self) -> None:
        self.has_spoken = False

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002 - of transformers
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Looks at all that was logged."""
        if state.is_world_process_zero and not self.has_spoken and (said := shadow_alarm(state.log_history)):
            self.has_spoken = True
            logger.warning("%s This is said once.", said)
