r"""The rules by which notation decides whether an answer is the gold answer: the table of them, and nothing else.

Owns: every rule that decides before or instead of math-verify, with what it is for and what it must leave alone.
Does not own: how texts fall into parts (`rlvr.verifiers.answers.equality.structure`), units
(`rlvr.verifiers.answers.equality.units`), mathematics (`rlvr.verifiers.answers.math_worker`).

`decide` asks the rules of `RULES` in their order. A rule says that the answer is right or wrong, or it has no say. A
rule that takes an answer apart asks `same` about the parts: all rules again, then math-verify. What no rule decides is
math-verify's. Texts are tidy (`rlvr.verifiers.answers.notation.tidy`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from rlvr.verifiers.answers.equality.structure import LIST, SET, UNION, Parts, parts_of, relation_of
from rlvr.verifiers.answers.equality.units import quantity_of, same_unit
from rlvr.verifiers.answers.notation import TEXT, exact_form, exact_value, is_decimal

MAX_ITEMS = 60  # of a list that is compared item by item
DECIMALS = 6  # to which math-verify rounds where a number is written as a decimal
MAX_RELATIVE = Fraction(1, 10_000)  # difference of rounded numbers, so that small ones are not all zero

Same = Callable[[str, str], bool]


@dataclass(frozen=True)
class Pair:
    """A gold answer and an answer, tidy.

    Attributes:
        percent_asked: whether the question speaks of percent.
    """

    gold: str
    answer: str
    percent_asked: bool = False


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: of the rule.
        purpose: what it is for.
        leaves_alone: what it must not touch.
        decides: returns whether the answer is right, or None where the rule has no say.
    """

    name: str
    purpose: str
    leaves_alone: str
    decides: Callable[[Pair, Same], bool | None]


def decide(pair: Pair, same: Same) -> bool | None:
    """Returns whether the answer is right, or None where no rule decides."""
    return next((verdict for rule in RULES if (verdict := rule.decides(pair, same)) is not None), None)


# ---------------------------------------------------------------------------------------------------- the same text


def _same_text(pair: Pair, same: Same) -> bool | None:
    return True if exact_form(pair.gold) == exact_form(pair.answer) else None


# ------------------------------------------------------------------------------------------------------------ words

_LETTERS = re.compile(r"[^\W\d_](?:[^\W\d_]|['\u2019 -])*[.!]?")
_FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "log",
        "ln",
        "exp",
        "sqrt",
        "max",
        "min",
        "gcd",
        "lcm",
        "det",
        "pi",
        "mod",
    ]
)
_NEGATION = re.compile(r"\\(?:neg|lnot|not)(?![A-Za-z])|(?<![A-Za-z])(?:not|never|neither|nor)(?![A-Za-z])|n't\b", re.I)


def words_of(text: str) -> str | None:
    """Returns the words that a text is, in lower case, or None of a formula.

    In a text command letters are words. Outside of one they are words unless they can be a product of variables:
    letters without e, i and o, and without a and u but for neighbours in the alphabet (`ab`, `uv`) and pairs with x, y
    or z.
    """
    plain = " ".join(TEXT.sub(r"\1", text.replace(r"\ ", " ")).strip(" {}\"'`").split())
    plain = re.sub(r"^[(\[](.+)[)\]]$", r"\1", plain).strip()
    if not _LETTERS.fullmatch(plain):
        return None
    is_wrapped = TEXT.sub("", text).strip(" .!(){}*\"'") == ""
    outside = re.findall(r"[^\W\d_]+", TEXT.sub(" ", text))
    if not is_wrapped and (set(map(str.lower, outside)) & _FUNCTIONS or all(map(is_product, outside))):
        return None
    return " ".join(re.sub(r"[-\s]+", " ", plain).rstrip(".! ").casefold().split())


def is_product(token: str) -> bool:
    """Returns whether letters can be a product of variables."""
    letters = token.lower()
    if len(letters) == 1:
        return True
    if set(letters) & set("eio") or not letters.isascii():
        return False
    is_run = all(ord(b) - ord(a) == 1 for a, b in pairwise(sorted(letters)))
    has_vowel = bool(set(letters) & set("au"))
    return is_run or (len(letters) == 2 and bool(set(letters) & set("xyz"))) or (not has_vowel and len(letters) <= 5)


