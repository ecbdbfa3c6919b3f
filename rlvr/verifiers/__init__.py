"""Verifiers: functions from (problem, completion) to a verdict.

Owns: the protocol, every verifier, and the one place that turns a name of a recipe into one.
Does not own: problems (`rlvr.problems`), processes that are limited and killed (`rlvr.sandbox`), rewards
(`rlvr.training.rewards`), storage of verdicts (`probes.store`).

    verdicts              outcomes, verdicts, the rule for truncated completions
    base                  what the verifiers share
    answers/              verifiers of a final answer: exact, choice, numeric, math; where a completion's answer begins
    countdown             an expression that reaches a target
    code/                 a program that passes its tests, in a sandbox
    reasoning_gym/        scores of reasoning-gym's own families
    ifeval/               instructions that can be checked are followed
    custom                a user's own function
    custom_worker         the process that it runs in
    fault                 another verifier, made wrong at known rates
    remote/               what a server says: a language model that judges, a service of one's own
    mixture               several verifiers, each for the problems that name it
    rows                  the command `rlvr verify`

`make_verifier` takes a built-in name with its options, for example `numeric?tolerance=1e-3`, or
`package.module:function` for a user's own function. Each takes `think` besides, which says where the reasoning of a
completion stands.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Protocol

from rlvr.errors import RecipeError
from rlvr.problems import Problem, ProblemSet
from rlvr.problems.spec import Spec, joined, parse_spec
from rlvr.verifiers.verdicts import Outcome, Verdict

__all__ = ["BUILT_IN", "Outcome", "Verdict", "Verifier", "make_verifier", "verifier_for"]


class Verifier(Protocol):
    """Judges completions, in batches so that slow verifiers can use several processes.

    Attributes:
        verifier_id: name, version and every option that changes verdicts, for example
            `numeric@2?tolerance=1e-06&kind=relative`; verdicts are stored under it.

    `verify` of every built-in verifier leaves the reasoning of a completion out; the attribute `think` says where that
    stands (`rlvr.verifiers.base.after_reasoning`).

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


def _choice(spec: Spec) -> Verifier:
    from rlvr.verifiers.answers.choice import ChoiceVerifier

    return ChoiceVerifier.of(spec)


def _code(spec: Spec) -> Verifier:
    from rlvr.verifiers.code.verifier import CodeVerifier

    return CodeVerifier.of(spec)


def _countdown(spec: Spec) -> Verifier:
    from rlvr.verifiers.countdown import CountdownVerifier

    spec.only()
    return CountdownVerifier()


def _exact(spec: Spec) -> Verifier:
    from rlvr.verifiers.answers.exact import ExactVerifier

    return ExactVerifier.of(spec)


def _fault(spec: Spec) -> Verifier:
    from rlvr.verifiers.fault import FaultVerifier

    return FaultVerifier.of(spec)


def _http(spec: Spec) -> Verifier:
    from rlvr.verifiers.remote.http import HttpVerifier

    return HttpVerifier.of(spec)


def _ifeval(spec: Spec) -> Verifier:
    from rlvr.verifiers.ifeval.verifier import IfevalVerifier

    return IfevalVerifier.of(spec)


def _judge(spec: Spec) -> Verifier:
    from rlvr.verifiers.remote.judge import JudgeVerifier

    return JudgeVerifier.of(spec)


def _math(spec: Spec) -> Verifier:
    from rlvr.verifiers.answers.math import MathVerifier

    return MathVerifier.of(spec)


def _mixture(spec: Spec) -> Verifier:
    from rlvr.verifiers.mixture import MixtureVerifier

    return MixtureVerifier.of(spec)


def _numeric(spec: Spec) -> Verifier:
    from rlvr.verifiers.answers.numeric import NumericVerifier

    return NumericVerifier.of(spec)


def _reasoning_gym(spec: Spec) -> Verifier:
    from rlvr.verifiers.reasoning_gym.verifier import ReasoningGymVerifier

    return ReasoningGymVerifier.of(spec)


