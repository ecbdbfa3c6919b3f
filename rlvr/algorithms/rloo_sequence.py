"""RLOO as TRL has it: the ratio of whole sequences, KL in the reward (Ahmadian et al. 2024, arXiv 2402.14740).

Owns: the count of rollouts in the log; all else is TRL's RLOOTrainer. `rloo` is the twin with GRPO's token ratio.
"""

from typing import Any

from trl import RLOOConfig, RLOOTrainer

from rlvr.algorithms.base import OBJECTIVE as BASE_OBJECTIVE
from rlvr.algorithms.base import CountsRollouts

__all__ = ["OBJECTIVE", "Config", "Trainer"]

Config = RLOOConfig
GRPO_ONLY = {
    "loss_type",
    "scale_rewards",
    "importance_sampling_level",
    "use_bias_correction_kl",
    "entropy_coef",
    "top_entropy_quantile",
}
OBJECTIVE = (*(key for key in BASE_OBJECTIVE if key not in GRPO_ONLY), "normalize_advantages", "reward_clip_range")


class Trainer(CountsRollouts, RLOOTrainer):  # type: ignore[misc]
    """TRL's RLOOTrainer that also logs `rollouts`, and keeps them where that is asked for."""

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        """Keeps the rollouts."""
        out = super()._generate_and_score_completions(inputs)
        self.keep_rollouts(len(inputs))
        return out
