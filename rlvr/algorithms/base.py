"""The thin base of the algorithms: TRL's GRPOTrainer, whose advantages an algorithm makes itself.

Owns: capturing the rewards, putting an algorithm's advantages in the place of GRPO's (in the batch and in the logs),
a KL penalty that is part of the reward, and the count of rollouts.
Does not own: any algorithm (one file each), generation, losses and logging (TRL).

What is leaned on in TRL is pinned by tests/rlvr/algorithms/test_trl_contract.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import gather_object
from trl import GRPOConfig, GRPOTrainer

from rlvr.rollouts.agreement import pool_cells
from rlvr.rollouts.exposures import RolloutCount
from rlvr.rollouts.kept import KeptRollouts
from rlvr.rollouts.order import EpochOrder, Order

# Recipe keys that decide what is optimised, for every algorithm on GRPOConfig.
OBJECTIVE = (
    "beta",
    "use_bias_correction_kl",
    "entropy_coef",
    "top_entropy_quantile",
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


@dataclass
class UngroupedConfig(GRPOConfig):  # type: ignore[misc]
    """GRPOConfig for algorithms without a group baseline: one rollout a prompt (`num_generations: 1`) is allowed."""

    def __post_init__(self) -> None:
        """Lets TRL check everything but its lower limit of two rollouts a prompt."""
        asked = int(self.num_generations)  # type: ignore[has-type]
        if asked == 1:  # any divisor of the batch stands in, so that TRL's other checks speak of the real values
            self.num_generations = max(2, self.per_device_train_batch_size)
        super().__post_init__()
        self.num_generations = asked


def require_whole_groups(config: Any) -> None:
    """Raises `ValueError` unless each process generates whole groups."""
    rows = config.per_device_train_batch_size * config.steps_per_generation
    if rows % config.num_generations:
        raise ValueError(
            f"per_device_train_batch_size x steps per generation is {rows}, not a multiple of num_generations = "
            f"{config.num_generations}: this algorithm needs whole groups on each process."
        )


@dataclass(frozen=True)
class ScoredBatch:
    """Rollouts with their rewards, as an algorithm sees them.

    Attributes:
        out: TRL's dict of this process: `completion_ids`, `completion_mask` (B, T) and more.
        inputs: the B rows of the data set that they were made for.
        rewards_N: one total reward per rollout of all processes, N = B x processes; NaN where the verifier failed.
        raw_NF: the same by reward function, F columns, the verifier's first.
        first: index of this process's first rollout among the N.
    """

    out: dict[str, Any]
    inputs: list[dict[str, Any]]
    rewards_N: torch.Tensor
    raw_NF: torch.Tensor
    first: int

    @property
    def mask_BT(self) -> torch.Tensor:
        """1 where a token is part of the loss."""
        mask: torch.Tensor = self.out["completion_mask"]
        return mask * self.out["tool_mask"] if "tool_mask" in self.out else mask

    @property
    def rewards_B(self) -> torch.Tensor:
        """The total rewards of this process."""
        return self.local(self.rewards_N)

    def local(self, values_N: torch.Tensor) -> torch.Tensor:
        """Returns this process's part of something that all processes have."""
        return values_N[self.first : self.first + len(self.inputs)]


class CountsRollouts:
    """TRL's trainers that generate: they count rollouts, and visit the same rows whether they were killed or not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rollouts = RolloutCount()
        self.kept: KeptRollouts | None = None
        self.add_callback(self.rollouts)  # type: ignore[attr-defined]

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """Returns TRL's sampler, in the order of the epoch that the training is in."""
        sampler = super()._get_train_sampler(dataset)  # type: ignore[misc]
        self.rollouts.visits(self.train_dataset, Order.of(sampler, self.args.gradient_accumulation_steps))  # type: ignore[attr-defined]
        return EpochOrder(sampler, lambda: int(self.state.epoch or 0))  # type: ignore[attr-defined]

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        """Counts what TRL generates for the training."""
        if self.model.training:  # type: ignore[attr-defined]
            problem_ids = gather_object([row.get("problem_id") for row in inputs])
            self.rollouts.add(problem_ids, len(problem_ids))
        return super()._generate_and_score_completions(inputs)  # type: ignore[misc]

    def keep_rollouts(self, num: int) -> None:
        """Keeps the last rollouts that TRL has logged, so many on this process, where that is asked for."""
        if self.kept is not None and self.model.training and self.accelerator.is_main_process:  # type: ignore[attr-defined]
            self.kept.add(self.state.global_step, self._logs, num * self.accelerator.num_processes)  # type: ignore[attr-defined]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the number of rollouts, and sums of a shadow verifier's counts, to the training log."""
        if self.model.training and "loss" in logs:  # type: ignore[attr-defined]
            logs["rollouts"] = self.rollouts.num
            pool_cells(self._metrics["train"], self.accelerator.num_processes)  # type: ignore[attr-defined]
        super().log(logs, start_time)  # type: ignore[misc]


