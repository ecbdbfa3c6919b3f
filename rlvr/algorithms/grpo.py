"""GRPO (Shao et al. 2024, arXiv 2402.03300), as TRL has it.

Owns: the list of values that decide the objective, and the count of rollouts in the log.
Does not own: the algorithm. TRL computes advantages (eq. 3.1), clipped loss and KL; a rollout whose reward is None (the
verifier failed) gets no advantage and stays out of its group's mean, which a contract test holds.
"""

from typing import Any

from trl import GRPOConfig, GRPOTrainer

Config = GRPOConfig

OBJECTIVE = (
    "beta",
    "epsilon",
    "epsilon_high",
    "num_iterations",
    "num_generations",
    "loss_type",
    "scale_rewards",
    "importance_sampling_level",
    "mask_truncated_completions",
    "temperature",
    "top_p",
    "top_k",
    "max_completion_length",
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


class Trainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's GRPOTrainer that also logs `rollouts`: completions generated since the run began, over all processes."""

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the number of rollouts to the training log; it follows from the step, so it survives a restart."""
        if self.model.training and "loss" in logs:
            logs["rollouts"] = rollouts_at(self.args, self.state.global_step)
        super().log(logs, start_time)


def rollouts_at(args: Any, step: int) -> int:
    """Returns the completions that a run has generated after `step` optimizer steps.

    One generation of `generation_batch_size` completions serves `num_iterations` passes over it, in micro-batches of
    `per_device_train_batch_size` on each process.
    """
    micro_batches = step * args.gradient_accumulation_steps
    per_generation = args.steps_per_generation * args.num_iterations
    return int(-(-micro_batches // per_generation) * args.generation_batch_size)
