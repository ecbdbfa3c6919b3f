"""Comparison of what a script prints with what is expected of it.

Owns: which outputs are the same. Does not own: running scripts (`rlvr.verifiers.code.verifier`), results of functions
(`rlvr.verifiers.code.beside_tests`, where the tests run).

Lines count, blank space within and around them does not. A line of numbers may write them in another way (`1.0`, `1`);
numbers within the tolerance are the same on any line. Output is untrusted: the work is linear in its length.
"""

import re
from dataclasses import dataclass, field
from decimal import Decimal

from rlvr.verifiers.verdicts import Outcome

MAX_SHOWN = 100

# A number with leading zeros is a text of digits: 007 is not 7.
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")


@dataclass(frozen=True)
class Expected:
    """What a script has to print.

    Attributes:
        text: the expected output.
        tolerance: how far a number may be from the expected one, absolutely or in proportion to it.
    """

    text: str
    tolerance: float = 0.0

    def compare(self, output: str) -> tuple[Outcome, str]:
        """Returns outcome and reason of an output."""
        seen, wanted = _lines(output), _lines(self.text)
        if len(seen) != len(wanted):
            first = next((n for n, pair in enumerate(zip(seen, wanted, strict=False)) if pair[0] != pair[1]), None)
            if first is None:
                return Outcome.WRONG, f"{len(seen)} lines of output, expected {len(wanted)}"
            return Outcome.WRONG, _difference(first, seen[first], wanted[first])
        for number, (line, expected) in enumerate(zip(seen, wanted, strict=True)):
            if not _same_line(line, expected, self.tolerance):
                return Outcome.WRONG, _difference(number, line, expected)
        return Outcome.CORRECT, ""


@dataclass(frozen=True)
class Kept:
    """Takes any output and keeps it, for a checker to judge.

    Attributes:
        outputs: what was printed, in the order of the runs.
    """

    outputs: list[str] = field(default_factory=list)

    def compare(self, output: str) -> tuple[Outcome, str]:
        """Keeps an output."""
        self.outputs.append(output)
        return Outcome.CORRECT, ""


def _lines(text: str) -> list[list[str]]:
    """Returns the words of each line, blank lines at the ends left out."""
    return [line.split() for line in text.strip().split("\n")]


def _difference(number: int, line: list[str], expected: list[str]) -> str:
    """Returns the reason of a line that differs."""
    return f"line {number + 1} is {_shown(line)!r}, expected {_shown(expected)!r}"


def _shown(words: list[str]) -> str:
    """Returns the start of a line."""
    return " ".join(words)[:MAX_SHOWN]


def _same_line(line: list[str], expected: list[str], tolerance: float) -> bool:
    """Returns whether two lines say the same."""
    if line == expected:
        return True
    if len(line) != len(expected):
        return False
    if all(map(_NUMBER.fullmatch, [*line, *expected])):
        return all(_same_number(*pair, tolerance) for pair in zip(line, expected, strict=True))
    return tolerance > 0 and all(_same_word(*pair, tolerance) for pair in zip(line, expected, strict=True))


def _same_word(word: str, expected: str, tolerance: float) -> bool:
    """Returns whether two words are equal, or numbers within the tolerance."""
    if word == expected:
        return True
    is_number = _NUMBER.fullmatch(word) and _NUMBER.fullmatch(expected)
    return bool(is_number) and _same_number(word, expected, tolerance)


def _same_number(word: str, expected: str, tolerance: float) -> bool:
    """Returns whether two numbers are equal as decimals, or within the tolerance."""
    if Decimal(word) == Decimal(expected):
        return True
    if not tolerance:
        return False
    value, wanted = float(word), float(expected)
    return abs(value - wanted) <= tolerance * max(1.0, abs(wanted)) < float("inf")
