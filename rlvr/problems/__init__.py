"""Problems: items with a gold answer, identified by their content, and how they are shown to a model.

    types          `Problem`, `ProblemSet`, content hashes
    loaders        from a recipe's string to a problem set: JSONL, Hub data sets, generators
    published      rows of code problems as data sets publish them
    spec           `name?key=value&...`, the form of such strings
    prompts        rendering for base and chat models, the stop rule
    countdown, humaneval, reasoning_gym    problem sets that are generated or come from a package
    ifeval         rows as IFEval publishes them

Owns: `load_problems`, the one place that turns a recipe's string into a problem set.
Does not own: how an answer is judged (`rlvr.verifiers`).
"""

from rlvr.problems.loaders import load_problems
from rlvr.problems.types import Problem, ProblemSet

__all__ = ["Problem", "ProblemSet", "load_problems"]
