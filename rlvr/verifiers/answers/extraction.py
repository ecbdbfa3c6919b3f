r"""Where an answer stands in a completion.

Owns: the forms in which an answer is stated, for every verifier of a final answer, and the text of a gold answer.
Does not own: whether two answers are the same (`rlvr.verifiers.answers.notation`, each verifier), programs
(`rlvr.verifiers.code_tests`).

`find_answer` reads formulas, for `math`: in the form that the prompt asks for, else in any other. `final_text` reads
prose, for `choice`, `exact` and `numeric`: a line that is marked, else the last one. `FORMULAS` and `PROSE` hold all
that sets the two apart within a statement. Extraction is linear in the length of the text, since a model can write
anything.
"""

import re
from collections import deque
from enum import StrEnum
from typing import NamedTuple

from rlvr.problems import Problem
from rlvr.verifiers.answers.notation import text_commands

MAX_LINE_CHARS = 2000  # of a line that states an answer; patterns over it may take quadratic time
DECORATION = " \t\r\n*`\"'"
HASHES = "####"

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_ESCAPED_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_FORMULA = re.compile(r"(?<!\\)\$+((?:[^$\\]|\\.)+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_WORD = re.compile(r"[A-Za-z]{2,}")
_NUMBER = re.compile(r"(?:(?<![\w.)])[-+])?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?%?")
_TEXT = text_commands("textit", "mathrm", "mathbf")


class Form(StrEnum):
    r"""How a completion states its answer.

    `boxed`: the last `\boxed{...}` with balanced braces; `hash`: the last `#### x`; `stated`: the last "answer is ..."
    or "answer: ..."; `number`: the last number.
    """

    BOXED = "boxed"
    HASH = "hash"
    STATED = "stated"
    NUMBER = "number"


class Found(NamedTuple):
    """An answer and the form in which it was found; None of a last line that nothing marks."""

    form: Form | None
    text: str


class Reading(NamedTuple):
    """How a statement is read.

    Attributes:
        mark: what an answer follows.
        between: characters that are skipped between the two.
        sentence_end: what ends a sentence.
        around: characters around a sentence that are not part of it.
    """

    mark: re.Pattern[str]
    between: str
    sentence_end: re.Pattern[str]
    around: str


def _answer_is(blank: str, most: str) -> str:
    """Returns a pattern of "answer is", "answer:" and "answer =", with at most so many blanks between its parts."""
    return rf"\banswer[\s*]{most}(?:is{blank}{most}:?|:|=)"


FORMULAS = Reading(
    mark=re.compile(_answer_is(blank=r"\s", most="*"), re.IGNORECASE),
    between=" \t*",
    sentence_end=re.compile(r"(?<!\\)[.!?](?=\s|$)"),  # `\!` is a space
    around=" *`\"'",
)
PROSE = Reading(
    mark=re.compile(HASHES + "|" + _answer_is(blank=r"[ \t]", most="{0,20}"), re.IGNORECASE),
    between=DECORATION,
    sentence_end=re.compile(r"[.!?](?=\s|$)"),
    around=DECORATION,
)


def gold_text(problem: Problem) -> str:
    r"""Returns the gold answer; a worked solution is reduced to its `\boxed{...}`."""
    return last_boxed(problem.answer) or problem.answer


def find_answer(completion: str, asked: Form = Form.BOXED) -> Found | None:
    """Returns the answer in the form asked for, else in the first other form that there is, else None."""
    for form in (asked, *(form for form in Form if form is not asked)):
        if text := _FINDERS[form](completion):
            return Found(form, text)
    return None


def final_text(completion: str) -> Found | None:
    r"""Returns the final text of a completion, at most `MAX_LINE_CHARS` of it, or None of an empty one.

    In this order: the last `\boxed{...}`, the rest of the line after the last `####`, "answer is" or "answer:" that is
    followed by something, the last line that is not blank. `\text{...}` around words is taken off.
    """
    boxed = last_boxed(completion)
    if boxed is not None:
        return Found(Form.BOXED, bare(boxed))
    for mark in reversed(deque(PROSE.mark.finditer(completion), maxlen=2)):
        line = bare(_line_after(completion, mark.end(), PROSE.between))
        if line:
            return Found(Form.HASH if mark[0] == HASHES else Form.STATED, line)
    last = bare(completion.strip().rpartition("\n")[2])
    return Found(None, last) if last else None


def bare(text: str) -> str:
    r"""Returns a text without `\text{...}`, dollar signs of formulas, quotes and asterisks around it."""
    unwrapped = _TEXT.sub(r"\1", text[:MAX_LINE_CHARS]).strip(DECORATION)
    for left, right in (("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        if unwrapped.startswith(left) and unwrapped.rstrip(".").endswith(right) and len(unwrapped) > len(left + right):
            unwrapped = unwrapped.rstrip(".").removeprefix(left).removesuffix(right)
    return unwrapped.strip(DECORATION)


def first_sentence(text: str, reading: Reading = PROSE) -> str:
    """Returns a text up to its first full stop, without it and what stands around it."""
    return reading.sentence_end.split(text, maxsplit=1)[0].strip(reading.around)


def last_boxed(text: str) -> str | None:
    r"""Returns what stands in the last `\boxed{...}` that is closed and not empty, or None."""
    starts = {match.end() for match in _BOX.finditer(text)}
    if not starts:
        return None
    found, open_braces = (0, 0), list[int]()
    for match in _ESCAPED_OR_BRACE.finditer(text):
        if match[0] == "{":
            open_braces.append(match.end())
        elif match[0] == "}" and open_braces:
            start = open_braces.pop()
            if start in starts and text[start : match.start()].strip():
                found = max(found, (start, match.start()))
    return text[found[0] : found[1]].strip() or None


def _marked(text: str) -> str | None:
    """Returns the rest of the line after the last `####`, or None."""
    start = text.rfind(HASHES)
    return _line_after(text, start + len(HASHES)).strip() if start >= 0 else None


def _stated(text: str) -> str | None:
    """Returns what follows the last "answer is" or "answer:": a formula, the number in a sentence, or the words."""
    ends = [match.end() for match in FORMULAS.mark.finditer(text)]
    line = _line_after(text, ends[-1], FORMULAS.between).strip()[:MAX_LINE_CHARS] if ends else ""
    formula = _FORMULA.search(line)
    if formula:
        return next(group for group in formula.groups() if group is not None).strip()
    sentence = first_sentence(line, FORMULAS)
    if "\\" in sentence or not _WORD.search(sentence):
        return sentence
    return _last_number(sentence) or sentence


def _line_after(text: str, start: int, skipped: str = "") -> str:
    """Returns the rest of a line from `start` on, or of the line that follows where its end is skipped, too."""
    return text[start:].lstrip(skipped).partition("\n")[0]


def _last_number(text: str) -> str | None:
    """Returns the last number of a text, or None."""
    numbers = _NUMBER.findall(text)
    return numbers[-1].rstrip(",") if numbers else None


_FINDERS = {Form.BOXED: last_boxed, Form.HASH: _marked, Form.STATED: _stated, Form.NUMBER: _last_number}
