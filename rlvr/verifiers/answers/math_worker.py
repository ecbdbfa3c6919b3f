r"""The worker's side of the math verifier: the one door to math-verify.

Owns: reading formulas with math-verify, comparing them by values, then by math-verify, and the time for each.
Does not own: what notation decides (`rlvr.verifiers.answers.equality.rules`), hard deadlines and what a failure means
(`rlvr.sandbox.pool`, `rlvr.verifiers.answers.math`).

Two scalar expressions are equal where their values are, at several points, to more digits than chance gives. That
settles most pairs in a millisecond, where sympy's `simplify` may take for ever on a short text. What has no value
there (sets, relations, unknown functions) is left to math-verify, with `COMPARING_S` of processor time: an exception
ends it, and the worker lives on. Its first use of each construct is slow (a parser that learns its grammar as it goes);
the import makes it for the usual ones, so that limits measure answers only, and workers inherit it from their server.
Where there are many answers, the server makes it for others as well.
"""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, repeat
from typing import Any

import sympy
from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify
from sympy.core.relational import Relational

from rlvr.verifiers.answers.equality.limits import expression_fault, text_fault
from rlvr.verifiers.answers.equality.rules import RULES, Pair, close, decide
from rlvr.verifiers.answers.notation import tidy

READING_S, COMPARING_S, SOLVING_S = 0.8, 0.25, 1.0  # processor time for one formula, two of them, two equations
PAIR_S = 2.0  # for all that an answer takes

RIGHT, WRONG, OVER, NO_GOLD = "right", "wrong", "over: ", "gold: "

_READING = [
    LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="last", equations=False
        )
    )
]
_OPTIONS: dict[str, Any] = {"timeout_seconds": None, "raise_on_error": True}
_POINTS = tuple(
    map(sympy.Rational, ("7234081/10000019", "1317059/1000003", "26180127/9999991", "-5813/9973", "-19071/9967"))
)
_OF_EXACT = (sympy.Float("1e-34", 20), sympy.Float("1e-25", 20))  # relative differences of equal, and of other values
_OF_DECIMALS = (sympy.Float("1e-13", 20), sympy.Float("1e-9", 20))
_DIGITS = 40
_NUMBERS = {"i": sympy.I, "e": sympy.E}  # letters that are no variables


class _OverLimitError(BaseException):
    """An answer exceeds a cap or the soft limit; the message says which. No `except Exception` of a library ends it."""


class _UnreadableError(Exception):
    """A text is no formula."""


def work(kind: str, gold: str, answer: str, percent_asked: bool = False) -> str:
    """Returns whether an answer is right (`compare`) or gold can be used (`read`): `RIGHT`, `WRONG`, or a reason.

    A reason begins with `OVER` for an answer beyond a limit, with `NO_GOLD` for a gold answer that cannot be used.
    """
    _budget.end = time.process_time() + PAIR_S
    try:
        if kind == "read":
            return RIGHT if _can_be_used(tidy(gold)) else f"{NO_GOLD}not readable as mathematics"
        return RIGHT if _same(tidy(gold), tidy(answer), percent_asked) else WRONG
    except _OverLimitError as error:
        return f"{OVER}{error}" if kind == "compare" else f"{NO_GOLD}{error}"


def _same(gold: str, answer: str, percent_asked: bool) -> bool:
    """Returns whether two tidy texts are one answer."""
    ruled = decide(Pair(gold, answer, percent_asked), lambda a, b: _same(a, b, percent_asked))
    return _same_formula(gold, answer) if ruled is None else ruled


def _can_be_used(gold: str) -> bool:
    """Returns whether a gold answer is words, or each of its parts can be read: it is compared with itself for that."""
    pair = Pair(gold, gold)
    same: Callable[[str, str], bool] = lambda part, _: _can_be_used(part)  # noqa: E731
    rules = [rule for rule in RULES if rule.name != "same text"]
    ruled = next((verdict for rule in rules if (verdict := rule.decides(pair, same)) is not None), None)
    if ruled is not None:
        return ruled
    try:
        formula = _formula(gold, gold)
    except _UnreadableError:
        return False
    return not formula.has(sympy.nan, sympy.zoo)


