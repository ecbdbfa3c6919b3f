"""Verifiers: functions from (problem, completion) to a verdict.

Owns: the protocol, and the one place that turns a name of a recipe into a verifier.
Does not own: rewards (`rlvr.rewards`), truncation (`rlvr.verdicts`), storage of verdicts (`probes.store`).

`make_verifier` takes a built-in name (`countdown`, `math`, `code`) or `package.module:function` for a user's own
function.
"""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Protocol

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.spec import parse_spec
from rlvr.verdicts import Verdict


class Verifier(Protocol):
    """Judges completions, in batches so that slow verifiers can use several processes.

    Attributes:
        verifier_id: name and version, for example `math@math-verify-0.9.0`; verdicts are stored under it.
    """

    verifier_id: str

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems whose gold answer this verifier cannot use."""

    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion text), in order. Never raises for a bad completion."""

    def close(self) -> None:
        """Frees worker processes; the verifier can be used again afterwards."""


def _countdown(spec: str) -> Verifier:
    from rlvr.verifiers.countdown import CountdownVerifier

    parse_spec(spec, ())
    return CountdownVerifier()


def _math(spec: str) -> Verifier:
    from rlvr.verifiers.math import MathVerifier

    parse_spec(spec, ())
    return MathVerifier()


def _code(spec: str) -> Verifier:
    from rlvr.verifiers.code import CodeVerifier

    return CodeVerifier.of_spec(spec)


BUILT_IN: dict[str, Callable[[str], Verifier]] = {"countdown": _countdown, "math": _math, "code": _code}


def make_verifier(name: str) -> Verifier:
    """Returns the verifier called `name`.

    Args:
        name: a key of `BUILT_IN`, with options `?key=value&...` where it takes some, or `package.module:function`,
            where function(problem, completion) returns a bool or a `Verdict`.

    Raises:
        RecipeError: the name or an option is unknown, the function cannot be imported, or the machine lacks what the
            verifier needs.
    """
    base = name.partition("?")[0]
    if base in BUILT_IN:
        return BUILT_IN[base](name)
    if ":" in name:
        from rlvr.verifiers.custom import CustomVerifier

        return CustomVerifier(name)
    near = get_close_matches(base, BUILT_IN, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(BUILT_IN)} or package.module:function."
    raise RecipeError(f"verifier: {name!r} is not known; {hint}")
