r"""The parts of an answer: lists, sets, tuples, intervals, unions, chains of relations.

Owns: how a tidy text falls into parts, and what kind of whole they make.
Does not own: whether parts are equal (`rlvr.verifiers.answers.equality.rules`), notation within a part
(`rlvr.verifiers.answers.notation`).

Text is cut at depth 0 only: outside of brackets, braces and environments. All of it is linear in the length.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

LIST, SET, UNION = "list", r"\{\}", "union"

_TOKEN = re.compile(r"\\(?:begin|end)\s*\{[a-z*]+\}|\\[A-Za-z]+|\\.|[()\[\]{}]", re.DOTALL)
_OPENING = ("(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil")
_CLOSING = (")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil")
_TEXT_WORD = r"\\(?:text|mbox|textrm|mathrm)\s*\{{\s*,?\s*(?:{0})\s*\}}|(?<![A-Za-z\\])(?:{0})(?![A-Za-z])"
_AND, _OR = _TEXT_WORD.format("and"), rf"{_TEXT_WORD.format('or')}|\\(?:lor|vee)(?![A-Za-z])"
_JOIN = re.compile(rf"\s*[,;]?\s*(?:{_AND}|{_OR})\s*|\s*[,;]\s*")
_OR_JOIN = re.compile(rf"\s*,?\s*(?:{_OR})\s*")
_CUP = re.compile(r"\\cup(?![A-Za-z])")
_GROUPED = re.compile(r"(?<![\d,])\d{1,3}(?:,\d{3})+(?![\d,])")
_DIGIT_GROUP = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_RELATION = re.compile(r"\\(?:neq|le|ge|in|notin|approx|equiv|sim|cong|simeq)(?![A-Za-z])|[<>=]")
_DOTS = re.compile(r"\\[lcv]?dots[bcmio]?(?![A-Za-z])|\.\.\.")
_PLUS_MINUS = re.compile(r"\\(?:pm|mp)(?![A-Za-z])")


@dataclass(frozen=True)
class Parts:
    r"""A whole of several parts.

    Attributes:
        kind: `LIST` (nothing around it), `SET`, `UNION`, or its two brackets, as in `()` and `[)`.
        items: the parts, tidy.
        by_or: whether only the word `or` joins them.
    """

    kind: str
    items: tuple[str, ...]
    by_or: bool = False


@lru_cache(maxsize=65536)
def parts_of(text: str) -> Parts | None:
    r"""Returns the parts of a tidy text, or None of what is one thing.

    `\pm` in a list or a set stands for two items. A text with dots (`1, 2, \ldots`) is one thing.
    """
    if _DOTS.search(text):
        return None
    union = _cut(text, _CUP)
    if len(union) > 1:
        return Parts(UNION, tuple(union))
    brackets = _around(text)
    if brackets is not None:
        kind, inside = brackets
        items = _items(inside)
        if kind == SET:
            return Parts(SET, _signed(items)) if inside.strip() else Parts(SET, ())
        return Parts(kind, tuple(items)) if len(items) > 1 else None
    items = _items(_GROUPED.sub(lambda number: number[0].replace(",", ""), text))
    items = items if len(items) == 1 else _items(text)
    if len(items) > 1 or _PLUS_MINUS.search(text):
        signed = _signed(items)
        by_or = len(items) > 1 and len(_cut(text, _OR_JOIN)) == len(items)
        return Parts(LIST, signed, by_or) if len(signed) > 1 else None
    return None


@lru_cache(maxsize=65536)
def relation_of(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    r"""Returns the sides of a chain of relations and the signs between them: `1 < x \le 2` has three and two."""
    depths = _depths(text)
    signs = [match for match in _RELATION.finditer(text) if depths[match.start()] == 0]
    edges = [0, *(edge for match in signs for edge in match.span()), len(text)]
    sides = tuple(text[a:b].strip() for a, b in zip(edges[::2], edges[1::2], strict=True))
    return sides, tuple(match[0] for match in signs)


def depth_of(text: str) -> int:
    """Returns how deeply brackets and braces are nested."""
    return max(_depths(text), default=0)


def _items(text: str) -> list[str]:
    """Returns what separators join; beside a separator with a blank, a comma without one is within a number."""
    hidden = text
    if re.search(r"[,;]\s|\band\b|\bor\b", text):  # groups have no space: 1,000, 2,000
        hidden = _DIGIT_GROUP.sub("", text)
    return _cut(hidden, _JOIN)


def _cut(text: str, separator: re.Pattern[str]) -> list[str]:
    """Returns the parts between separators at depth 0."""
    depths = _depths(text)
    parts, start = [], 0
    for match in separator.finditer(text):
        if depths[match.start()] == 0 and match.start() >= start:
            parts.append(text[start : match.start()].strip())
            start = match.end()
    parts = [*parts, text[start:].strip()]
    return [part for part in parts if part] if len(parts) > 1 else parts


def _signed(items: list[str]) -> tuple[str, ...]:
    r"""Returns the items, two for each with one `\pm`; a second sign of its own is left alone."""
    found: list[str] = []
    for item in items:
        signs = _PLUS_MINUS.findall(item)
        if r"\{" not in item and (len(signs) == 1 or set(signs) == {r"\pm", r"\mp"}):
            for plus, minus in (("+", "-"), ("-", "+")):
                signed = re.sub(r"\\pm(?![A-Za-z])", f" {plus} ", item)
                found.append(re.sub(r"\s+", " ", re.sub(r"\\mp(?![A-Za-z])", f" {minus} ", signed)).strip())
        else:
            found.append(item)
    return tuple(found)


def _around(text: str) -> tuple[str, str] | None:
    """Returns the kind of the brackets around a whole text and what stands in them, or None."""
    for left, rights in (("(", ")]"), ("[", ")]"), (r"\{", (r"\}",)), (r"\langle", (r"\rangle",))):
        for right in rights:
            if text.startswith(left) and text.endswith(right) and len(text) >= len(left + right):
                inside = text[len(left) : -len(right)]
                if min(_balance(inside), default=0) >= 0:
                    kind = {r"\{": SET, r"\langle": "()"}.get(left, left + right)
                    return kind, inside.strip()
    return None


def _balance(text: str) -> list[int]:
    """Returns the depth after each token, negative where more is closed than opened."""
    depth, found = 0, []
    for match in _TOKEN.finditer(text):
        depth += _step(match[0])
        found.append(depth)
    return found


def _depths(text: str) -> list[int]:
    """Returns the depth at each character, and after the last."""
    depths, depth, position = list[int](), 0, 0
    for match in _TOKEN.finditer(text):
        step = _step(match[0])
        depths += [depth] * (match.start() - position)
        depth = max(0, depth + step)
        depths += [depth if step > 0 else depth - step if step else depth] * len(match[0])
        position = match.end()
    return depths + [depth] * (len(text) - position + 1)


def _step(token: str) -> int:
    """Returns by how much a token changes the depth."""
    if token in _OPENING or token.startswith(r"\begin"):
        return 1
    return -1 if token in _CLOSING or token.startswith(r"\end") else 0
