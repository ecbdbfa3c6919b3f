"""Checkers: a problem's own `check(given, output, expected)`, for outputs of which several are right.

Owns: asking a checker about the outputs of scripts. Does not own: running the scripts (`rlvr.verifiers.code.verifier`).

A checker runs in a sandbox of its own, where no program runs. What a program printed reaches it as text, through calls
that this process answers, and what it says comes back the same way. Where it raises, it refuses the output.
"""

import ast
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rlvr.sandbox import DeadlineError, EndedError, Sandbox, TooMuchError
from rlvr.sandbox.child import Child

NAME = "check"
_TEST = f"""
for __number__ in range({{count}}):
    __run__ = __ask__(__number__)
    try:
        __score__ = {NAME}(*__run__)
    except BaseException:
        __score__ = False
    __tell__(__number__, __score__)
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
    task = {
        "role": "tests",
        "limits": sandbox.limits_of_process(),
        "setup": source,
        "names": ["__ask__", "__tell__"],
        "tests": [_TEST.format(count=len(runs))],
        "replaces": False,
    }
    scores: list[float] = []
    with sandbox.start() as child:
        child.begin(task)
        deadline = time.monotonic() + sandbox.limits.deadline_s
        while len(scores) < len(runs):
            try:
                message = child.receive(deadline)
            except (DeadlineError, EndedError, TooMuchError) as error:
                raise CheckerTimeoutError(f"the checker {error}") from None
            if message[:1] != b"c":
                raise CheckerError(f"the checker does not run: {json.loads(message[1:])[1]}")
            _answer(child, json.loads(message[1:]), runs, scores)
    return scores


def _answer(child: Child, call: dict[str, Any], runs: Sequence[tuple[str, str, str]], scores: list[float]) -> None:
    """Answers one call: with what is to be judged, or by keeping what was said of it."""
    arguments = call["args"]["tuple"]
    if call["name"] == "__ask__":
        child.send(json.dumps({"value": {"tuple": list(runs[len(scores)])}}).encode())
        return
    scores.append(_score(arguments[1]))
    child.send(json.dumps({"value": None}).encode())


def _score(value: Any) -> float:
    """Returns a checker's result as a number."""
    is_number = isinstance(value, (int, float)) and math.isfinite(value)
    if not is_number or not 0 <= value <= 1:
        raise CheckerError(f"the checker returned {str(value)[:60]}, expected a bool or a number from 0 to 1")
    return float(value)
