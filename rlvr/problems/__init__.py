"""Problems: items with a gold answer, identified by their content.

Owns: `Problem`, `ProblemSet`, and `load_problems`, the one place that turns a recipe's string into a problem set.
Does not own: how a problem is shown to a model (`rlvr.problems.prompts`) or judged (`rlvr.verifiers`).
"""

from rlvr.problems.loaders import load_problems
from rlvr.problems.types import Problem, ProblemSet

__all__ = ["Problem", "ProblemSet", "load_problems"]
