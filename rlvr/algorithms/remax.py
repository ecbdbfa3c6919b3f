"""ReMax (Li et al. 2024, arXiv 2310.10505): the reward of the greedy completion of the same prompt is the baseline.

Owns: the greedy rollout, its reward, and the advantage. The loss is the clipped token mean.

The greedy completions are real rollouts: they are counted in `rollouts` and `num_tokens`, once per prompt and
process, and kept out of every other metric. With beta > 0, k1 is part of the return and never of the baseline.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig

from rlvr.algorithms.advantages import return_to_go, scored_mask, token_rewards
from rlvr.algorithms.base import OBJECTIVE, RolloutTrainer, ScoredBatch, UngroupedConfig, require_whole_groups

__all__ = ["OBJECTIVE", "Config", "Trainer"]


class Config(UngroupedConfig):
    """GRPOConfig whose processes hold whole groups, so that each prompt has one greedy rollout."""

    def __post_init__(self) -> None:
        """Raises `ValueError` where a group would be spread over processes."""
        super().__post_init__()
        require_whole_groups(self)


class Trainer(RolloutTrainer):
    """ReMax."""

    kl_in_reward = True

    def advantages(self, batch: ScoredBatch) -> torch.Tensor:
        """Returns return-to-go minus the greedy reward, (B, T); 0 where either has no reward."""
        baseline_B = self._greedy_rewards(batch.inputs)
        self.log_value("remax/greedy_reward", self.accelerator.gather(baseline_B).nanmean().item())
        rewards_B = batch.rewards_B - baseline_B
        rewards_BT = token_rewards(rewards_B, self.kl_penalty(batch), batch.mask_BT)
        return return_to_go(rewards_BT) * scored_mask(rewards_B, batch.mask_BT)

    def _greedy_rewards(self, inputs: list[dict[str, Any]]) -> torch.Tensor:
        """Returns the reward of the greedy completion of each row's prompt, (B,)."""
        rows = inputs[:: self.num_generations]
        with self._greedy(), self._unlogged():
            prompts = [row["prompt"] for row in rows]
            _, completion_ids, _, completions, *_ = self._generate(prompts)
            rewards_NF = self._calculate_rewards(rows, prompts, completions, completion_ids)
        self.rollouts.num += len(rows) * self.accelerator.num_processes
        first = self.accelerator.process_index * len(rows)
        return self._total(rewards_NF)[first : first + len(rows)].repeat_interleave(self.num_generations)

    @contextmanager
    def _greedy(self) -> Iterator[None]:
        """Makes TRL generate one greedy completion a prompt, in transformers or in vLLM."""
        changes: list[tuple[Any, str, Any]] = [(self, "num_generations", 1)]
        if self.use_vllm:
            changes += [(self.vllm_generation, "temperature", 0.0)]
        else:
            kwargs = {**self.generation_kwargs, "do_sample": False}
            for name in ("temperature", "top_p", "top_k", "min_p"):
                kwargs[name] = None
            config = GenerationConfig(**kwargs, disable_compile=True)
            changes += [(self, "generation_kwargs", kwargs), (self, "generation_config", config)]
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
        try:
            for owner, name, value in changes:
                setattr(owner, name, value)
            yield
        finally:
            for owner, name, value in before:
                setattr(owner, name, value)

    @contextmanager
    def _unlogged(self) -> Iterator[None]:
        """Keeps metrics, logged columns and captured rewards as they were; the count of tokens stays."""
        names = ("_metrics", "_pending_metrics", "_pending_extra_logs", "_rewards_NF")
        before = {name: copy.deepcopy(getattr(self, name)) for name in names}
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)
            mode = "train" if self.model.training else "eval"
            self._metrics[mode]["num_tokens"] = [self.state.num_input_tokens_seen]
