r"""The numeric verifier: is the final number within a tolerance of the gold number?

Owns: how numbers are written, and the tolerance.
Does not own: finding the answer in a text (`rlvr.verifiers.answers.extraction`), symbolic equality
(`rlvr.verifiers.answers.math`).

Numbers are read as exact fractions. More than `MAX_DIGITS` digits, or a larger exponent, is no number, so that a short
text cannot stand for a huge one.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.verifiers.answers.extraction import Form, final_text, first_sentence, gold_text
from rlvr.verifiers.answers.notation import clean
from rlvr.verifiers.answers.sentences import MAX_LINE_CHARS
from rlvr.verifiers.base import PlainVerifier, decided, unparsed
from rlvr.verifiers.verdicts import Verdict

KINDS = ("relative", "absolute")
MAX_DIGITS = 400  # of a number, and of what an exponent may add

_DIGITS = r"(?:\d{1,3}(?:[,_]\d{3}){1,100}(?!\d)|\d{1,400})"
_DECIMAL = rf"(?:{_DIGITS}(?:\.\d{{0,400}})?|\.\d{{1,400}})"
_POWER = (
    r"(?:[eE](?P<e>[+-]?\d{1,3})(?!\d)"
    r"|\s{0,5}(?:\\times|\\cdot|[x*\u00d7\u00b7])\s{0,5}10\s{0,5}\^\s{0,5}\{?(?P<p>[+-]?\d{1,3})(?!\d)\}?)"
)
_FRACTION = (
    rf"\\frac\s{{0,5}}\{{\s{{0,5}}(?P<a>-?{_DECIMAL})\s{{0,5}}\}}\s{{0,5}}\{{\s{{0,5}}(?P<b>-?{_DECIMAL})\s{{0,5}}\}}"
)
_NUMBER = re.compile(
    rf"(?<![\w.])(?P<sign>[+-]?)\s{{0,5}}"
    rf"(?:(?P<whole>\d{{1,20}})?\s{{0,5}}{_FRACTION}"
    rf"|(?P<mixed>\d{{1,20}})\s{{1,5}}(?P<c>\d{{1,20}})/(?P<d>\d{{1,20}})"
    rf"|(?P<over>{_DECIMAL})\s{{0,5}}/\s{{0,5}}(?P<under>{_DECIMAL})"
    rf"|(?P<plain>{_DECIMAL}){_POWER}?)"
    r"(?:\s{0,5}(?P<percent>%|percent\b))?"
)
_UNIT = re.compile(r"(?:\s+[A-Za-z\\\u00b0]|[A-Za-z]{2}|[\\\u00b0\u20ac\u00a3])(?:[^\d=^]|\^\s*\{?-?\d\}?)*")
_NOT_A_UNIT = re.compile(r"\s*(?:\\(?:times|cdot|pm|frac|sqrt|div|le|ge|to|pi)\b|(?:and|or|to|times|plus|minus)\b)")
_BEFORE = re.compile(r"\A.*(?:=|\\approx|\u2248)", re.DOTALL)
_SPACE_IN_NUMBER = re.compile(r"(?<=\d)(?:\\,|\\ |~|\u202f|\u2009)(?=\d{3})")
_CURRENCY = str.maketrans({"$": None, "\u20ac": None, "\u00a3": None, "\N{MINUS SIGN}": "-"})


@dataclass(frozen=True)
class Number:
    """A number as it was written.

    Attributes:
        value: what stands before a percent sign, if there is one.
        is_percent: whether there is one.
    """

    value: Fraction
    is_percent: bool = False

    @property
    def readings(self) -> tuple[Fraction, ...]:
        """The values that the number may mean: 50 % is 0.5, and 50 where the percent sign is taken for granted."""
        return (self.value / 100, self.value) if self.is_percent else (self.value,)


class NumericVerifier(PlainVerifier):
    r"""Judges numbers such as `1,234.5`, `1.2e3`, `1.2 \times 10^{3}`, `3/4`, `\frac{3}{4}`, `1 1/2`, `50%` or `5 km`.

    A percentage equals its hundredth (50 % and 0.5) and its own number (50 % and 50); two percentages are compared as
    they are. Units are not compared.

    Args:
        tolerance: largest distance that is still equal; 0 asks for the same number.
        kind: `relative` to the gold number, or `absolute`.

    Example:
        >>> verifier = NumericVerifier(tolerance=0.01)
        >>> verifier.verify([(Problem("pi?", "3.14159"), r"\boxed{22/7}")])[0].outcome
        <Outcome.CORRECT: 'correct'>
    """

    expected = "one number"

    def __init__(self, tolerance: float = 1e-6, kind: str = KINDS[0]) -> None:
        self.tolerance, self.kind = Fraction(tolerance), kind
        self.verifier_id = f"numeric@2?tolerance={tolerance!r}&kind={kind}"

    @classmethod
    def of(cls, spec: Spec) -> "NumericVerifier":
        """Returns the verifier of a recipe's string."""
        spec.only("tolerance", "kind")
        return cls(spec.number("tolerance", default=1e-6), spec.choice("kind", KINDS))

    def fault(self, problem: Problem) -> str | None:
        """Returns what makes a gold answer unusable, or None."""
        return None if _gold(problem) else "not one number"

    def judge(self, problem: Problem, completion: str) -> Verdict:
        """Returns whether the final number is close enough to the gold one."""
        gold, answer = _gold(problem), final_number(completion)
        assert gold is not None
        if answer is None:
            return unparsed("no number found")
        return decided(self._close(gold, answer), _written(answer))

    def _close(self, gold: Number, answer: Number) -> bool:
        """Returns whether any readings of both are within the tolerance."""
        if gold.is_percent and answer.is_percent:
            return self._within(gold.value, answer.value)
        return any(self._within(g, a) for g in gold.readings for a in answer.readings)

    def _within(self, gold: Fraction, answer: Fraction) -> bool:
        """Returns whether two values are within the tolerance."""
        limit = self.tolerance * abs(gold) if self.kind == "relative" else self.tolerance
        return abs(gold - answer) <= limit


