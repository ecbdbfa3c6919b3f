"""The worker's side of the math verifier: the one door to math-verify.

Owns: reading answers with math-verify and comparing them.
Does not own: deadlines, limits and what a failure means (`rlvr.verifiers.pool`, `rlvr.verifiers.math`).

math-verify runs sympy, which can take for ever on a short answer such as `9^{9^{9^{9}}}`. So only workers that can be
killed import this module. Its first use is slow; the import makes it, so that deadlines measure answers only.
"""

import logging
from typing import Any

from math_verify import parse, verify

_OPTIONS: dict[str, Any] = {"allow_set_relation_comp": True, "timeout_seconds": None, "raise_on_error": True}


def work(kind: str, gold: str, answer: str) -> bool:
    """Returns whether the answer equals gold (`compare`) or gold is readable as mathematics (`read`)."""
    expressions = _expressions(gold)
    if kind == "read":
        return any(not isinstance(expression, str) for expression in expressions)
    return bool(verify(expressions, _expressions(answer), **_OPTIONS))


def _expressions(answer: str) -> list[Any]:
    """Returns math-verify's readings of an answer."""
    return list(parse(f"\\boxed{{{answer}}}", parsing_timeout=None, raise_on_error=True))


logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own timeouts are off
work("compare", r"\frac{1}{2}", "0.5")