def _words(pair: Pair, same: Same) -> bool | None:
    gold, answer = words_of(pair.gold), words_of(pair.answer)
    if gold is None:
        is_letter = re.fullmatch(r"\(?[A-Za-z]\)?", pair.gold) is not None and answer is not None and len(answer) == 1
        return pair.gold.strip("()").casefold() == answer if is_letter else (None if answer is None else False)
    if answer is None and relation_of(pair.answer)[1]:
        return None
    if answer is None:
        answer = re.sub(r"[-\s.]+", " ", pair.answer.strip("() ")).casefold().strip()
    return gold == answer


def _negation(pair: Pair, same: Same) -> bool | None:
    return False if _NEGATION.search(pair.answer) and not _NEGATION.search(pair.gold) else None


# ------------------------------------------------------------------------------------------------- lists, sets, tuples


def _parts(pair: Pair, same: Same) -> bool | None:
    gold, answer = parts_of(pair.gold), parts_of(pair.answer)
    if gold is None and answer is None:
        return None
    if gold is None or answer is None:
        return _one_and_many(pair, gold, answer, same)
    if max(len(gold.items), len(answer.items)) > MAX_ITEMS:
        return False
    if UNION in (gold.kind, answer.kind):
        return _unions(gold, answer, same)
    if not _same_kind(gold, answer):
        return False
    if _is_ordered(gold, answer):
        return _in_order(gold.items, answer.items, same)
    return _in_any_order(gold, answer, same)


def _one_and_many(pair: Pair, gold: Parts | None, answer: Parts | None, same: Same) -> bool | None:
    """Returns the verdict where one side is one thing: a set of one is it, a list of several is not."""
    parts = gold if gold is not None else answer
    assert parts is not None
    other = pair.answer if gold is not None else pair.gold
    sides, signs = relation_of(other)
    if signs or _relations_of(parts):
        return None
    if (parts.kind == SET and len(parts.items) == 1) or (parts.kind == LIST and len(set(parts.items)) == 1):
        item = parts.items[0]
        is_nested = parts_of(item) is not None or r"\emptyset" in item
        return not is_nested and (same(item, other) if gold is not None else same(other, item))
    if parts.kind == SET and not parts.items:
        return r"\emptyset" in sides[0] and len(sides[0]) <= len(r"\emptyset ")
    return False if parts.kind in (LIST, SET) and exact_value(other) is not None else None


def _relations_of(parts: Parts) -> bool:
    """Returns whether any part states a relation."""
    return any(relation_of(item)[1] for item in parts.items)


def _unions(gold: Parts, answer: Parts, same: Same) -> bool | None:
    """Returns True of unions of the same parts; others may be equal, too."""
    if gold.kind == answer.kind == UNION and len(gold.items) == len(answer.items):
        return True if _matched(gold.items, answer.items, same) else None
    return None


def _same_kind(gold: Parts, answer: Parts) -> bool:
    """Returns whether kinds do not contradict each other: a bare list contradicts neither a set nor a tuple."""
    kinds = {gold.kind, answer.kind}
    if len(kinds) == 1:
        return True
    if kinds == {"()", "[]"}:
        return len(gold.items) > 2  # of two, they are intervals
    if kinds == {LIST, "[]"}:
        return max(len(gold.items), len(answer.items)) > 2
    return kinds in ({LIST, SET}, {LIST, "()"})


def _is_ordered(gold: Parts, answer: Parts) -> bool:
    """Returns whether the order counts: in tuples, and where gold names variables that the answer does not name."""
    if {gold.kind, answer.kind} - {LIST, SET}:
        return True
    names = [sides[0] for sides, signs in map(relation_of, gold.items) if signs == ("=",)]
    is_named = len(set(names)) == len(gold.items)
    return is_named and not any(relation_of(item)[1] for item in answer.items)


def _in_order(gold: tuple[str, ...], answer: tuple[str, ...], same: Same) -> bool:
    return len(gold) == len(answer) and all(map(same, gold, answer))


