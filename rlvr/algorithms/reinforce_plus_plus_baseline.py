"""REINFORCE++-baseline (Hu et al. 2025, arXiv 2501.03262): the mean of the group is taken off before whitening.

Owns: that one step; the rest is REINFORCE++.
"""

import torch
from trl import GRPOConfig

from rlvr.algorithms import reinforce_plus_plus
from rlvr.algorithms.advantages import group_centred
from rlvr.algorithms.base import OBJECTIVE, ScoredBatch

__all__ = ["OBJECTIVE", "Config", "Trainer"]

Config = GRPOConfig


class Trainer(reinforce_plus_plus.Trainer):
    """REINFORCE++ with the group's mean as baseline."""

    def baselined(self, batch: ScoredBatch) -> torch.Tensor:
        """Returns r - mean of its group, (B,)."""
        return batch.local(group_centred(batch.rewards_N, self.num_generations))
