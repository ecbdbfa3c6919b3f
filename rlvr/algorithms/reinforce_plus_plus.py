"""REINFORCE++ (Hu et al. 2025, arXiv 2501.03262): returns whitened over the global batch, no group baseline.

Owns: the advantage: return-to-go of the token rewards (-beta k1, and the verifier's reward on the last token),
whitened over all tokens of all processes. The loss is the clipped token mean over the global batch (`loss_type:
dapo`).

One rollout a prompt is allowed, as in the paper. Whitening over tokens lets long completions weigh more.
"""

import torch

from rlvr.algorithms.advantages import return_to_go, scored_mask, token_rewards, whiten
from rlvr.algorithms.base import OBJECTIVE, RolloutTrainer, ScoredBatch, UngroupedConfig

__all__ = ["OBJECTIVE", "Config", "Trainer"]

Config = UngroupedConfig


class Trainer(RolloutTrainer):
    """REINFORCE++."""

    kl_in_reward = True

    def advantages(self, batch: ScoredBatch) -> torch.Tensor:
        """Returns the whitened returns, (B, T); 0 for rollouts without a reward."""
        rewards_B = self.baselined(batch)
        rewards_BT = token_rewards(rewards_B, self.kl_penalty(batch), batch.mask_BT)
        return whiten(return_to_go(rewards_BT), scored_mask(rewards_B, batch.mask_BT), self.sum_over_processes)

    def baselined(self, batch: ScoredBatch) -> torch.Tensor:
        """Returns this process's rewards (B,), less a baseline; here there is none."""
        return batch.rewards_B
