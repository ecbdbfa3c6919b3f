"""Guards: a run that cannot learn any more stops by itself, with one clear sentence.

Owns: what is watched, and the stop.
Does not own: narrowing, which a probe sees (`probes.sampling.callback`); how the error ends the command
(`rlvr.console`).

- Loss, gradient norm or a trained weight is NaN or infinite: at once, and nothing is saved. A checkpoint with such
  weights is of no use, and its save could rotate a good one away (`save_total_limit`). The same command goes on from
  the last whole checkpoint, whose weights were finite. Weights are looked at after each step, before it is probed or
  saved; loss and gradient norm where they are logged. In fp16 an infinite gradient norm is usual: the step is skipped
  and the loss scale lowered; there only loss and weights count.
- Every rollout has the same reward, or every rollout is cut off, for `patience` logged steps in a row: a checkpoint is
  saved. The same command goes on from it and counts anew.

What TRL logs is gathered and the same on all processes, and the look at the weights is summed over them: all stop
together.
Not covered: weights that are finite and useless, and a generation that fails before its step ends.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch.nn.utils import get_total_norm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.errors import GuardError
from rlvr.training.run_folder import TrainingIsOverError


class Guards(TrainerCallback):  # type: ignore[misc]
    """Stops a training that cannot learn; must stand after `MarkComplete` and before a probe among the callbacks.

    Args:
        patience: logged steps in a row with equal rewards, or with cut rollouts only, that stop the run; 0: never.
        every: steps that share one generation; a checkpoint between them could not be gone on from exactly, so a stop
            waits for their end.
    """

    def __init__(self, patience: int, every: int = 1) -> None:
        self.patience = patience
        self.every = every
        self.message: str | None = None
        self._num_equal = 0
        self._num_cut = 0

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ends a run that was told to stop before its next step; the trainer would take one more."""
        if control.should_training_stop:
            raise TrainingIsOverError

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Raises `GuardError` where a trained weight is not finite; makes the save that a stop waited for."""
        if not weights_are_finite(model):
            raise GuardError(_stopped(args, state, "a trained weight is nan or inf." + _SPOILT))
        if self.message and state.global_step % self.every == 0:
            control.should_save = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Looks at a step's log: raises `GuardError`, or has a checkpoint saved in this step, after which it is raised.

        The trainer saves after it logs, so a flag that is set here counts at once.
        """
        if not logs or "loss" not in logs or self.message:
            return
        self._refuse_what_is_not_finite(args, state, logs)
        found = [self._all_cut(logs), self._equal_rewards(logs)]
        reason = next(filter(None, found), None)
        if reason and state.global_step < state.max_steps:  # the last step ends by itself
            self.message = _stopped(args, state, reason)
            control.should_save = control.should_save or state.global_step % self.every == 0

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Raises `GuardError` once the checkpoint of the stop is saved and marked."""
        if self.message is None or state.global_step >= state.max_steps:
            return
        PartialState().wait_for_everyone()  # the first process to end makes a launcher kill the others
        raise GuardError(self.message)

    def _refuse_what_is_not_finite(self, args: Any, state: TrainerState, logs: Mapping[str, Any]) -> None:
        """Raises `GuardError` where loss or gradient norm is no number."""
        for key in ("loss",) if args.fp16 else ("loss", "grad_norm"):
            value = logs.get(key)
            if value is not None and not math.isfinite(value):
                raise GuardError(_stopped(args, state, f"{key} is {value}." + _SPOILT))

    def _equal_rewards(self, logs: Mapping[str, Any]) -> str | None:
        """Returns what is said where rewards have been all equal for too long."""
        if "reward_std" in logs:  # a step that learns from an earlier one's rollouts logs none
            self._num_equal = self._num_equal + 1 if logs["reward_std"] == 0 else 0
        if not self.patience or self._num_equal < self.patience:
            return None
        return (
            f"every rollout had reward {logs.get('reward')} for {self.patience} logged steps: nothing can be learned. "
            "Check the verifier and the problems' difficulty, or raise guard_patience."
        )

    def _all_cut(self, logs: Mapping[str, Any]) -> str | None:
        """Returns what is said where all completions have been cut off for too long."""
        if "completions/clipped_ratio" in logs:
            self._num_cut = self._num_cut + 1 if logs["completions/clipped_ratio"] == 1 else 0
        if not self.patience or self._num_cut < self.patience:
            return None
        return (
            f"every rollout was cut off at max_completion_length for {self.patience} logged steps. Raise "
            "max_completion_length, check the prompt and its end of text, or raise guard_patience."
        )


_SPOILT = (
    " Nothing of this step is saved. Lower learning_rate or max_grad_norm in a new output_dir; the same command goes "
    "on from the last whole checkpoint."
)


def weights_are_finite(model: Any) -> bool:
    """Returns whether no trained weight is NaN or infinite, on any process.

    Each process looks at what it holds: the whole weights, or its shard of them (FSDP, ZeRO-3). All must call it.
    """
    if model is None:
        return True
    held = [_held(weight) for weight in model.parameters() if weight.requires_grad]
    state = PartialState()
    norm = get_total_norm([weight for weight in held if weight.numel()], math.inf)
    num_spoilt = (~torch.isfinite(norm)).to(device=state.device, dtype=torch.float32)
    return not reduce(num_spoilt, "sum").item()


def _held(weight: Any) -> torch.Tensor:
    """Returns the part of a weight that this process has."""
    weight = getattr(weight, "ds_tensor", weight)  # ZeRO-3
    return (weight.to_local() if hasattr(weight, "to_local") else weight).detach()  # type: ignore[no-any-return]


def _stopped(args: TrainingArguments, state: TrainerState, reason: str) -> str:
    return f"{args.output_dir}: stopped at step {state.global_step}: {reason}"