def _in_any_order(gold: Parts, answer: Parts, same: Same) -> bool:
    """Returns whether both have the same items; in a set one counts once, however often it stands there."""
    if SET in (gold.kind, answer.kind):
        return all(any(same(a, b) for b in answer.items) for a in gold.items) and all(
            any(same(a, b) for a in gold.items) for b in answer.items
        )
    return len(gold.items) == len(answer.items) and _matched(gold.items, answer.items, same)


def _matched(gold: tuple[str, ...], answer: tuple[str, ...], same: Same) -> bool:
    """Returns whether each item of gold has an item of the answer of its own."""
    left = list(answer)
    for item in gold:
        found = next((index for index, other in enumerate(left) if same(item, other)), None)
        if found is None:
            return False
        del left[found]
    return not left


# ---------------------------------------------------------------------------------------------------------- percent

_PERCENT = re.compile(
    r"\s*(?:%|\\text\s*\{\s*(?:percent|percentage|per cent)\s*\}|(?<![A-Za-z])(?:percent|per cent))$", re.I
)


def _percent(pair: Pair, same: Same) -> bool | None:
    gold, answer = _PERCENT.sub("", pair.gold), _PERCENT.sub("", pair.answer)
    is_gold, is_answer = gold != pair.gold, answer != pair.answer
    if not (is_gold or is_answer):
        return None
    if is_gold and is_answer:
        return same(gold, answer)
    if is_gold:
        return same(gold, answer) or same(rf"\frac{{{gold}}}{{100}}", answer)
    value = exact_value(gold)
    is_percentage = pair.percent_asked or (value is not None and abs(value) > 1)
    return same(gold, rf"\frac{{{answer}}}{{100}}") or (is_percentage and same(gold, answer))


# ------------------------------------------------------------------------------------------------------ number bases

_BASE_NAMES = dict(
    zip(
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
        range(2, 13),
        strict=True,
    )
) | {"sixteen": 16, "binary": 2, "octal": 8, "decimal": 10, "hexadecimal": 16, "hex": 16}
_BASED = re.compile(
    r"\(?(?P<digits>[0-9A-Za-z]+)\)?\s*(?:_\s*(?:\{\s*(?:base\s*)?\(?(?P<braced>\w+)\)?\s*\}|(?P<digit>\d+))"
    r"|\s*\(?(?:in\s*)?base\s*(?P<word>\w+)\)?)"
)


def _based(text: str) -> tuple[str, int] | None:
    """Returns the digits and the base of a number that names its base, or None."""
    match = _BASED.fullmatch(TEXT.sub(r"\1", text).strip())
    if match is None:
        return None
    name = (match["braced"] or match["digit"] or match["word"]).lower()
    base = int(name) if name.isascii() and name.isdecimal() and len(name) < 3 else _BASE_NAMES.get(name)
    digits = match["digits"].lower()
    is_number = digits[0].isdigit() or (base is not None and base > 10 and match["digits"].isupper())
    return (digits.lstrip("0") or "0", base) if base is not None and is_number else None


def _bases(pair: Pair, same: Same) -> bool | None:
    gold, answer = _based(pair.gold), _based(pair.answer)
    if gold is None and answer is None:
        return None
    if gold is not None and answer is not None:
        return gold == answer
    digits, other = (gold[0], pair.answer) if gold is not None else (answer[0] if answer else "", pair.gold)
    plain = TEXT.sub(r"\1", other).strip("() ").lower()
    return digits == (plain.lstrip("0") or "0") if plain.isalnum() else None


# ------------------------------------------------------------------------------------------------------ units, times

_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([ap])?\.?\s*(?:m\.?)?", re.I)


def _times(pair: Pair, same: Same) -> bool | None:
    gold, answer = (_TIME.fullmatch(TEXT.sub(r" \1", text).strip()) for text in (pair.gold, pair.answer))
    if gold is None:
        return None
    if answer is None:
        return False if gold[2] == "00" or gold[4] else None
    halves = {(match[4] or "").lower() for match in (gold, answer)} - {""}
    same_digits = [int(digits or 0) for digits in gold.groups()[:3]] == [int(d or 0) for d in answer.groups()[:3]]
    return same_digits and len(halves) < 2


