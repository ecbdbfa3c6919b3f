"""Checkers: a problem's own `check(given, output, expected)`, for outputs of which several are right.

Owns: asking a checker about the outputs of scripts. Does not own: running the scripts (`rlvr.verifiers.code.verifier`).

A checker runs in a sandbox of its own, where no program runs. What programs printed reaches it as JSON, and what it
says comes back as JSON. Where it raises, it refuses the output.
"""

import ast
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rlvr.sandbox import DeadlineError, Sandbox, TooMuchError
from rlvr.sandbox.inside import EXIT_MEMORY

NAME = "check"

# Runs after the checker, in its module; what a checker prints goes nowhere.
_RUNNER = f"""
def __judge__():
    import json, os, sys
    runs = json.loads(sys.stdin.buffer.read())
    told, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    scores = []
    for run in runs:
        try:
            score = {NAME}(*run)
        except BaseException:
            score = False
        if type(score).__name__ in ("bool", "bool_"):
            score = bool(score)
        scores.append(score if isinstance(score, (int, float)) else type(score).__name__)
    with open(told, "w") as file:
        json.dump(scores, file)
__judge__()
"""


class CheckerError(Exception):
    """A checker that failed by itself."""


class CheckerTimeoutError(Exception):
    """A checker that did not come to an end in time: what it was given may be the cause."""


def checker_of(meta: Mapping[str, Any]) -> str:
    """Returns a problem's checker, or an empty text.

    Raises:
        ValueError: it is not Python that defines `check(given, output, expected)`.
    """
    source = meta.get("checker") or ""
    if not source:
        return ""
    if not isinstance(source, str):
        raise ValueError("checker is not text")
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ValueError(f"checker is not Python ({error.msg})") from None
    for each in body:
        if isinstance(each, ast.FunctionDef) and each.name == NAME and _takes_three(each.args):
            return source
    raise ValueError("checker does not define check(given, output, expected)")


def _takes_three(args: ast.arguments) -> bool:
    return len(args.posonlyargs + args.args) == 3 or args.vararg is not None


def ask_checker(sandbox: Sandbox, source: str, runs: Sequence[tuple[str, str, str]]) -> list[float]:
    """Returns a checker's scores from 0 to 1.

    Args:
        sandbox: where it runs.
        source: the checker.
        runs: of a script: standard input, standard output, and the expected output.

    Raises:
        CheckerError: the checker does not run, or returns something else than a bool or a number from 0 to 1.
        CheckerTimeoutError: it exceeded the deadline or another limit.
        StartError: the sandbox did not start.
    """
    task = {"role": "script", "limits": sandbox.limits_of_process(), "sources": [source, _RUNNER]}
    with sandbox.start() as child:
        child.begin(task, stdin=json.dumps(runs).encode())
        try:
            output, code = child.finish(time.monotonic() + sandbox.limits.deadline_s)
        except (DeadlineError, TooMuchError) as error:
            raise CheckerTimeoutError(f"the checker {error}") from None
        if code < 0 or code == EXIT_MEMORY:
            raise CheckerTimeoutError("the checker was killed at a limit")
        try:
            scores = json.loads(output)
            return [_score(each) for _, each in zip(runs, scores, strict=True)]
        except (ValueError, TypeError):
            raise CheckerError(f"the checker ended with exit code {code} {child.complaint}") from None


def _score(value: Any) -> float:
    """Returns a checker's result as a number."""
    is_number = isinstance(value, (int, float)) and math.isfinite(value)
    if not is_number or not 0 <= value <= 1:
        raise CheckerError(f"the checker returned {str(value)[:60]}, expected a bool or a number from 0 to 1")
    return float(value)
