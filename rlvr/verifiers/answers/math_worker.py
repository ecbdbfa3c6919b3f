"""The worker's side of the math verifier: the one door to math-verify.

Owns: reading answers with math-verify and comparing them.
Does not own: deadlines, limits and what a failure means (`rlvr.sandbox.pool`, `rlvr.verifiers.answers.math`).

math-verify runs sympy, which can take for ever on a short answer such as `9^{9^{9^{9}}}`. So only workers that can be
killed import this module. Its first use of each construct is slow (a parser that learns its grammar as it goes); the
import makes it for the usual ones, so that deadlines measure answers only, and workers inherit it from their server.
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


USUAL = (
    ("342", "1.12"),
    ("342", "12 x 2 = 24"),
    ("120", "1/10"),
    ("120", "2%"),
    ("120", "x = +7"),
    ("120", "8+1*4*15"),
    ("120", "a few words"),
    (r"\frac{1}{2}", "0.5"),
    (r"2\sqrt{3}", r"\sqrt{12}"),
    ("(x+1)^2", "x^2+2x+1"),
    (r"\left(3, \frac{\pi}{2}\right)", r"(3, \pi/2)"),
    (r"\{1,2,3\}", "3,2,1"),
    (r"(-\infty,-1]\cup(1,\infty)", r"x \le -1"),
    ("y=2x+3", "2x+3"),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}"),
    (r"\text{east}", r"5\text{ cm}"),
)
logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own timeouts are off
for usual in USUAL:
    work("compare", *usual)
