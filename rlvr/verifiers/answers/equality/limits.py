r"""What an answer may cost: caps on a text before it is parsed, and on an expression before it is computed.

Owns: the caps, and the estimate of how large a number an expression stands for.
Does not own: deadlines (`rlvr.sandbox.pool`, `rlvr.verifiers.answers.math_worker`).

sympy computes `9^{9^{9}}` digit by digit. Whoever writes such an answer must pay for it, not the training: an answer
beyond a cap is not computed at all.
"""

import math
import re
from typing import Any

from rlvr.verifiers.answers.equality.structure import depth_of

MAX_CHARS = 250  # of a text for a parser
MAX_DEPTH = 7  # of brackets and braces
MAX_DIGITS = 120  # in a row
MAX_NODES = 400  # of an expression
MAX_MAGNITUDE = 5_000.0  # digits before the decimal point
MAX_TERMS = 2_000.0  # of a sum or a product

_FACTORIALS = ("factorial", "factorial2", "gamma", "RisingFactorial", "subfactorial")


def text_fault(text: str, gold: str = "") -> str | None:
    """Returns which cap a text exceeds, or None of one that may be parsed. What gold takes, an answer may take, too."""
    chars, depth = max(MAX_CHARS, 2 * len(gold)), max(MAX_DEPTH, depth_of(gold) + 2)
    if len(text) > chars:
        return f"more than {chars} characters"
    if depth_of(text) > depth:
        return f"brackets deeper than {depth}"
    if re.search(rf"\d{{{max(MAX_DIGITS, len(gold)) + 1}}}", text):
        return f"more than {max(MAX_DIGITS, len(gold))} digits in a row"
    return None


def expression_fault(expression: Any) -> str | None:
    """Returns which cap a sympy expression exceeds, or None of one that may be computed."""
    nodes = 0
    stack = [expression]
    while stack:
        stack += getattr(stack.pop(), "args", ())
        nodes += 1
        if nodes > MAX_NODES:
            return f"more than {MAX_NODES} parts"
    if not _magnitude(expression) <= MAX_MAGNITUDE:
        return f"numbers of more than {MAX_MAGNITUDE:,.0f} digits"
    return None


def _magnitude(expression: Any) -> float:
    """Returns an upper bound of log10 of the absolute value, of every part too; infinite of what is too large."""
    parts = [_magnitude(arg) for arg in getattr(expression, "args", ())]
    if math.inf in parts:
        return math.inf
    name = type(expression).__name__
    largest = max(parts, default=0.0)
    if getattr(expression, "is_Number", False):
        return _digits(expression)
    if name in ("Pow", "exp") and parts:
        base, exponent = (parts[0], parts[-1]) if name == "Pow" else (0.5, parts[0])
        return max(largest, max(base, 0.31) * _value(exponent)) if expression.args[-1].is_number else largest + 3
    if name in _FACTORIALS or name == "binomial":
        value = _value(parts[0])
        return max(largest, math.lgamma(value + 1) / math.log(10)) if value < 1e12 else math.inf
    if name == "Mul":
        return max(largest, sum(max(0.0, part) for part in parts))
    if name in ("Sum", "Product"):
        terms = max(
            (_value(_magnitude(bound)) for limits in expression.args[1:] for bound in limits.args[1:]), default=1
        )
        return math.inf if terms > MAX_TERMS else largest + terms
    return largest + 1.0 if parts else 0.5


def _digits(number: Any) -> float:
    """Returns log10 of a number's absolute value, of a fraction that of its larger part."""
    if getattr(number, "is_Rational", False):
        larger = max(abs(int(number.p)), int(number.q), 1)
        return math.log10(larger) if larger < 10**300 else larger.bit_length() * 0.30103
    if not getattr(number, "is_finite", False):
        return 0.0
    value = abs(number)
    return float(value._mpf_[2] + value._mpf_[3]) * 0.30103 if hasattr(value, "_mpf_") else 1.0


def _value(magnitude: float) -> float:
    """Returns the number that a magnitude stands for."""
    return 10.0**magnitude if magnitude < 12 else math.inf
