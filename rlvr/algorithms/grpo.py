"""GRPO (Shao et al. 2024, arXiv 2402.03300), as TRL has it; Dr. GRPO (Liu et al. 2025, arXiv 2503.20783) by its values.

Owns: nothing but names. TRL computes advantages (section 4.1.2), clipped loss and KL; a rollout whose reward is None
(the verifier failed) gets no advantage and stays out of its group's mean, which a contract test holds.

Dr. GRPO is `loss_type: dr_grpo` and `scale_rewards: none`: no division by length, none by the standard deviation.
"""

from trl import GRPOConfig

from rlvr.algorithms.base import OBJECTIVE, RolloutTrainer

__all__ = ["OBJECTIVE", "Config", "Trainer"]

Config = GRPOConfig
Trainer = RolloutTrainer