class RolloutTrainer(CountsRollouts, GRPOTrainer):  # type: ignore[misc]
    """TRL's GRPOTrainer with a place for an algorithm's own advantages.

    A subclass overrides `advantages`. With `kl_in_reward`, `beta` weighs a k1 penalty in the reward, and none is added
    to the loss.
    """

    kl_in_reward = False

    def advantages(self, batch: ScoredBatch) -> torch.Tensor | None:
        """Returns this process's advantages, (B,) or (B, T); None keeps GRPO's."""
        return None

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Any:
        """Keeps TRL's gathered rewards; a rollout that the verifier could not judge has none from any function."""
        rewards_NF = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        rewards_NF[rewards_NF[:, 0].isnan()] = torch.nan
        self._rewards_NF = rewards_NF
        return rewards_NF

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        """Puts the algorithm's advantages in the place of TRL's."""
        out = super()._generate_and_score_completions(inputs)
        batch = ScoredBatch(
            out=out,
            inputs=inputs,
            rewards_N=self._total(self._rewards_NF),
            raw_NF=self._rewards_NF,
            first=self.accelerator.process_index * len(inputs),
        )
        advantages = self.advantages(batch)
        if advantages is not None:
            out["advantages"] = advantages
            self._correct_log(batch, advantages)
        self.keep_rollouts(len(inputs))
        return out

    def _total(self, rewards_NF: torch.Tensor) -> torch.Tensor:
        """Returns the weighted sum over reward functions; NaN stays NaN."""
        total_N: torch.Tensor = (rewards_NF * self.reward_weights.to(rewards_NF.device)).nansum(dim=1)
        return total_N.masked_fill(rewards_NF.isnan().all(dim=1), torch.nan)

    def _correct_log(self, batch: ScoredBatch, advantages: torch.Tensor) -> None:
        """Writes these advantages over the ones that TRL logged; of tokens, the mean of each rollout."""
        if advantages.dim() == 2:
            mask_BT = batch.mask_BT
            advantages = (advantages * mask_BT).sum(1) / mask_BT.sum(1).clamp(min=1)
        gathered = self.accelerator.gather(advantages.contiguous()).tolist()
        logged = self._logs["advantages"]
        for _ in range(min(len(gathered), len(logged))):
            logged.pop()
        logged.extend(gathered)

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        """TRL's loss, without a KL term where the reward has it."""
        if not self.kl_in_reward:
            return super()._compute_loss(model, inputs)
        with self._without_kl_in_loss():
            return super()._compute_loss(model, inputs)

    @contextmanager
    def _without_kl_in_loss(self) -> Iterator[None]:
        self.beta = 0.0
        try:
            yield
        finally:
            self.beta = self.args.beta

    def kl_penalty(self, batch: ScoredBatch) -> torch.Tensor:
        """Returns beta x k1 of each token, (B, T), 0 outside the mask: k1 = log pi_old - log pi_ref (Schulman 2020)."""
        mask_BT = batch.mask_BT
        if self.beta == 0.0:
            return torch.zeros_like(mask_BT, dtype=torch.float32)
        k1_BT = (self._old_logps(batch.out) - batch.out["ref_per_token_logps"]) * mask_BT
        mean = self.sum_over_processes(k1_BT.sum()) / self.sum_over_processes(mask_BT.sum()).clamp(min=1)
        self.log_value("kl", mean.item())
        penalty_BT: torch.Tensor = self.beta * k1_BT
        return penalty_BT

    def _old_logps(self, out: dict[str, Any]) -> torch.Tensor:
        """Returns the log probabilities (B, T) of the rollouts under the policy that made them."""
        if "old_per_token_logps" in out:
            return out["old_per_token_logps"]  # type: ignore[no-any-return]
        ids = torch.cat([out["prompt_ids"], out["completion_ids"]], dim=1)
        mask = torch.cat([out["prompt_mask"], out["completion_mask"]], dim=1)
        with torch.no_grad():
            logps_BT, _, _ = self._get_per_token_logps_and_entropies(
                self.model,
                ids,
                mask,
                out["completion_ids"].size(1),
                batch_size=self.args.per_device_train_batch_size,
            )
        return logps_BT  # type: ignore[no-any-return]

    def sum_over_processes(self, value: torch.Tensor) -> torch.Tensor:
        """Returns the sum of a tensor over all processes."""
        return self.accelerator.reduce(value, reduction="sum")  # type: ignore[no-any-return]

    def log_value(self, name: str, value: float) -> None:
        """Adds a number to the averages of the next training log."""
        mode = "train" if self.model.training else "eval"
        self._metrics[mode][name].append(value)
