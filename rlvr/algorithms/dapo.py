"""DAPO (Yu et al. 2025, arXiv 2503.14476): GRPO with four changes.

Owns: dynamic sampling (eq. 11) and the soft punishment of long completions (eq. 13), which TRL computes. Clip-higher
is `epsilon_high: 0.28`, the token mean is `loss_type: dapo`.

Dynamic sampling drops groups whose raw accuracy is all equal, whatever other rewards say, and draws more prompts
until each process has its groups or `max_resample_rounds` is reached. A place that stays empty holds a dropped group
without any token in the loss. The extra prompts follow from seed and step alone, so a run that goes on from a
checkpoint draws the same ones. Everything generated counts in `rollouts` and `num_tokens`.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import pad
from trl import GRPOConfig
from trl.rewards import get_soft_overlong_punishment

from rlvr.algorithms.base import OBJECTIVE as BASE_OBJECTIVE
from rlvr.algorithms.base import RolloutTrainer, require_whole_groups

__all__ = ["OBJECTIVE", "Config", "Trainer"]

OBJECTIVE = (*BASE_OBJECTIVE, "max_resample_rounds", "overlong_buffer")
LEFT_PADDED = ("prompt_ids", "prompt_mask")
TOKEN_IDS = ("prompt_ids", "completion_ids")


@dataclass
class Config(GRPOConfig):  # type: ignore[misc]
    """GRPOConfig with dynamic sampling and overlong shaping."""

    max_resample_rounds: int = field(
        default=9, metadata={"help": "How often more prompts are drawn for groups that teach nothing; 0: never."}
    )
    overlong_buffer: int = field(
        default=0,
        metadata={"help": "Tokens before max_completion_length over which the reward falls by up to 1; 0: off."},
    )

    def __post_init__(self) -> None:
        """Raises `ValueError` where the values cannot work together."""
        super().__post_init__()
        require_whole_groups(self)
        if self.max_resample_rounds < 0:
            raise ValueError(f"max_resample_rounds is {self.max_resample_rounds}; expected 0 or more.")
        if not 0 <= self.overlong_buffer <= self.max_completion_length:
            raise ValueError(
                f"overlong_buffer is {self.overlong_buffer}; expected 0 to max_completion_length = "
                f"{self.max_completion_length}."
            )
        if self.scale_rewards == "batch":
            raise ValueError("scale_rewards: batch mixes rounds of dynamic sampling; use group or none.")


class Trainer(RolloutTrainer):
    """DAPO."""

    def __init__(self, model: Any, reward_funcs: Any, args: Config, **kwargs: Any) -> None:
        rewards = list(reward_funcs) if isinstance(reward_funcs, (list, tuple)) else [reward_funcs]
        if args.overlong_buffer:
            rewards.append(get_soft_overlong_punishment(args.max_completion_length, args.overlong_buffer))
        super().__init__(model, rewards, args=args, **kwargs)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        """Generates until the batch is full of informative groups, or the rounds are over."""
        if not self.model.training or self.args.max_resample_rounds == 0:
            return super()._generate_and_score_completions(inputs)
        wanted = len(inputs) // self.num_generations
        informative: list[dict[str, Any]] = []
        dropped: list[dict[str, Any]] = []
        num_kept, num_groups, num_rounds = 0, 0, 0
        rows = inputs
        while True:
            out = super()._generate_and_score_completions(rows)
            is_informative_P = self._informative(len(rows))
            informative.append(take_groups(out, is_informative_P))
            dropped.append(take_groups(out, ~is_informative_P))
            num_kept += int(is_informative_P.sum())
            num_groups += len(is_informative_P)
            num_rounds += 1
            lacking = self._most_over_processes(wanted - num_kept)
            if lacking <= 0 or num_rounds > self.args.max_resample_rounds:
                break
            rows = self._more_rows(num_groups - wanted, self._next_round(lacking, num_kept / num_groups, wanted))
        self._log_rounds(num_rounds, num_groups, num_kept, wanted)
        return self._full_batch(informative, dropped, len(inputs))

    def _informative(self, num_rows: int) -> torch.Tensor:
        """Returns for each of this process's groups whether its raw accuracies differ; unjudged rollouts have none."""
        first = self.accelerator.process_index * num_rows
        raw_PG: torch.Tensor = self._rewards_NF[first : first + num_rows, 0].view(-1, self.num_generations)
        lowest_P = raw_PG.nan_to_num(torch.inf).min(1).values
        return lowest_P < raw_PG.nan_to_num(-torch.inf).max(1).values

    def _next_round(self, lacking: int, share: float, wanted: int) -> int:
        """Returns the groups to draw next: what the share seen so far says is needed, at most a whole batch."""
        needed = math.ceil(lacking / share) if share else wanted
        return self._most_over_processes(min(wanted, needed))

    def _most_over_processes(self, number: int) -> int:
        """Returns the largest of the processes' numbers."""
        return int(self.accelerator.gather(torch.tensor([number], device=self.accelerator.device)).max())

    def _more_rows(self, offset: int, num_groups: int) -> list[dict[str, Any]]:
        """Returns rows of further prompts for this process, each repeated for its group.

        The data set in an order that follows from seed and step is dealt out, each process its own piece.

        Args:
            offset: groups that were dealt to each process already.
            num_groups: to deal now.
        """
        at = f"{self.args.seed}/{self.state.global_step}/{self._step % self.args.gradient_accumulation_steps}"
        num_rows = len(self.train_dataset)
        order = random.Random(at).sample(range(num_rows), num_rows)  # noqa: S311 - reproducible, not secret
        process, num_processes = self.accelerator.process_index, self.accelerator.num_processes
        first = offset * num_processes + process * num_groups
        chosen = [order[(first + i) % num_rows] for i in range(num_groups)]
        return [self.train_dataset[index] for index in chosen for _ in range(self.num_generations)]

    def _full_batch(self, informative: Sequence[Any], dropped: Sequence[Any], num_rows: int) -> dict[str, Any]:
        """Returns a batch of the usual size: informative groups, then dropped ones without any token in the loss."""
        for part in dropped:
            part["completion_mask"] = torch.zeros_like(part["completion_mask"])
            part["advantages"] = torch.zeros_like(part["advantages"])
        joined = join([*informative, *dropped], self._tokenizer.pad_token_id)
        batch = {key: value[:num_rows] for key, value in joined.items()}
        mask_BT = batch["completion_mask"] * batch.get("tool_mask", 1)
        batch["num_items_in_batch"] = self.sum_over_processes(mask_BT.sum())
        return batch

    def _log_rounds(self, num_rounds: int, num_groups: int, num_kept: int, wanted: int) -> None:
        """Logs rounds, the share of informative groups among all, and how full the batch is, over all processes."""
        numbers = torch.tensor([num_kept, num_groups, min(num_kept, wanted), wanted], device=self.accelerator.device)
        kept, groups, used, places = self.sum_over_processes(numbers).tolist()
        self.log_value("dapo/rounds", num_rounds)
        self.log_value("dapo/informative_share", kept / groups)
        self.log_value("dapo/batch_filled", used / places)


