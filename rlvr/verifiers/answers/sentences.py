r"""What a sentence says in the end: its formula or number, where nothing marks the answer.

Owns: formulas and numbers in prose, and which of them a sentence denies, bounds or only mentions.
Does not own: marks of an answer such as `\boxed` and "answer is" (`rlvr.verifiers.answers.extraction`).

"It is not 42", "between 40 and 42" and "is at least 42" say no answer. What a comma or "and" joins is one answer.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from rlvr.verifiers.answers.equality.units import is_unit_name
from rlvr.verifiers.answers.notation import TEXT

MAX_LINE_CHARS = 2000  # of a line that states an answer; patterns over it may take quadratic time

FORMULA = re.compile(
    r"(?<!\\)\$\$((?:[^$\\]|\\.)+)\$\$|(?<!\\)\$((?:[^$\\]|\\.)+)\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL
)
NUMBER = re.compile(r"(?:(?<![\w.)])[-+])?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?%?")
_WORD = re.compile(r"[A-Za-z]{2,}")
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{[a-z*]+\}|\\[A-Za-z]+")
_BREAK = re.compile(r"(?<!\\)[.!?](?=\s|$)|\n")
_JOINED = re.compile(r"[\s*]*(?:,|;|,?\s*\band\b|,?\s*\bor\b)[\s*]*")
_RANGED = re.compile(r"\s*(?:\bto\b|\bthrough\b|[-\N{EN DASH}]|\bup to\b)\s*")
_DENIED = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot|without|except|unlike|instead of|rather than|other than|wrong|incorrect)\b"
    r"|n't\b)(?!\s+only)[^,;:]{0,60}$",
    re.IGNORECASE,
)
_BOUNDED = re.compile(
    r"(?:\b(?:between|from)\b[^,;:.]{0,20}|(?:\b(?:is|are|be|was|lies|must|equals?)\b[^,;:.\d]{0,12}|^\s*)"
    r"\b(?:at (?:least|most)|(?:more|less|greater|larger|smaller|fewer|bigger|higher|lower) than|above|below|under|over"
    r"|up to))\s*$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"\s*(?:is|was|would be)\s+(?:not\b|wrong\b|incorrect\b|false\b|impossible\b)|\s*(?:is|was)n't\b"
)
_MENTIONED = re.compile(
    r"(?:\b(?:about|approximately|roughly|around|i\.e\.|nearly)\s*|\\approx\s*|[(\[][^)\]]*|\b(?:step|section|part|problem|question"
    r"|equation|figure|case|line|chapter|page|example)\s*\(?)$",
    re.IGNORECASE,
)
_SAID = re.compile(r"(?:\b(?:is|are|be|equals?|equal to|gives?|get|obtain|have)\b|:)\s*:?\s*(?P<rest>[^:]*)$")
_LOOSE = re.compile(r"[\\^_=(){}\[\]+*/<>,]")


@dataclass(frozen=True)
class Said:
    """A formula or number in a text.

    Attributes:
        text: of the formula, with a percent sign or a unit that follows it.
        start, end: where it stands.
        is_formula: whether it is marked as a formula.
    """

    text: str
    start: int
    end: int
    is_formula: bool


def first_said(sentence: str) -> Said | None:
    """Returns the first answer of a statement (what follows "answer is"), or None where it states none."""
    return next(iter(_answers(sentence, 0, len(sentence), formulas_of(sentence))), None)


def last_said(text: str) -> Said | None:
    """Returns the last answer of the last sentence that has a formula or a number, or None where it denies them all."""
    tail = text[-MAX_LINE_CHARS:]
    formulas = formulas_of(tail)
    hidden = [(each.start, each.end) for each in formulas]
    breaks = [m.end() for m in _BREAK.finditer(tail) if not any(a < m.start() < b for a, b in hidden)]
    edges = [0, *breaks, len(tail)]
    for start, end in reversed(list(pairwise(edges))):
        if any(start <= each.start < end for each in _all_said(tail, start, end, formulas)):
            found = _answers(tail, start, end, formulas)
            return _preferred(tail, start, found)
    return None


def last_number(text: str) -> Said | None:
    """Returns the last number of a text that its sentence does not deny, or None."""
    said = last_said(text)
    numbers = list(NUMBER.finditer(text[-MAX_LINE_CHARS:]))
    if said is None or not numbers:
        return None
    if not said.is_formula:
        return said
    return Said(numbers[-1][0].rstrip(","), numbers[-1].start(), numbers[-1].end(), is_formula=False)


def formulas_of(text: str) -> list[Said]:
    """Returns the formulas of a text; dollar signs around prose are money."""
    found, position = list[Said](), 0
    while match := FORMULA.search(text, position):
        content = next(group for group in match.groups() if group is not None)
        is_prose = _WORD.search(_COMMAND.sub(" ", TEXT.sub("", content))) and " " in content.strip()
        is_money = re.match(r"\d", content) and content[-1] in " ,"
        if match[2] is not None and (is_prose or is_money):
            position = match.start() + 1
            continue
        text_of, end = _with_unit(text, content.strip().rstrip(".,;").strip(), match.end())
        found.append(Said(text_of, match.start(), end, is_formula=True))
        position = end
    return [each for each in found if each.text]


def _with_unit(text: str, value: str, end: int) -> tuple[str, int]:
    """Returns a value with the percent sign or the unit that follows it, and where that ends."""
    match = re.match(r"\s*(?:(\\?%|percent\b)|([A-Za-z]+)((?:\^\{?\d\}?)?))", text[end : end + 40])
    if match is None:
        return value, end
    if match[1]:
        return f"{value}\\%", end + match.end()
    if is_unit_name(match[2]):
        return rf"{value} \text{{ {match[2]}}}{match[3]}", end + match.end()
    return value, end


def _all_said(text: str, start: int, end: int, formulas: list[Said]) -> list[Said]:
    """Returns the formulas of a sentence, and the numbers outside of them, in order."""
    inside = [each for each in formulas if start <= each.start < end]
    found = list(inside)
    for match in NUMBER.finditer(text, start, end):
        if not any(each.start <= match.start() < each.end for each in inside):
            value, last = _with_unit(text, match[0].rstrip(","), match.start() + len(match[0].rstrip(",")))
            found.append(Said(value, match.start(), last, is_formula=False))
    return sorted(found, key=lambda each: each.start)


def _answers(text: str, start: int, end: int, formulas: list[Said]) -> list[Said]:
    """Returns what a sentence states: joined values are one answer; what is denied or bounded is none."""
    if loose := _loose(text[start:end], start):
        return [loose] if not _is_denied(text[start : loose.start]) else []
    groups: list[list[Said]] = []
    for each in _all_said(text, start, end, formulas):
        between = text[groups[-1][-1].end : each.start] if groups else ""
        if groups and (_JOINED.fullmatch(between) or _RANGED.fullmatch(between)):
            groups[-1].append(each)
        else:
            groups.append([each])
    answers = []
    for before, group in zip([None, *groups], groups, strict=False):
        lead = text[before[-1].end if before else start : group[0].start]
        is_range = any(_RANGED.fullmatch(text[a.end : b.start]) for a, b in pairwise(group))
        if not (is_range or _is_denied(lead) or _DENIED_AFTER.match(text[group[-1].end : end])):
            answers.append(_joined(text, group))
    return answers


def is_denial(sentence: str) -> bool:
    """Returns whether a statement begins with a denial: "n't 42", "not 42"."""
    return re.match(r"\s*(?:n't|(?:definitely |certainly )?(?:not|never))\b", sentence) is not None


def _is_denied(lead: str) -> bool:
    """Returns whether the words before a value deny it, or only bound it."""
    return bool(_DENIED.search(lead) or _BOUNDED.search(lead))


def _joined(text: str, group: list[Said]) -> Said:
    """Returns values that are joined as one list, without what the last one denies."""
    kept = [
        each
        for index, each in enumerate(group)
        if index == 0 or not _DENIED.search(text[group[index - 1].end : each.start])
    ]
    return Said(", ".join(each.text for each in kept), kept[0].start, kept[-1].end, kept[-1].is_formula)


def _preferred(text: str, start: int, answers: list[Said]) -> Said | None:
    """Returns the last answer that is more than mentioned, else the last one."""
    stated = [each for each in answers if not _MENTIONED.search(text[start : each.start])]
    return (stated or answers)[-1] if answers else None


def _loose(sentence: str, offset: int) -> Said | None:
    r"""Returns the formula that stands at a sentence's end without dollar signs: `the result is \frac{1}{2}`."""
    match = _SAID.search(sentence.rstrip(" .*"))
    if match is None or "$" in match["rest"] or r"\(" in match["rest"] or r"\[" in match["rest"]:
        return None
    rest = match["rest"].strip(" *")
    words = _WORD.search(_COMMAND.sub(" ", TEXT.sub("", rest)))
    if words or not _LOOSE.search(rest) or not re.search(r"[\dA-Za-z]", rest):
        return None
    return Said(rest, offset + match.start("rest"), offset + match.end("rest"), is_formula=True)
