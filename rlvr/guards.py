"""Guards: a run that cannot learn any more stops by itself, with a checkpoint and one clear sentence.

Owns: what is watched in the training log, and the stop.
Does not own: narrowing, which a probe sees (`probes.callback`).

A guard looks at logged steps, which are the same on all processes, so all stop together:

- loss or gradient norm is NaN or infinite: at once. The weights may be spoilt, so the checkpoint is kept for a look and
  not marked whole; the same command goes on from the last one that is.
- every rollout of a step has the same reward, or every rollout is cut off: `patience` logged steps in a row. The same
  command goes on from the checkpoint and counts anew.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.errors import GuardError
from rlvr.run_folder import COMPLETE


class Guards(TrainerCallback):  # type: ignore[misc]
    """Stops a training that cannot learn; must stand after `MarkComplete` among the callbacks.

    Args:
        patience: logged steps in a row with equal rewards, or with cut rollouts only, that stop the run; 0: never.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.message: str | None = None
        self.is_spoilt = False
        self._num_equal = 0
        self._num_cut = 0

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Looks at a step's log; where a guard is hit, has a checkpoint saved, after which the run stops."""
        if not logs or "loss" not in logs or self.message:
            return
        found = [self._not_finite(logs), self._all_cut(logs), self._equal_rewards(logs)]
        self.message = next(filter(None, found), None)
        if self.message:
            self.message = f"{args.output_dir}: stopped at step {state.global_step}: {self.message}"
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Raises `GuardError` once the checkpoint of the stop is saved."""
        if self.message is None:
            return
        if self.is_spoilt and state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).unlink(missing_ok=True)
        raise GuardError(self.message)

    def _not_finite(self, logs: Mapping[str, Any]) -> str | None:
        """Returns what is said where loss or gradient norm is no number."""
        for key in ("loss", "grad_norm"):
            value = logs.get(key)
            if value is not None and not math.isfinite(value):
                self.is_spoilt = True
                return (
                    f"{key} is {value}. Lower learning_rate or max_grad_norm; the same command goes on from the last "
                    "whole checkpoint."
                )
        return None

    def _equal_rewards(self, logs: Mapping[str, Any]) -> str | None:
        """Returns what is said where rewards have been all equal for too long."""
        self._num_equal = self._num_equal + 1 if logs.get("reward_std") == 0 else 0
        if not self.patience or self._num_equal < self.patience:
            return None
        return (
            f"every rollout had reward {logs.get('reward')} for {self.patience} logged steps: nothing can be learned. "
            "Check the verifier and the problems' difficulty, or raise guard_patience."
        )

    def _all_cut(self, logs: Mapping[str, Any]) -> str | None:
        """Returns what is said where all completions have been cut off for too long."""
        self._num_cut = self._num_cut + 1 if logs.get("completions/clipped_ratio") == 1 else 0
        if not self.patience or self._num_cut < self.patience:
            return None
        return (
            f"every rollout was cut off at max_completion_length for {self.patience} logged steps. Raise "
            "max_completion_length, check the prompt and its end of text, or raise guard_patience."
        )