def _same_formula(gold: str, answer: str) -> bool:
    """Returns whether two formulas are equal."""
    try:
        left, right = _formula(gold, gold), _formula(answer, gold)
    except _UnreadableError:
        return False
    fault = expression_fault(left) or expression_fault(right)
    if fault:
        raise _OverLimitError(fault)
    by_value = _same_value(left, right)
    if by_value is not None:
        return by_value
    try:
        both_relate = isinstance(left, Relational) and isinstance(right, Relational)
        with _soft_limit(SOLVING_S if both_relate else COMPARING_S):
            return bool(verify([left], [right], **_OPTIONS))
    except (MemoryError, RecursionError) as error:
        raise _OverLimitError(type(error).__name__) from None
    except Exception:  # what math-verify cannot compare is not equal
        return False


def _formula(text: str, gold: str) -> Any:
    """Returns the sympy object that math-verify reads."""
    fault = text_fault(text, gold)
    if fault:
        raise _OverLimitError(fault)
    try:
        with _soft_limit(READING_S):
            found = parse(f"\\boxed{{{text}}}", _READING, parsing_timeout=None, raise_on_error=True)
    except (MemoryError, RecursionError) as error:
        raise _OverLimitError(type(error).__name__) from None
    except Exception:
        raise _UnreadableError from None
    if not found or isinstance(found[0], str):
        raise _UnreadableError
    return found[0]


def _same_value(gold: Any, answer: Any) -> bool | None:
    """Returns whether scalars, or matrices of them, have equal values, or None where values do not tell."""
    if isinstance(gold, sympy.MatrixBase) and isinstance(answer, sympy.MatrixBase):
        if gold.shape != answer.shape:
            return False
        verdicts = [_same_value(a, b) for a, b in zip(gold.flat(), answer.flat(), strict=True)]
        return False if False in verdicts else (None if None in verdicts else True)
    if not (_is_scalar(gold) and _is_scalar(answer)):
        return None
    try:
        with _soft_limit(COMPARING_S):
            return _agree(gold, answer)
    except (MemoryError, RecursionError) as error:
        raise _OverLimitError(type(error).__name__) from None
    except Exception:  # what has no value here is left to math-verify
        return None


def _is_scalar(expression: Any) -> bool:
    """Returns whether an expression has one value at each point; a symbol alone may be a word."""
    no_value = (sympy.Symbol, sympy.MatrixExpr, sympy.Integral, sympy.Derivative, sympy.Limit)
    is_unit = isinstance(expression, sympy.Symbol) and expression.name == "i"
    return is_unit or (isinstance(expression, sympy.Expr) and not isinstance(expression, no_value))


def _agree(gold: Any, answer: Any) -> bool | None:
    """Returns whether values agree at every point, or None where a few of them tell nothing."""
    letters = {s: _NUMBERS[s.name] for s in gold.free_symbols | answer.free_symbols if s.name in _NUMBERS}
    gold, answer = gold.xreplace(letters), answer.xreplace(letters)
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    tolerance = _OF_DECIMALS if gold.has(sympy.Float) or answer.has(sympy.Float) else _OF_EXACT
    if not symbols:
        return _same_constant(gold, answer, tolerance)
    verdicts = []
    for point in _POINTS:
        values = {symbol: point * (1 + sympy.Rational(3 * index, 17)) for index, symbol in enumerate(symbols)}
        verdict = _same_number(_number(gold, values), _number(answer, values), tolerance)
        if verdict is False and point > 0:
            return False
        verdicts.append(verdict)
    return True if verdicts.count(True) >= 3 and False not in verdicts else None


def _same_constant(gold: Any, answer: Any, tolerance: Any) -> bool | None:
    """Returns whether constants are equal: to the last digit of an integer part, or rounded where one has decimals."""
    left, right = _number(gold, {}), _number(answer, {})
    verdict = _same_number(left, right, tolerance)
    if tolerance is _OF_DECIMALS:
        if verdict is False and left.is_real and right.is_real:
            return close(*(Fraction(str(number)) for number in (left, right)))
        return verdict
    if verdict and abs(left) > 10**20:
        digits = _DIGITS + int(sympy.log(abs(left), 10))
        return bool(abs(gold.evalf(digits) - answer.evalf(digits)) < _OF_EXACT[0])
    return verdict