BUILT_IN: dict[str, Callable[[Spec], Verifier]] = {
    "choice": _choice,
    "code": _code,
    "countdown": _countdown,
    "exact": _exact,
    "fault": _fault,
    "http": _http,
    "ifeval": _ifeval,
    "judge": _judge,
    "math": _math,
    "mixture": _mixture,
    "numeric": _numeric,
    "reasoning_gym": _reasoning_gym,
}
REMOTE = {"http", "judge"}  # they send answers to a server
WRAPPERS = ("fault", "mixture")  # their options `of` and `with` name other verifiers


def needs_trust(text: str) -> bool:
    """Returns whether a name asks for code that does not come with rlvr, programs outside the sandbox, or a server.

    Such a name is followed where a person wrote it, not where it stands in a folder that somebody else made.
    """
    spec = parse_spec(text, field="verifier")
    inner = [spec.options.get("of", ""), *joined(spec.options.get("with", ""))] if spec.name in WRAPPERS else []
    if any(needs_trust(name) for name in inner if name):
        return True
    is_own = ":" in spec.name or spec.name in REMOTE
    return is_own or spec.options.get("isolation", "namespace") != "namespace"


def make_verifier(text: str, think: str = "on") -> Verifier:
    """Returns the verifier that `name[?key=value&...]` names.

    Args:
        text: a key of `BUILT_IN` with its options, or `package.module:function`, where function(problem, completion)
            returns a bool, a number from 0 to 1, or a `Verdict`.
        think: where reasoning stands, unless the text's own option `think` says it: `on`, `open` or `off`, as in
            `PromptFormat.think`.

    Raises:
        RecipeError: the name or an option is unknown, the function cannot be imported, or the machine lacks what the
            verifier needs.
    """
    from rlvr.verifiers.answers.extraction import Think

    spec = parse_spec(text, field="verifier")
    stands = Think(spec.choice("think", list(Think)) if "think" in spec.options else think)
    if spec.name == "mixture":  # its parts have their own
        return _mixture(replace(spec, options={**spec.options, "think": stands}))
    verifier: Any = _named(spec.without("think"))
    if stands is not Think.ON:
        verifier.think = stands
        verifier.verifier_id += f"{'&' if '?' in verifier.verifier_id else '?'}think={stands}"
    made: Verifier = verifier
    return made


def thinks_of(verifier_id: str) -> set[str]:
    """Returns where reasoning stood for the verdicts under an id: one of `think`'s values, or several of a mixture."""
    return set(re.findall(r"[?&]think=(\w+)", verifier_id)) or {"on"}


def verifier_for(problems: ProblemSet, text: str, think: str = "on", like: Verifier | None = None) -> Verifier:
    """Returns the verifier of these problems: that of `text`, or a mixture where some name their own (`meta.verifier`).

    Args:
        problems: to be judged.
        text: names the verifier of those that name none, see `make_verifier`.
        think: see `make_verifier`.
        like: a verifier that was made of the same text for other problems; the new one shares its workers.

    Raises:
        RecipeError: a name or an option is unknown, or the machine lacks what a verifier needs.
        ProblemError: a row names a verifier that runs code, and nobody who named the problems has named it.
    """
    from rlvr.verifiers.mixture import MixtureVerifier

    default = make_verifier(text, think) if like is None else like
    is_mixed = isinstance(default, MixtureVerifier) or any(problem.verifier is not None for problem in problems)
    return MixtureVerifier.around(text, default, think).over(problems) if is_mixed else default


def _named(spec: Spec) -> Verifier:
    """Returns the verifier of a spec without `think`."""
    name = spec.name
    if name in BUILT_IN:
        return BUILT_IN[name](spec)
    if ":" in name:
        from rlvr.verifiers.custom import CustomVerifier

        return CustomVerifier.of(spec)
    near = get_close_matches(name, BUILT_IN, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(BUILT_IN)} or package.module:function."
    raise RecipeError(f"verifier: {name!r} is not known; {hint}")