def final_number(completion: str) -> Number | None:
    r"""Returns the number that a completion ends with, or None.

    What stands in `\boxed{...}` must be one number. Elsewhere it is the number that was stated, else the last one.
    """
    final = final_text(completion)
    if final is None:
        return None
    whole = read_number(final.text) or read_number(first_sentence(final.text))
    if whole is not None or final.form is Form.BOXED:
        return whole
    if final.form is None:
        return _last_number(completion[-MAX_LINE_CHARS:])
    return _last_number(first_sentence(final.text)) or _last_number(final.text)


def read_number(text: str) -> Number | None:
    """Returns the number that a text is, after `x =` or a currency and before a unit, or None."""
    plain = (
        _BEFORE.sub("", clean(_SPACE_IN_NUMBER.sub(",", text[:MAX_LINE_CHARS])))
        .translate(_CURRENCY)
        .strip()
        .rstrip(".")
    )
    match = _NUMBER.match(plain)
    if match is None:
        return None
    rest = plain[match.end() :]
    if rest.strip() and (_NOT_A_UNIT.match(rest) or not _UNIT.fullmatch(rest)):
        return None
    return _number(match)


def _last_number(text: str) -> Number | None:
    """Returns the last number in a text, or None."""
    found = [_number(match) for match in _NUMBER.finditer(text.translate(_CURRENCY))]
    return next((number for number in reversed(found) if number is not None), None)


def _number(match: re.Match[str]) -> Number | None:
    """Returns the value of a match, or None of a division by zero."""
    part = match.groupdict()
    over, under = part["a"] or part["c"] or part["over"], part["b"] or part["d"] or part["under"]
    if over is None:
        value = _decimal(part["plain"]) * Fraction(10) ** int(part["e"] or part["p"] or 0)
    elif _decimal(under) == 0:
        return None
    else:
        value = _decimal(over) / _decimal(under) + int(part["whole"] or part["mixed"] or 0)
    return Number(-value if part["sign"] == "-" else value, part["percent"] is not None)


def _decimal(text: str) -> Fraction:
    """Returns the exact value of decimal digits with or without separators."""
    return Fraction(re.sub("[,_]", "", text).removesuffix("."))


def _written(number: Number) -> str:
    """Returns a number in a normal form: an integer or fraction in lowest terms."""
    return f"{number.value}{'%' if number.is_percent else ''}"


def _gold(problem: Problem) -> Number | None:
    """Returns the gold number, or None of another answer."""
    return read_number(gold_text(problem))