def _units(pair: Pair, same: Same) -> bool | None:
    gold, answer = quantity_of(pair.gold), quantity_of(pair.answer)
    if gold.value == pair.gold and answer.value == pair.answer:
        return None
    return same_unit(gold.unit, answer.unit) and same(gold.value, answer.value)


# -------------------------------------------------------------------------------------------------------- relations

_NAME = re.compile(
    r"(?:\\?[A-Za-z]+|\\(?:mathbb|mathcal|mathrm|text|vec|angle|triangle|overline)\s*\{[^{}]*\})"
    r"(?:'|_\s*(?:\w|\{[^{}]*\}))*(?:\([^()=]*\))?|\([A-Za-z](?:\s*,\s*[A-Za-z])+\)|"
)
_CONSTANT_WORDS = re.compile(r"\\(?:frac|sqrt|pi|infty|cdot|times|text|div|left|right|binom|log|ln)(?![A-Za-z])")
_DOWN, _UP = {"<": "<", r"\le": r"\le"}, {">": "<", r"\ge": r"\le"}
_EQUAL = {"=": "=", r"\approx": "=", r"\in": "="}


def is_name(text: str) -> bool:
    r"""Returns whether a side of an equation names something: `x`, `f(x)`, `a_n`, `(x, y)`, or nothing."""
    return _NAME.fullmatch(text) is not None and text not in (r"\pi", r"\infty")


def is_constant(text: str) -> bool:
    """Returns whether a side of a relation has no variable."""
    return text != "" and not re.search(r"[A-Za-z]", _CONSTANT_WORDS.sub("", TEXT.sub("", text)))


def interval_of(text: str) -> tuple[str, str] | None:
    r"""Returns the variable and the interval of a relation between it and constants: `1 < x \le 2` is `x`, `(1, 2]`."""
    sides, signs = relation_of(text)
    if signs in ((r"\in",), (r"\neq",)) and is_name(sides[0]) and sides[0]:
        held = sides[1] if signs == (r"\in",) else rf"(-\infty, {sides[1]}) \cup ({sides[1]}, \infty)"
        return (sides[0], held) if signs == (r"\in",) or is_constant(sides[1]) else None
    if not signs or not (set(signs) <= set(_DOWN) or set(signs) <= set(_UP)):
        return None
    if set(signs) <= set(_UP):
        sides, signs = sides[::-1], tuple(_UP[sign] for sign in signs[::-1])
    names = [index for index, side in enumerate(sides) if side and is_name(side)]
    if len(sides) > 3 or len(names) != 1 or (len(sides) == 3 and names != [1]):
        return None
    (at,) = names
    below, above = sides[:at], sides[at + 1 :]
    return _interval(sides[at], below, above, signs) if all(map(is_constant, below + above)) else None


def _interval(name: str, below: tuple[str, ...], above: tuple[str, ...], signs: tuple[str, ...]) -> tuple[str, str]:
    """Returns a variable and its interval, given the constants below and above it."""
    left = ("[" if signs[0] == r"\le" else "(") + below[0] if below else r"(-\infty"
    right = above[0] + ("]" if signs[-1] == r"\le" else ")") if above else r"\infty)"
    return name, f"{left}, {right}"


def _is_interval_like(text: str) -> bool:
    """Returns whether a text is written as an interval, a union of them, or a set."""
    parts = parts_of(text)
    return (parts is not None and parts.kind != LIST) or r"\mathbb" in text or r"\emptyset" in text


def _alternatives(text: str) -> str | None:
    r"""Returns the union that relations joined by `or` describe: `x < 1 \text{ or } x > 2`."""
    parts = parts_of(text)
    if parts is None or parts.kind != LIST or not parts.by_or:
        return None
    intervals = [interval_of(item) for item in parts.items]
    found = [each for each in intervals if each is not None]
    if len(found) < len(intervals) or len({name for name, _ in found}) > 1:
        return None
    return r" \cup ".join(interval for _, interval in found)