def _number(expression: Any, values: dict[Any, Any]) -> Any:
    """Returns the value of an expression, or None where it has none."""
    value = expression.evalf(_DIGITS, subs=values, maxn=200) if values else expression.evalf(_DIGITS, maxn=200)
    return value if value.is_number and value.is_finite and not value.has(sympy.nan, sympy.zoo, sympy.oo) else None


def _same_number(left: Any, right: Any, tolerance: Any) -> bool | None:
    """Returns whether two values are equal, or None where digits do not tell."""
    if left is None or right is None:
        return None
    agrees, differs = tolerance
    difference, scale = abs(left - right).evalf(_DIGITS), max(abs(left).evalf(_DIGITS), abs(right).evalf(_DIGITS))
    if difference <= agrees * scale:
        return True
    return False if difference > differs * scale else None


@dataclass
class _Budget:
    """When the processor time of the present pair ends."""

    end: float = 0.0


_budget = _Budget()


@contextmanager
def _soft_limit(seconds: float) -> Iterator[None]:
    """Raises `_OverLimitError` in a block that takes more processor time, or more than is left for the pair."""

    def stop(*_: Any) -> None:
        raise _OverLimitError(f"more than {min(seconds, left):.2g} s of processor time")

    left = max(0.01, _budget.end - time.process_time())
    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, min(seconds, left), 0.05)  # again, where a library went on
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


USUAL = (
    ("342", "1.12"),
    ("342", "12 x 2 = 24"),
    ("120", r"\frac{1}{10}\sqrt{2}"),
    ("120", "2%"),
    ("y = 2x", "x = +7y"),
    ("120", "8+1*4*15"),
    (r"\frac{1}{2}+\pi", r"0.5+\pi"),
    (r"2\sqrt{3}", r"\sqrt{12}"),
    ("(x+1)^2", "x^2+2x+1"),
    (r"\left(3, \frac{\pi}{2}\right)", r"(3, \pi/2)"),
    (r"(-\infty,-1]\cup(1,\infty)", r"(-\infty,-1]\cup[1,\infty)"),
    ("2x+3y < 5", "2x+3y > 5"),
    ("x^2+y^2 = 1", "(x-1)^2+y^2 = 3"),
    (r"x^{1/2} - \binom{5}{2}", r"(4+i)n/2 + \left(\frac{1}{2}\right)(n-1)"),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}"),
    (r"\sin x + \cos{2x}", r"\cot x + \log_2 x + \ln x"),
    ("f(x) = 2x + x_1", "|x| + 3! + e^{2x} + i"),
    ("x^7 - 2x^5 + 3x^4 - x^3 + x^2 + 5x - 1", r"\sin(\cos(2x)) + \tan^2 x + \arctan \frac{x}{3} + 2(x-1)(x+2)"),
)
UNUSUAL = (
    (r"\int_0^{1} x e^{x^2} dx", r"\int_0^2 \sin(x^x) dx"),
    (r"\sum_{k=1}^{n} k^2 + \prod_{i=1}^{5} i", r"\lim_{x \to 0} \frac{\sin x}{x}"),
    (r"\sin(\cos(\tan(2x)))", r"\ln(\ln(x)) + \log_{10}(100x)"),
    (r"\cos(\ln(\sin(\cos(\ln(3x)))))", r"\tan(\sin(\ln(\tan(\cos(\sin(2x))))))"),
    (r"\sqrt{1+\sqrt{2+\sqrt{3}}}", r"\frac{1}{1+\frac{1}{1+x}}"),
    (r"((x!)!) + 2^{3^{2}}", r"\sin^{3}(x)\cos^{2}(x) + (x+1)^{10}"),
    (r"\lfloor x \rfloor + \lceil y \rceil", r"\frac{d}{dx} x^2 + \left|x-1\right|"),
    (r"\frac{(x+1)(x-2)}{(x+3)(x^2+1)}", r"1 + 2 + 3 + 4 + 5 - 6 \cdot 7 \cdot 8"),
)
FEW = 20  # answers, for which it does not pay to learn the unusual
_lessons = chain(repeat(None, FEW), UNUSUAL)


def rehearse() -> None:
    """Learns one more construct after each task, once there have been a few."""
    if lesson := next(_lessons, None):
        work("compare", *lesson)


logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own timeouts are off
for usual in USUAL:
    work("compare", *usual)
