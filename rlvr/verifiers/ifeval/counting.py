"""Counting: what the instructions count in a text.

Owns: what a word, a sentence, a paragraph, a bullet, a highlight, a placeholder and a title are.
Does not own: how many are asked for (`rlvr.verifiers.ifeval.instructions`).

Each takes time in proportion to the text, whatever stands in it. The published checks have NLTK's models, which are
downloaded, for sentences and for words in capitals; both are counted by rules here.
"""

import re

MAX_ABBREVIATION = 12  # characters before a full stop that are looked at
ABBREVIATIONS = frozenset(
    (
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "rev",
        "hon",
        "sr",
        "jr",
        "st",
        "vs",
        "e.g",
        "i.e",
        "cf",
        "al",
        "inc",
        "ltd",
        "fig",
    )
)

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"[^\W_]+(?:[-'’.&][^\W_]+)*")  # noqa: RUF001
_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]*_]*+(?=\s|\Z)|[。！？]++[」』”’）]*+")  # noqa: RUF001 - as texts have them
_LAST = re.compile(r"(?:^|[\s(\[\"'“‘*_])([\w.]+)\Z")  # noqa: RUF001
_NUMBERED = re.compile(r"(?:^|\n)[^\S\n]*\d{1,3}\Z")
_HIGHLIGHT = re.compile(r"\*[^\n*]*\*")
_DOUBLE_HIGHLIGHT = re.compile(r"\*\*[^\n*]*\*\*")


def num_words(text: str) -> int:
    """Returns the number of runs of letters, digits and underscores, as published."""
    return sum(1 for _ in _WORD.finditer(text))


def num_capital_words(text: str) -> int:
    """Returns the number of words in capitals; what a hyphen, an apostrophe, a full stop or an `&` joins is one."""
    return sum(token[0].isupper() for token in _TOKEN.finditer(text))


def num_sentences(text: str) -> int:
    """Returns the number of sentences.

    One ends at `.`, `!`, `?` or an ellipsis before a space or the end of the text, and at the marks of Chinese and
    Japanese. A full stop ends none after an abbreviation, an initial or the number of a list's item, nor before a small
    letter. What follows the last end is a sentence, if it has a word.
    """
    count, start, has_word = 0, 0, False
    for end in _END.finditer(text):
        has_word = has_word or _WORD.search(text, start, end.start()) is not None
        start = end.end()
        if has_word and _ends(text, end):
            count, has_word = count + 1, False
    return count + (has_word or _WORD.search(text, start) is not None)


def _ends(text: str, end: re.Match[str]) -> bool:
    """Returns whether a mark ends a sentence."""
    following = text[end.end() : end.end() + 20].lstrip()
    if end[0] != "." or not following:
        return True
    before = text[max(0, end.start() - MAX_ABBREVIATION) : end.start()]
    last = _LAST.search(before)
    is_short = last is not None and (last[1].lower() in ABBREVIATIONS or (len(last[1]) == 1 and last[1].isupper()))
    return not (is_short or following[0].islower() or _NUMBERED.search(before))


def marked_paragraphs(text: str) -> int | None:
    """Returns the number of paragraphs between `***`; None where one between two others is empty."""
    return _between(text, "***")


def two_responses(text: str) -> bool:
    """Returns whether a text has two different parts between `******`, and no third or empty one."""
    parts = [part.strip() for part in text.split("******")]
    filled = [part for part in parts if part]
    return _between(text, "******") == 2 and filled[0] != filled[1]


def _between(text: str, mark: str) -> int | None:
    """Returns the number of parts between marks; the first and the last may be empty and do not count then."""
    filled = [bool(part.strip()) for part in text.split(mark)]
    return sum(filled) if all(filled[1:-1]) else None


def paragraphs(text: str) -> list[str]:
    """Returns the parts between blank lines, stripped, empty ones too."""
    return [part.strip() for part in text.split("\n\n")]


def first_word(paragraph: str) -> str:
    """Returns the first word in small letters, without quotes before it, up to its first punctuation mark."""
    word = paragraph.split(maxsplit=1)[0].lstrip("'").lstrip('"') if paragraph else ""
    return re.split(r"[.,?!'\"]", word, maxsplit=1)[0].lower()


def num_bullets(text: str) -> int:
    """Returns the number of lines that begin with `-`, or with one `*` before something."""
    lines = [line.lstrip() for line in text.split("\n")]
    return sum(line.startswith("-") or (line[:1] == "*" and line[1:2] not in ("", "*")) for line in lines)


def num_highlights(text: str) -> int:
    """Returns the number of parts in `*single*` and in `**double**` asterisks that hold something."""
    single = sum(bool(found[0].strip("*").strip()) for found in _HIGHLIGHT.finditer(text))
    double = sum(bool(found[0][2:-2].strip()) for found in _DOUBLE_HIGHLIGHT.finditer(text))
    return single + double


def num_sections(text: str, splitter: str) -> int:
    """Returns how often the splitter stands before a number."""
    return sum(1 for _ in re.finditer(rf"{re.escape(splitter)}\s?\d+", text))


def num_placeholders(text: str) -> int:
    """Returns the number of parts in square brackets, each on one line."""
    count = 0
    for line in text.split("\n"):
        start = line.find("[")
        while start >= 0 and (end := line.find("]", start)) >= 0:
            count, start = count + 1, line.find("[", end)
    return count


def has_title(text: str) -> bool:
    """Returns whether a line has something in double angle brackets."""
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if start >= 0 and start + 2 < end and line[start:end].lstrip("<").rstrip(">").strip():
            return True
    return False