def _relations(pair: Pair, same: Same) -> bool | None:
    (_, gold_signs), (sides, signs) = relation_of(pair.gold), relation_of(pair.answer)
    is_list = any(parts is not None and parts.kind == LIST for parts in map(parts_of, (pair.gold, pair.answer)))
    if is_list or not (gold_signs or signs):
        return None
    if r"\equiv" in gold_signs + signs:
        return _congruences(pair, same)
    if signs and _contradicts_itself(sides, signs, same):
        return False
    if gold_signs and signs:
        return _two_relations(pair, same)
    if gold_signs:
        return _value_of_gold(pair, same)
    return _value_of_answer(pair, same)


def _two_relations(pair: Pair, same: Same) -> bool | None:
    """Returns the verdict on two relations."""
    gold, answer = interval_of(pair.gold), interval_of(pair.answer)
    (gold_sides, gold_signs), (sides, signs) = relation_of(pair.gold), relation_of(pair.answer)
    if gold is not None and answer is not None:
        return exact_form(gold[0]) == exact_form(answer[0]) and same(gold[1], answer[1])
    if {_EQUAL.get(sign, _UP.get(sign, sign)) for sign in gold_signs} != {
        _EQUAL.get(sign, _UP.get(sign, sign)) for sign in signs
    }:
        return False
    if gold_signs == signs and len(signs) == 1 and signs[0] in (r"\neq", r"\notin"):
        return same(f"{gold_sides[0]}={gold_sides[1]}", f"{sides[0]}={sides[1]}")
    is_assigned = set(gold_signs) | set(signs) <= set(_EQUAL)
    if is_assigned and gold_sides[0] and exact_form(gold_sides[0]) == exact_form(sides[0]) and is_name(sides[0]):
        return same(gold_sides[-1], sides[-1])
    return None


def _value_of_gold(pair: Pair, same: Same) -> bool | None:
    """Returns the verdict on an answer without a relation, where gold has one: `x = 5` and 5."""
    interval = interval_of(pair.gold)
    if interval is not None:
        return same(interval[1], pair.answer) if _is_interval_like(pair.answer) or r"\in" in pair.gold else False
    sides, signs = relation_of(pair.gold)
    if set(signs) <= set(_EQUAL) and is_name(sides[0]):
        return same(sides[-1], pair.answer)
    return False if set(signs) & {r"\neq", r"\notin"} else None


def _value_of_answer(pair: Pair, same: Same) -> bool | None:
    """Returns the verdict on an answer with a relation, where gold has none: 5 and `x = 5`."""
    sides, signs = relation_of(pair.answer)
    if set(signs) <= set(_EQUAL):
        if sides[-1] and is_name(sides[-1]) and not is_name(sides[0]) and not is_name(pair.gold):
            return same(pair.gold, sides[0])
        if signs[-1] == r"\approx" and sides[-2] and not is_name(sides[-2]):
            return same(pair.gold, sides[-2])
        return same(pair.gold, sides[-1])
    interval = interval_of(pair.answer)
    if interval is not None and _is_interval_like(pair.gold):
        return same(pair.gold, interval[1])
    return None if _is_interval_like(pair.gold) and not set(signs) & {r"\neq", r"\notin"} else False


def _contradicts_itself(sides: tuple[str, ...], signs: tuple[str, ...], same: Same) -> bool:
    """Returns whether an equation says that two different constants are equal."""
    constants = [side for side, sign in zip(sides, (*signs, "="), strict=True) if sign == "=" and is_constant(side)]
    return set(signs) == {"="} and any(not same(a, constants[-1]) for a in constants[:-1])


_MODULUS = re.compile(r"\s*\(?\s*\\(?:p|b)?mod(?![A-Za-z])\s*\{?\s*([^{}()]+?)\s*\}?\s*\)?$|\s*\(\s*mod\s+([^()]+)\)$")


def _congruences(pair: Pair, same: Same) -> bool | None:
    """Returns the verdict on congruences: the same residue and modulus; the residue alone is enough on one side."""
    residues, moduli = [], []
    for text in (pair.gold, pair.answer):
        match = _MODULUS.search(TEXT.sub(r"\1", text))
        moduli.append((match[1] or match[2]).strip() if match else None)
        residues.append(_MODULUS.sub("", TEXT.sub(r"\1", text)).rpartition(r"\equiv")[2].strip())
    if None not in moduli and moduli[0] != moduli[1]:
        return False
    return same(residues[0], residues[1])


