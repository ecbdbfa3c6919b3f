"""Supervised fine-tuning on demonstrations, on TRL's SFTTrainer: the contrast arms.

`distill` learns from a teacher's verified completions, and can so add what the base lacks. The teacher is a model
through any engine, a JSONL file, or the testbed's solver. `rft` is rejection fine-tuning (Yuan et al. 2023, arXiv
2308.01825): the base is its own teacher.

Owns: the log of what the demonstrations cost.
Does not own: the demonstrations (`rlvr.training.demonstrations`), the loss (TRL's mean over the tokens of completions).
"""

from typing import Any

from trl import SFTConfig, SFTTrainer

OBJECTIVE = (
    "loss_type",
    "completion_only_loss",
    "max_length",
    "packing",
    "teacher_draws",
    "teacher_max_kept",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "adam_beta1",
    "adam_beta2",
    "max_steps",
    "seed",
)

Config = SFTConfig


class Trainer(SFTTrainer):  # type: ignore[misc]
    """TRL's SFTTrainer that also logs `rollouts`: the completions that the demonstrations were chosen from.

    They are spent before the first step, so the number is the same at every step; so is `rollout_tokens`, their prompt
    and completion tokens. `num_tokens` is TRL's count of tokens trained on.

    Args:
        num_rollouts: completions that a model made, or None where they come from elsewhere.
        num_rollout_tokens: tokens in them, or None where that is not known.
        args, kwargs: of TRL's SFTTrainer.
    """

    def __init__(self, *args: Any, num_rollouts: int | None, num_rollout_tokens: int | None, **kwargs: Any) -> None:
        spent = {"rollouts": num_rollouts, "rollout_tokens": num_rollout_tokens}
        self.spent = {key: value for key, value in spent.items() if value is not None}
        super().__init__(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds what was spent to the training log."""
        if "loss" in logs:
            logs |= self.spent
        super().log(logs, start_time)
