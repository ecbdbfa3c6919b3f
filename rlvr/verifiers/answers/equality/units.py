r"""Quantities: a value with a unit, a currency or a multiplier behind or before it.

Owns: where the value ends and the unit begins, names of one unit, whether two units are the same.
Does not own: whether values are equal (`rlvr.verifiers.answers.equality.rules`), percent signs (there, too).

Units are never converted: a problem says in which unit its answer is, and 5 km for 5000 m is left wrong.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from rlvr.verifiers.answers.notation import TEXT

Unit = tuple[tuple[str, int], ...]  # names with their powers

_SAME_NAME = """
mm millimeter millimetre; cm centimeter centimetre; dm decimeter; m meter metre mtr; km kilometer kilometre
in inch inche; ft foot feet; yd yard; mi mile; nm nanometer
mg milligram; g gram gm; kg kilogram; lb lbs pound; oz ounce; ton tonne
ml milliliter millilitre; l liter litre; gal gallon; cc
s sec second; ms millisecond; min minute; h hr hour; day; week wk; month; year yr
degree deg; rad radian; dollar usd; cent; euro eur; rupee rs; yen; gbp
n newton; j joule; kj kilojoule; w watt; kw kilowatt; pa pascal; kpa; hz hertz; v volt; a ampere amp; k kelvin
c celsius; f fahrenheit; mol mole; ohm; acre; hectare ha; unit; mph; kph kmph kmh
"""
NAMES = {
    name: entry.split()[0] for line in _SAME_NAME.split("\n") for entry in line.split(";") for name in entry.split()
}
SPEEDS = {"mph": (("mi", 1), ("h", -1)), "kph": (("km", 1), ("h", -1)), "cc": (("cm", 3),)}
POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
MULTIPLIERS = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
IGNORED = {"the", "of", "about", "approximately", "exactly", "total", "all"}
# Words with which a text is no value with a unit, but another statement.
STATEMENTS = frozenset(
    [
        "and",
        "or",
        "not",
        "no",
        "nor",
        "than",
        "more",
        "less",
        "fewer",
        "least",
        "most",
        "between",
        "from",
        "to",
        "if",
        "when",
        "where",
        "is",
        "are",
        "except",
        "percent",
        "until",
        "unless",
        "only",
        "either",
        "neither",
        "minus",
        "plus",
        "times",
        "over",
        "under",
    ]
)
CURRENCIES = {r"\$": "dollar", "\u20ac": "euro", r"\pounds": "gbp", "\u00a3": "gbp", "\u00a5": "yen", "\u20b9": "rupee"}

_CURRENCY = re.compile(r"([+-]?)\s*(\\\$|\\pounds(?![A-Za-z])|[\u20ac\u00a3\u00a5\u20b9])\s*(?=[\d.\\(])")
_DEGREES = r"\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})|\\degree(?![A-Za-z])|\\circ(?![A-Za-z])"
_WRAPPED = r"\\(?:text|mbox|mathrm|textrm|textit|textbf|textnormal|mathit|operatorname|hbox)\s*\{[^{}]*\}"
_REST = r"(?:\s|[A-Za-z./]|\\cdot(?![A-Za-z])|\^\s*\{?\s*-?\d\s*\}?|[()*\-]|" + _WRAPPED + ")*"
_TAIL = re.compile(rf"\s*(?P<unit>(?:{_DEGREES}|{_WRAPPED}){_REST})$")
_BARE_TAIL = re.compile(rf"(?<=[\d)}}])(?P<space>\s*)(?P<unit>[A-Za-z]{_REST})$")
_PIECE = re.compile(r"[a-z]+|/|\^\{?\s*(-?\d)\s*\}?")


class Quantity(NamedTuple):
    """A value and its unit, which is empty where there is none."""

    value: str
    unit: Unit


@lru_cache(maxsize=65536)
def quantity_of(text: str) -> Quantity:
    """Returns a tidy text as a value with a unit."""
    currency: Unit = ()
    if match := _CURRENCY.match(text):
        currency = ((CURRENCIES[match[2]], 1),)
        text = match[1] + text[match.end() :]
    for pattern in (_TAIL, _BARE_TAIL):
        match = pattern.search(text)
        if match is None or not text[: match.start()].strip():
            continue
        unit, power_of_ten = _read_unit(match["unit"])
        if unit is None or (pattern is _BARE_TAIL and not _is_bare_unit(match, text)):
            continue
        value = text[: match.start()].strip()
        scaled = rf"{value} \times 10^{{{power_of_ten}}}" if power_of_ten else value
        return Quantity(scaled, unit + currency)
    return Quantity(text, currency)


def is_unit_name(word: str) -> bool:
    """Returns whether a word, not a single letter, names a unit."""
    return len(word) > 1 and _singular(word.lower()) in NAMES and word.lower() not in STATEMENTS | {"in"}


def same_unit(gold: Unit, answer: Unit) -> bool:
    """Returns whether two units do not contradict each other: an absent one contradicts none.

    What is counted may be described in more words on one side: 12 apples and 12 red apples. `unit` stands for any one
    of its power.
    """
    if not gold or not answer:
        return True
    if {name for name, _ in gold} == {"unit"} or {name for name, _ in answer} == {"unit"}:
        return sorted(power for _, power in gold) == sorted(power for _, power in answer)
    return set(gold) <= set(answer) or set(answer) <= set(gold)


def _is_bare_unit(match: re.Match[str], text: str) -> bool:
    """Returns whether words that stand in no text command are a unit, and not a product of variables."""
    words = re.findall(r"[A-Za-z]+", match["unit"])
    known = all(_singular(word.lower()) in NAMES or word.lower() in {*POWERS, *MULTIPLIERS, "per"} for word in words)
    if len(words[0]) == 1:
        return known and bool(match["space"]) and re.fullmatch(r"[\d.,+-]+", text[: match.start()].strip()) is not None
    is_number = re.fullmatch(r"[\d.,/+\s-]+|.*\d\)?\}", text[: match.start()]) is not None
    return known or (is_number and bool(match["space"]) and all(len(word) > 2 for word in words[:1]))


def _read_unit(text: str) -> tuple[Unit | None, int]:
    """Returns a unit with the power of ten that a multiplier stands for, or None of words that make a statement."""
    plain = re.sub(_DEGREES, " degree ", text)
    plain = TEXT.sub(r" \1 ", plain)
    plain = re.sub(r"\\(?:cdot|hbox|textnormal)", " ", plain).lower().replace(".", "")
    names = list[tuple[str, int]]()
    sign, prefix, power_of_ten = 1, 1, 0
    for match in _PIECE.finditer(plain):
        word = match[0]
        if word in STATEMENTS:
            return None, 0
        if word.startswith("^"):
            if names:
                names[-1] = (names[-1][0], int(match[1]) * (1 if names[-1][1] > 0 else -1))
        elif word in ("/", "per"):
            sign = -1
        elif word in ("squared", "cubed"):
            if names:
                names[-1] = (names[-1][0], POWERS[word] * sign)
        elif word in POWERS:
            prefix = POWERS[word]
        elif word in MULTIPLIERS and not names:
            power_of_ten += MULTIPLIERS[word]
        elif word not in IGNORED:
            name = NAMES.get(_singular(word), _singular(word))
            if len(word) == 1 and word not in NAMES:
                return None, 0  # a variable
            expanded = SPEEDS.get(name, ((name, prefix * sign),))
            names += expanded
            sign, prefix = 1, 1
    return tuple(dict.fromkeys(names)), power_of_ten


def _singular(word: str) -> str:
    """Returns a unit's name without the plural's ending."""
    if word in NAMES or not word.endswith("s") or word.endswith("ss"):
        return word
    return word[:-2] if word.endswith("es") and word[:-2] in NAMES else word[:-1]
