"""RLOO (Ahmadian et al. 2024, arXiv 2402.14740, section 2.3): the mean reward of the other rollouts is the baseline.

Owns: the advantage. The loss is GRPO's clipped token ratio, so that RLOO and GRPO differ in the advantage alone;
TRL's own RLOOTrainer, with a ratio of whole sequences, is `rloo_sequence`.

With beta > 0 the sum of k1 over a completion is taken off its reward before the baseline, as in the paper's eq. 3.
"""

import torch
from trl import GRPOConfig

from rlvr.algorithms.advantages import leave_one_out
from rlvr.algorithms.base import OBJECTIVE, RolloutTrainer, ScoredBatch

__all__ = ["OBJECTIVE", "Config", "Trainer"]

Config = GRPOConfig


class Trainer(RolloutTrainer):
    """RLOO; `scale_rewards` has no say in it."""

    kl_in_reward = True

    def advantages(self, batch: ScoredBatch) -> torch.Tensor:
        """Returns r - mean of the others, (B,)."""
        rewards_N = batch.rewards_N
        if self.beta != 0.0:
            rewards_N = rewards_N - self.accelerator.gather(self.kl_penalty(batch).sum(1))
        return batch.local(leave_one_out(rewards_N, self.num_generations))
