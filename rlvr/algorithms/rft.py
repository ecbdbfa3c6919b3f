"""rft: rejection fine-tuning (Yuan et al. 2023, arXiv 2308.01825), on the base's own verified completions.

Owns: nothing but names; the base is its own teacher.
"""

from rlvr.algorithms.sft import OBJECTIVE, Config, Trainer

__all__ = ["OBJECTIVE", "Config", "Trainer"]
