"""distill: supervised fine-tuning on a teacher's verified completions; the contrast that can add what the base lacks.

Owns: nothing but names. The teacher is a model through any engine of `probes`, a JSONL file, or the testbed's solver.
"""

from rlvr.algorithms.sft import OBJECTIVE as SFT_OBJECTIVE
from rlvr.algorithms.sft import Config, Trainer

__all__ = ["OBJECTIVE", "Config", "Trainer"]

OBJECTIVE = (*SFT_OBJECTIVE, "teacher")
