r"""Two notations of one answer: what makes answers the same before any mathematics is done.

Owns: an answer without its decoration, its normal form, exact values of written numbers.
Does not own: where an answer stands (`rlvr.verifiers.answers.extraction`), which notations are equal answers
(`rlvr.verifiers.answers.equality.rules`), numbers with a tolerance (`rlvr.verifiers.answers.numeric`).

`tidy` keeps all that has a meaning, units and signs included. `clean` drops units and currency besides. The forms are
made for short answers.
"""

import re
from fractions import Fraction
from functools import lru_cache

MAX_DIGITS = 400  # of a number that is computed exactly, and of what its exponent adds


def text_commands(*more: str, content: str = r"[^{}]*") -> re.Pattern[str]:
    r"""Returns a pattern of `\text{...}` and its like.

    Args:
        more: commands that count, too.
        content: what may stand in the braces; it is the pattern's group.
    """
    commands = "|".join(("text", "textbf", "textrm", "mbox", *more))
    return re.compile(rf"\\(?:{commands})\s*\{{({content})\}}")


TEXT = text_commands("mathrm", "mathbf", "textit", "textnormal", "mathit", "operatorname", "hbox", "emph")

_CHARACTERS = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{MULTIPLICATION SIGN}": r"\times ",
        "\N{MIDDLE DOT}": r"\cdot ",
        "\N{DOT OPERATOR}": r"\cdot ",
        "\N{DIVISION SIGN}": r"\div ",
        "\N{LESS-THAN OR EQUAL TO}": r"\le ",
        "\N{GREATER-THAN OR EQUAL TO}": r"\ge ",
        "\N{NOT EQUAL TO}": r"\neq ",
        "\N{ALMOST EQUAL TO}": r"\approx ",
        "\N{INFINITY}": r"\infty ",
        "\N{GREEK SMALL LETTER PI}": r"\pi ",
        "\N{UNION}": r"\cup ",
        "\N{ELEMENT OF}": r"\in ",
        "\N{EMPTY SET}": r"\emptyset ",
        "\N{PLUS-MINUS SIGN}": r"\pm ",
        "\N{DEGREE SIGN}": r"^\circ ",
        "\N{SUPERSCRIPT TWO}": "^{2}",
        "\N{SUPERSCRIPT THREE}": "^{3}",
        "\N{FULLWIDTH PERCENT SIGN}": "%",
        "\N{NO-BREAK SPACE}": " ",
    }
)
_SYNONYMS = (
    (re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]"), ""),
    (re.compile(r"(?<=\d)(?:\{,\}|,\s*\\!)\s*(?=\d{3}(?!\d))"), ""),
    (re.compile(r"\\(?:left|right)(?![A-Za-z])\.?|\\[bB]igg?[lr]?(?![A-Za-z])"), ""),
    (
        re.compile(
            r"\\(?:displaystyle|textstyle|large|Large|LARGE|huge|Huge|normalsize|boxed|fbox|checkmark)(?![A-Za-z])"
        ),
        "",
    ),
    (re.compile(r"^.*\\(?:therefore|Rightarrow|Longrightarrow|implies)(?![A-Za-z])", re.DOTALL), ""),
    (re.compile(r"\\not\s*=|\\ne(?![A-Za-z])|!="), r"\\neq "),
    (re.compile(r"\\not\s*\\in(?![A-Za-z])"), r"\\notin "),
    (re.compile(r"\\not\s*(?:<|\\lt(?![A-Za-z]))|\\nless(?![A-Za-z])"), r"\\ge "),
    (re.compile(r"\\not\s*(?:>|\\gt(?![A-Za-z]))|\\ngtr(?![A-Za-z])"), r"\\le "),
    (re.compile(r"\\le(?:q|qslant)(?![A-Za-z])|<=(?!>)"), r"\\le "),
    (re.compile(r"\\ge(?:q|qslant)(?![A-Za-z])|>="), r"\\ge "),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\varnothing(?![A-Za-z])"), r"\\emptyset "),
    (re.compile(r"\\lbrace(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![A-Za-z])"), r"\\}"),
    (re.compile(r"\\colon(?![A-Za-z])"), ":"),
    (re.compile(r"(?<!\\)\\[,;:! ]|~|\\q?quad(?![A-Za-z])"), " "),
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)(?!\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s*(\d)\s*\{"), r"\\frac{\1}{"),
    (re.compile(r"\\%|\\text\s*\{\s*\\?%\s*\}"), "%"),
    (re.compile(r"(?<!\\)\$"), ""),
)
_LINE_BREAKS = re.compile(r"(?:\\\\|\\newline(?![A-Za-z])|\s)+$")
_DEGREES = re.compile(r"\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})|\\degree(?![A-Za-z])")
_UNIT = re.compile(r"(?<=\d)\s*(?:dollars?|degrees|units)$")
_FREE_SPACE = re.compile(r"(?<!\d) | (?!\d)")
_LETTER_CHOICE = re.compile(r"\(([A-Za-z])\)")

_DECIMAL = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?")
_GROUPED_NUMBER = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+|(?: \d{3})+)(?:\.\d*)?")
_REPEATING_DECIMAL = re.compile(r"([+-]?\d{0,30})\.(\d{0,30})\\overline\s*\{(\d{1,30})\}")
_E_NOTATION = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s?[eE]\s?\{?([+-]?\d{1,3})\}?")
_PLAIN = rf"(?:\d{{1,{MAX_DIGITS}}}(?:\.\d{{0,{MAX_DIGITS}}})?|\.\d{{1,{MAX_DIGITS}}})"
_POWER_OF_TEN = re.compile(
    rf"([+-]?)(?:({_PLAIN})\s*(?:\\times|\\cdot|\*|x)\s*)?10\s*\^\s*(?:\{{\s*([+-]?\d{{1,3}})\s*\}}|([+-]?\d{{1,3}}))"
)
_QUOTIENT = re.compile(
    rf"([+-]?)\s*(?:(\d{{1,40}})\s*)?\\frac\s*\{{\s*([+-]?{_PLAIN})\s*\}}\s*\{{\s*([+-]?{_PLAIN})\s*\}}"
)
_SLASHED = re.compile(rf"([+-]?)\s*(?:(\d{{1,40}})\s+)?({_PLAIN})\s*/\s*({_PLAIN})")


def tidy(answer: str) -> str:
    """Returns an answer without what only decorates it; one notation stands for its synonyms."""
    text = " ".join(answer.translate(_CHARACTERS).split())
    for pattern, substitute in _SYNONYMS:
        text = pattern.sub(substitute, text)
    for left, right in (("\\(", "\\)"), ("\\[", "\\]")):
        text = text.strip().removeprefix(left).removesuffix(right)
    text = _LINE_BREAKS.sub("", text.strip().strip("*"))
    return text.rstrip(".").strip() if text.rstrip(".")[-5:] not in ("ldots", "cdots") else text


def clean(answer: str) -> str:
    """Returns a tidy answer without currency, degrees and units; it remains readable for a LaTeX parser."""
    text = _DEGREES.sub("", tidy(answer).replace("\\$", "")).strip()
    return _number_notation(_UNIT.sub("", text))


def _number_notation(text: str) -> str:
    """Returns a number in digit groups, with a repeating part or in e-notation as parsers read it; else the text."""
    if _GROUPED_NUMBER.fullmatch(text):
        return text.replace(",", "").replace(" ", "")
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
    """Returns the form in which an answer is shown, and in which answers that differ in notation only are one string.

    Example:
        >>> normal_form("$1{,}000.50$.") == normal_form("1000.5")
        True
    """
    return _form(clean(answer))


@lru_cache(maxsize=65536)
def exact_form(text: str) -> str:
    """Returns the normal form of a tidy text that keeps its unit."""
    return _form(_number_notation(text))


def _form(text: str) -> str:
    """Returns a text without free spaces, text commands and superfluous zeros."""
    text = " ".join(TEXT.sub(r"\1", text).split())
    text = unbraced(_FREE_SPACE.sub("", text))
    choice = _LETTER_CHOICE.fullmatch(text)
    return choice[1] if choice else _plain_number(text)


def exact_value(text: str) -> Fraction | None:
    r"""Returns the value of a tidy text that is one written number, or None of any other text.

    Decimals, digit groups, repeating decimals, e-notation, powers of ten, fractions, mixed numbers.
    """
    text = _number_notation(unbraced(TEXT.sub(r"\1", text)))
    sign = -1 if text.startswith("-") else 1
    if re.fullmatch(rf"[+-]?{_PLAIN}", text):
        return Fraction(text.removesuffix("."))
    if match := _POWER_OF_TEN.fullmatch(text):
        return sign * Fraction((match[2] or "1").removesuffix(".")) * Fraction(10) ** int(match[3] or match[4])
    if match := _QUOTIENT.fullmatch(text) or _SLASHED.fullmatch(text):
        over, under = (Fraction(part.removesuffix(".")) for part in (match[3], match[4]))
        if under == 0 or (match[2] and (over < 0 or under < 0)):
            return None
        return sign * (int(match[2] or 0) + over / under)
    return None


def unbraced(text: str) -> str:
    """Returns a text without the braces around all of it."""
    text = text.strip()
    while text.startswith("{") and text.endswith("}"):
        inside, depth = text[1:-1], 0
        for brace in re.findall(r"(?<!\\)[{}]", inside):
            depth += 1 if brace == "{" else -1
            if depth < 0:
                return text
        text = inside.strip()
    return text


def is_decimal(text: str) -> bool:
    """Returns whether a tidy text is written with a decimal point, as rounded numbers are."""
    return "." in text


def _plain_number(text: str) -> str:
    """Returns a decimal number without superfluous zeros and plus sign; other text as it is."""
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return text
    whole, part = match[2].lstrip("0") or "0", (match[3] or "").rstrip("0")
    sign = "-" if match[1] == "-" and (whole != "0" or part) else ""
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"