def _described_sets(pair: Pair, same: Same) -> bool | None:
    """Returns the verdict where relations joined by `or` stand for a union of intervals."""
    gold, answer = _alternatives(pair.gold), _alternatives(pair.answer)
    if gold is not None and answer is not None:
        return same(gold, answer)
    if gold is not None and _is_interval_like(pair.answer):
        return same(gold, pair.answer)
    return same(pair.gold, answer) if answer is not None and _is_interval_like(pair.gold) else None


# ---------------------------------------------------------------------------------------------------------- numbers


_INFINITIES = {r"\infty": 1, r"+\infty": 1, r"-\infty": -1}


def _numbers(pair: Pair, same: Same) -> bool | None:
    infinite = [_INFINITIES.get(text.replace(" ", "")) for text in (pair.gold, pair.answer)]
    gold, answer = exact_value(pair.gold), exact_value(pair.answer)
    if any(infinite) and all(sign or value is not None for sign, value in zip(infinite, (gold, answer), strict=True)):
        return infinite[0] == infinite[1]
    if gold is None or answer is None:
        return None
    if gold == answer:
        return True
    return close(gold, answer) if is_decimal(pair.gold) or is_decimal(pair.answer) else False


def close(gold: Fraction, answer: Fraction) -> bool:
    """Returns whether two numbers, one of them written as a decimal, are equal when rounded."""
    is_small = abs(gold - answer) > MAX_RELATIVE * max(abs(gold), abs(answer))
    return not is_small and round(gold, DECIMALS) == round(answer, DECIMALS)


RULES = (
    Rule(
        "same text",
        "one text in two notations: `1{,}000.50` and `1000.5`, `\\dfrac12` and `\\frac{1}{2}`, `\\text{(B)}` and `B`",
        "units and percent signs, which stay part of the text; a list is no number: `3, 100` and `3100`",
        _same_text,
    ),
    Rule(
        "negation",
        "an answer that negates (`\\neg 18`, `\\text{not } 18`) is not what it negates",
        "a gold answer that negates, too",
        _negation,
    ),
    Rule(
        "words",
        "words are equal as words, without regard to case, blanks and the full stop, never as a product of letters",
        "letters that can be a product of variables: `ab` and `ba`, `xyz`; functions: `\\sin x`",
        _words,
    ),
    Rule(
        "relations joined by or",
        "`x < 1 \\text{ or } x > 2` is a union of intervals",
        "several values: `x = 1 \\text{ or } x = 2` is a list",
        _described_sets,
    ),
    Rule(
        "relations",
        "`x = 5` for 5 and the reverse, `5 = x`; a relation of another sign is another answer; what equates two "
        "different constants is wrong; an inequality in one variable is its interval; congruences have one modulus",
        "equations between expressions (`y = 2x + 3`, `2x - y + 3 = 0`), `x + y = 7` for 7",
        _relations,
    ),
    Rule(
        "lists, sets, tuples",
        "the same kind, as many items, in order where the kind has one; `\\pm` stands for two items",
        "a list without brackets, which may be a set or, in its order, a tuple; unions, which math-verify computes; "
        "series with dots",
        _parts,
    ),
    Rule(
        "percent",
        "p % is p % or p/100, and p where gold is the percentage: gold has the sign, the question speaks of percent, "
        "or gold is above 1",
        "p/100 for a gold p without a sign: 50 is not 0.5",
        _percent,
    ),
    Rule(
        "number bases",
        "digits and base are the same; the base may be left out on one side",
        "the value in another base; variables with an index: `x_2`, `\\log_2 8`",
        _bases,
    ),
    Rule("times", "the same hour and minute, and the same half of the day where both name it", "ratios: `3:4`", _times),
    Rule(
        "units",
        "a unit may be left out on one side; another unit, or another power of it, is wrong",
        "variables: `5m` without a blank, `2\\pi r h`; words that make a statement: `5 \\text{ or more}`",
        _units,
    ),
    Rule(
        "numbers",
        "exact values; where one is a decimal, both rounded to six decimals and within 1e-4 of each other",
        "small numbers, which are not all zero: `10^{-34}` and `10^{-20}`; roots and constants, which have values",
        _numbers,
    ),
)
