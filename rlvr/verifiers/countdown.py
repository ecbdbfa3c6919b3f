"""The Countdown verifier: does an expression use each number once and reach the target?

Owns: the reading of expressions, their exact value and their normal form.
Does not own: the problems (`rlvr.problems.countdown`).

A completion is a whole expression over + - * / and parentheses with non-negative integers; anything else is `unparsed`.
It is parsed, never evaluated by Python, and computed in exact fractions.
"""

import ast
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from rlvr.problems import Problem
from rlvr.verifiers.base import after_reasoning, refuse_unusable
from rlvr.verifiers.verdicts import Outcome, Verdict

MAX_CHARS = 200

_ALLOWED = re.compile(r"[0-9+\-*/() ]+")
_RANKS: dict[type[ast.operator], tuple[str, int]] = {
    ast.Add: ("+", 1),
    ast.Sub: ("-", 1),
    ast.Mult: ("*", 2),
    ast.Div: ("/", 2),
}
_ATOM = 3


class _NotAnExpressionError(Exception):
    """The text is not an expression of this grammar; the message says why."""


class _Term(NamedTuple):
    """A parsed expression.

    Attributes:
        text: normal form, without spaces and superfluous parentheses.
        rank: how tightly its outermost operator binds.
        over, under: the value as a fraction that need not be reduced; under = 0 means a division by zero inside.
        numbers: the integers, in the order of the text.
    """

    text: str
    rank: int
    over: int
    under: int
    numbers: tuple[int, ...]


class CountdownVerifier:
    """Judges expressions exactly.

    `problem.meta` holds `numbers` (a list of non-negative integers) and `target` (an integer). A verdict's answer is
    the expression's normal form, so that distinct answers can be counted.

    Example:
        >>> problem = Problem("3 5 7=22:", "22", {"numbers": [3, 5, 7], "target": 22})
        >>> CountdownVerifier().verify([(problem, " (3*5) + 7")])
        [Verdict(outcome=<Outcome.CORRECT: 'correct'>, answer='3*5+7', reason='')]
    """

    verifier_id = "countdown@2"

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems without usable numbers and target."""
        faults = [(each, f"meta {dict(each.meta)!r:.100}") for each in problems if not _has_numbers(each)]
        refuse_unusable("countdown", faults, len(problems), 'meta {"numbers": [integers], "target": integer}.')

    @after_reasoning
    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order."""
        known: dict[tuple[str, str], Verdict] = {}
        verdicts = []
        for problem, completion in items:
            key = (problem.problem_id, completion)
            if key not in known:
                known[key] = _judge(problem, completion.strip())
            verdicts.append(known[key])
        return verdicts

    def close(self) -> None:
        """Does nothing: there are no workers."""


def _has_numbers(problem: Problem) -> bool:
    """Returns whether the meta of a problem can be judged."""
    numbers, target = problem.meta.get("numbers"), problem.meta.get("target")
    if not isinstance(numbers, (list, tuple)) or not numbers:
        return False
    return type(target) is int and all(type(number) is int and number >= 0 for number in numbers)


def _judge(problem: Problem, text: str) -> Verdict:
    """Returns the verdict of one stripped completion."""
    term = _parse(text)
    if isinstance(term, str):
        return Verdict(Outcome.UNPARSED, reason=term)
    if term.under == 0:
        return Verdict(Outcome.WRONG, term.text, "divides by zero")
    if not _has_numbers(problem):
        return Verdict(Outcome.ERROR, term.text, "the problem's meta lacks numbers and target")
    if sorted(term.numbers) != sorted(problem.meta["numbers"]):
        return Verdict(Outcome.WRONG, term.text, f"does not use each of {_listed(problem.meta['numbers'])} once")
    if term.over != problem.meta["target"] * term.under:
        return Verdict(Outcome.WRONG, term.text, f"does not equal {problem.meta['target']}")
    return Verdict(Outcome.CORRECT, term.text)


def _listed(numbers: Iterable[int]) -> str:
    """Returns numbers for a message."""
    return ", ".join(map(str, numbers))[:200]


@lru_cache(maxsize=65536)
def _parse(text: str) -> _Term | str:
    """Returns the parsed expression, or one line that says why the text is not one."""
    if not text:
        return "empty"
    if len(text) > MAX_CHARS:
        return f"{len(text)} characters, more than {MAX_CHARS}"
    if not _ALLOWED.fullmatch(text):
        return "holds characters other than digits, + - * / ( ) and spaces"
    try:
        return _term(ast.parse(text, mode="eval").body)
    except _NotAnExpressionError as error:
        return str(error)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"not an expression ({getattr(error, 'msg', type(error).__name__)})"


def _term(node: ast.expr) -> _Term:
    """Returns the term of a syntax tree."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return _Term(text=str(node.value), rank=_ATOM, over=node.value, under=1, numbers=(node.value,))
    if isinstance(node, ast.BinOp) and type(node.op) in _RANKS:
        return _joined(*_RANKS[type(node.op)], _term(node.left), _term(node.right))
    if isinstance(node, ast.UnaryOp):
        raise _NotAnExpressionError("a sign before a number is not allowed")
    raise _NotAnExpressionError("uses something other than + - * / and integers")


def _joined(operator: str, rank: int, left: _Term, right: _Term) -> _Term:
    """Returns `left operator right`, with parentheses only where the value needs them."""
    tight_right = right.rank > rank or (right.rank == rank and operator in "+*")
    first = left.text if left.rank >= rank else f"({left.text})"
    second = right.text if tight_right else f"({right.text})"
    over, under = _value(operator, left, right)
    return _Term(f"{first}{operator}{second}", rank, over, under, left.numbers + right.numbers)


def _value(operator: str, left: _Term, right: _Term) -> tuple[int, int]:
    """Returns the exact value of `left operator right` as (over, under); a zero under is kept through every step."""
    if operator == "*":
        return left.over * right.over, left.under * right.under
    if operator == "/":
        return left.over * right.under, left.under * right.over if right.under else 0
    sign = 1 if operator == "+" else -1
    return left.over * right.under + sign * right.over * left.under, left.under * right.under
