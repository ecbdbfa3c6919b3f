r"""Two notations of one answer: what makes answers the same before any mathematics is done.

Owns: an answer without its decoration, its normal form, and equality of numbers that strings decide.
Does not own: where an answer stands (`rlvr.verifiers.answers.extraction`), mathematical equality
(`rlvr.verifiers.answers.math`), numbers with units or tolerances (`rlvr.verifiers.answers.numeric`).

The forms are made for short answers.
"""

import re
from fractions import Fraction
from functools import lru_cache

ROUNDING = Fraction(1, 100_000)  # math-verify rounds to six decimals


def text_commands(*more: str, content: str = r"[^{}]*") -> re.Pattern[str]:
    r"""Returns a pattern of `\text{...}` and its like.

    Args:
        more: commands that count, too.
        content: what may stand in the braces; it is the pattern's group.
    """
    commands = "|".join(("text", "textbf", "textrm", "mbox", *more))
    return re.compile(rf"\\(?:{commands})\s*\{{({content})\}}")


_FRACTION_OF_INTEGERS = re.compile(r"(-?)\\frac\{(-?[0-9]+)\}\{([0-9]+)\}")
_RATIO = re.compile(r"-?[0-9]+(?:\.[0-9]+|/0*[1-9][0-9]*)?")
_DECIMAL = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?")
_GROUPED_NUMBER = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+|(?: \d{3})+)(?:\.\d*)?")
_REPEATING_DECIMAL = re.compile(r"([+-]?\d*)\.(\d*)\\overline\s*\{(\d+)\}")
_E_NOTATION = re.compile(r"([+-]?\d+(?:\.\d+)?)[eE]([+-]?\d+)")
_LINE_BREAKS = re.compile(r"(?:\\\\|\\newline(?![A-Za-z])|\s)+$")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_SIZED_BRACKET = re.compile(r"\\(?:left|right)(?![A-Za-z])\.?|\\[bB]igg?[lr]?(?![A-Za-z])")
_SPACING = re.compile(r"(?<!\\)\\[,;:! ]|~|\\q?quad(?![A-Za-z])")
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_DEGREES = re.compile(r"\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})|\\degree(?![A-Za-z])|°")
_UNIT = re.compile(r"(?<=\d)\s*(?:dollars?|degrees|units)$")
_TEXT = text_commands("mathrm", "mathbf")
_WORDS = text_commands(content=r"[^{}\\0-9]*")
_FREE_SPACE = re.compile(r"(?<!\d) | (?!\d)")
_LETTER_CHOICE = re.compile(r"\(([A-Za-z])\)")


def clean(answer: str) -> str:
    """Returns an answer without what only decorates it; it remains readable for a LaTeX parser."""
    text = _UNPRINTABLE.sub("", answer).replace("\N{MINUS SIGN}", "-").replace("{,}", ",").replace(",\\!", ",")
    text = text.replace("\\$", "").replace("$", "").replace("\\%", "%")
    for pattern, substitute in ((_SIZED_BRACKET, ""), (_SPACING, " "), (_FRACTION, r"\\frac"), (_DEGREES, "")):
        text = pattern.sub(substitute, text)
    for left, right in (("\\(", "\\)"), ("\\[", "\\]")):
        text = text.strip().removeprefix(left).removesuffix(right)
    text = _UNIT.sub("", _LINE_BREAKS.sub("", text.strip()).rstrip(".").strip())
    return _number_notation(text)


def _number_notation(text: str) -> str:
    """Returns a number in digit groups, with a repeating part or in e-notation as parsers read it; else the text."""
    compact = text.replace(", ", ",")
    if _GROUPED_NUMBER.fullmatch(compact):
        return compact.replace(",", "").replace(" ", "")
    if match := _E_NOTATION.fullmatch(text):
        return f"{match[1]} \\cdot 10^{{{int(match[2])}}}"
    if match := _REPEATING_DECIMAL.fullmatch(text):
        return _as_fraction(*match.groups())
    return text


def _as_fraction(whole: str, fixed: str, repeated: str) -> str:
    r"""Returns a repeating decimal as a fraction: 0.1\overline{6} is (16 - 1) / 90."""
    digits = whole.lstrip("+-")
    over = int(f"{digits}{fixed}{repeated}") - int(f"{digits}{fixed}" or "0")
    under = int("9" * len(repeated) + "0" * len(fixed))
    return f"{'-' if whole.startswith('-') else ''}\\frac{{{over}}}{{{under}}}"


@lru_cache(maxsize=4096)
def normal_form(answer: str) -> str:
    """Returns the form in which two answers that differ in notation only are the same string.

    Example:
        >>> normal_form("$1{,}000.50$.") == normal_form("1000.5")
        True
    """
    text = _FREE_SPACE.sub("", " ".join(_TEXT.sub(r"\1", clean(answer)).split()))
    choice = _LETTER_CHOICE.fullmatch(text)
    return choice[1] if choice else _plain_number(text)


def same_number(gold: str, answer: str) -> bool | None:
    """Returns whether two normal forms are the same number, or None where strings do not decide it.

    Numbers are decimals and fractions of integers. A percentage stands for itself and for its hundredth, as in
    math-verify. Words are no number, so that they are another answer than a number.
    """
    golds, answers = _values(gold), _values(answer)
    if not golds:
        return None
    if not answers:
        return False if all(char.isalpha() or char.isspace() for char in answer) else None
    differences = [abs(a - b) for a in golds for b in answers]
    if 0 in differences:
        return True
    return False if min(differences) > ROUNDING else None


def _values(form: str) -> list[Fraction]:
    """Returns the values that a number may stand for, or none."""
    text = form.removesuffix("%")
    if match := _FRACTION_OF_INTEGERS.fullmatch(text):  # a whole one: 2\frac{1}{3} is a mixed number
        text = f"{match[1]}{match[2]}/{match[3]}"
    if _RATIO.fullmatch(text) is None:
        return []
    value = Fraction(text)
    return [value, value / 100] if form.endswith("%") else [value]


def is_plain(form: str) -> bool:
    """Returns whether a normal form is a decimal number or bare words, so that a gold answer needs no parser."""
    return _DECIMAL.fullmatch(form) is not None or all(char.isalpha() or char.isspace() for char in form)


def is_words(answer: str) -> bool:
    r"""Returns whether an answer is words in `\text{...}`, which math parsers would read as a product of letters."""
    return _WORDS.fullmatch(clean(answer)) is not None


def _plain_number(text: str) -> str:
    """Returns a decimal number without superfluous zeros and plus sign; other text as it is."""
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return text
    whole, part = match[2].lstrip("0") or "0", (match[3] or "").rstrip("0")
    sign = "-" if match[1] == "-" and (whole != "0" or part) else ""
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"