def take_groups(out: dict[str, Any], chosen_P: torch.Tensor) -> dict[str, torch.Tensor]:
    """Returns the rollouts of the chosen groups, every tensor with a leading dimension of rollouts."""
    num_rows = len(out["advantages"])
    rows = chosen_P.repeat_interleave(num_rows // len(chosen_P))
    tensors = {key: value for key, value in out.items() if isinstance(value, torch.Tensor) and value.dim() > 0}
    return {key: value[rows.to(value.device)] for key, value in tensors.items()}


def join(parts: Sequence[dict[str, torch.Tensor]], pad_token_id: int) -> dict[str, torch.Tensor]:
    """Returns the parts one after the other, padded to the widest: prompts on the left, the rest on the right."""
    return {key: _join_padded(key, [part[key] for part in parts], pad_token_id) for key in parts[0]}


def _join_padded(key: str, tensors: Sequence[torch.Tensor], pad_token_id: int) -> torch.Tensor:
    """Returns tensors (B,) or (B, T) in one."""
    if tensors[0].dim() == 1:
        return torch.cat(list(tensors))
    widest = max(tensor.size(1) for tensor in tensors)
    fill = pad_token_id if key in TOKEN_IDS else 0
    sides = [(widest - t.size(1), 0) if key in LEFT_PADDED else (0, widest - t.size(1)) for t in tensors]
    return torch.cat([pad(t, side, value=fill) for t, side in zip(tensors, sides, strict=True)])
