"""Verifiers: functions from (problem, completion) to a verdict.

Owns: the protocol, and the one place that turns a name of a recipe into a verifier.
Does not own: rewards (`rlvr.rewards`), truncation (`rlvr.verdicts`), storage of verdicts (`probes.store`).

`make_verifier` takes a built-in name (`countdown`, `math`) or `package.module:function` for a user's own function.
"""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Protocol

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.verdicts import Verdict


class Verifier(Protocol):
    """Judges completions, in batches so that slow verifiers can use several processes.

    Attributes:
        verifier_id: name and version, for example `math@math-verify-0.9.0`; verdicts are stored under it.

    A verifier may say `uses_workers = True`: it judges in processes of its own, and can be called from any thread, one
    at a time. Then a probe generates on while it judges.
    """

    verifier_id: str

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems whose gold answer this verifier cannot use."""

    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion text), in order. Never raises for a bad completion."""

    def close(self) -> None:
        """Frees worker processes; the verifier can be used again afterwards."""


def _countdown() -> Verifier:
    from rlvr.verifiers.countdown import CountdownVerifier

    return CountdownVerifier()


def _math() -> Verifier:
    from rlvr.verifiers.math import MathVerifier

    return MathVerifier()


BUILT_IN: dict[str, Callable[[], Verifier]] = {"countdown": _countdown, "math": _math}


def make_verifier(name: str) -> Verifier:
    """Returns the verifier called `name`.

    Args:
        name: a key of `BUILT_IN`, or `package.module:function`, where function(problem, completion) returns a bool or
            a `Verdict`.

    Raises:
        RecipeError: the name is unknown or the function cannot be imported.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    if ":" in name:
        from rlvr.verifiers.custom import CustomVerifier

        return CustomVerifier(name)
    near = get_close_matches(name, BUILT_IN, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(BUILT_IN)} or package.module:function."
    raise RecipeError(f"verifier: {name!r} is not known; {hint}")
