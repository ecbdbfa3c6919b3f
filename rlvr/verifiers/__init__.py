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
    custom                a user's own function
    custom_worker         the process that it runs in
    fault                 another verifier, made wrong at known rates
    remote/               what a server says: a language model that judges, a service of one's own
    rows                  the command `rlvr verify`

`make_verifier` takes a built-in name with its options, for example `numeric?tolerance=1e-3`, or
`package.module:function` for a user's own function. Each takes `think` besides, which says where the reasoning of a
completion stands.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Protocol

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.problems.spec import Spec, parse_spec
from rlvr.verifiers.verdicts import Outcome, Verdict

__all__ = ["BUILT_IN", "Outcome", "Verdict", "Verifier", "make_verifier"]


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


def _judge(spec: Spec) -> Verifier:
    from rlvr.verifiers.remote.judge import JudgeVerifier

    return JudgeVerifier.of(spec)


def _math(spec: Spec) -> Verifier:
    from rlvr.verifiers.answers.math import MathVerifier

    return MathVerifier.of(spec)


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
    "judge": _judge,
    "math": _math,
    "numeric": _numeric,
    "reasoning_gym": _reasoning_gym,
}
REMOTE = {"http", "judge"}  # they send answers to a server


def needs_trust(text: str) -> bool:
    """Returns whether a name asks for code that does not come with rlvr, programs outside the sandbox, or a server.

    Such a name is followed where a person wrote it, not where it stands in a folder that somebody else made.
    """
    spec = parse_spec(text, field="verifier")
    if spec.name == "fault":
        return needs_trust(spec.options.get("of", "")) or spec.options.get("isolation", "namespace") != "namespace"
    is_own = spec.name not in BUILT_IN or spec.name in REMOTE
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
    verifier: Any = _named(replace(spec, options={key: value for key, value in spec.options.items() if key != "think"}))
    if stands is not Think.ON:
        verifier.think = stands
        verifier.verifier_id += f"{'&' if '?' in verifier.verifier_id else '?'}think={stands}"
    made: Verifier = verifier
    return made


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
