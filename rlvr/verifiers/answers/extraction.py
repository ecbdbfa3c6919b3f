r"""Where an answer stands in a completion.

Owns: which part of a completion is its answer, the forms in which an answer is stated, for every verifier of a final
answer, and the text of a gold answer.
Does not own: whether two answers are the same (`rlvr.verifiers.answers.equality.rules`, each verifier), programs
(`rlvr.verifiers.code.tests`).

`answer_part` takes off a completion's reasoning, for all verifiers. `find_answer` reads formulas, for `math`: in the
form that the prompt asks for, else in any other. `final_text` reads prose, for `choice`, `exact` and `numeric`: a line
that is marked, else the last one. `FORMULAS` and `PROSE` hold all that sets the two apart within a statement. A
sentence without a mark is read by `rlvr.verifiers.answers.sentences`. Extraction is linear in the length of the text,
since a model can write anything.
"""

import re
from collections import deque
from enum import StrEnum
from typing import NamedTuple

from rlvr.problems import Problem
from rlvr.verifiers.answers.notation import text_commands
from rlvr.verifiers.answers.sentences import MAX_LINE_CHARS, first_said, formulas_of, is_denial, last_number, last_said

DECORATION = " \t\r\n*`\"'"
HASHES = "####"
MAX_NAME_CHARS = 20  # before a box

_WORD = re.compile(r"[A-Za-z]{2,}")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_ESCAPED_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_TEXT = text_commands("textit", "mathrm", "mathbf")
_BETWEEN_BOXES = re.compile(
    r"(?:[\s$,;&.]|\\[()\[\]]|\\q?quad|\band\b|\bor\b|\\text\s*\{[ ,]*(?:and|or)[ ,]*\}|[A-Za-z]\w{0,2}\s*=)*"
)
_NAMED = re.compile(r"(?:^|[\s$,(\[])([A-Za-z]\w{0,2})\s*=\s*$")
_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"


class Think(StrEnum):
    """Where the reasoning of a completion stands.

    `on`: between `<think>` and `</think>`, where there are any; `open`: as `on`, and the prompt has opened it; `off`:
    these tags mean nothing.
    """

    ON = "on"
    OPEN = "open"
    OFF = "off"


class Form(StrEnum):
    r"""How a completion states its answer.

    `boxed`: the last `\boxed{...}` with balanced braces; `hash`: the last `#### x`; `stated`: the last "answer is ..."
    or "answer: ..."; `formula`: the last formula, or the last number where no formula follows it; `number`: the last
    number. What a sentence denies (`not 42`) or bounds (`between 40 and 42`) is none of them.
    """

    BOXED = "boxed"
    HASH = "hash"
    STATED = "stated"
    FORMULA = "formula"
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


def answer_part(completion: str, think: Think = Think.ON) -> str | None:
    """Returns the part of a completion that may be its answer: what follows the last `</think>`.

    None where reasoning was begun and not ended: nothing of such a completion is an answer.
    """
    if think is Think.OFF:
        return completion
    _, closed, rest = completion.rpartition(_THINK_CLOSE)
    is_open = _THINK_OPEN in rest or (think is Think.OPEN and not closed)
    return None if is_open else rest


def gold_text(problem: Problem) -> str:
    r"""Returns the gold answer; a worked solution is reduced to its last `\boxed{...}`, with those joined to it."""
    return joined_boxed(problem.answer) or problem.answer


def find_answer(completion: str, asked: Form = Form.BOXED) -> Found | None:
    """Returns the answer in the form asked for, else in the first other form that there is, else None.

    A statement that denies its answer is not followed by a search for another.
    """
    for form in (asked, *(form for form in Form if form is not asked)):
        if form is Form.STATED and _denies(completion):
            return None
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
    boxes = boxes_of(text)
    return boxes[-1][2] if boxes else None


def all_boxed(text: str) -> list[str]:
    r"""Returns what stands in the boxes of a text, each content once."""
    return list(dict.fromkeys(content for _, _, content in boxes_of(text)))


def boxes_of(text: str) -> list[tuple[int, int, str]]:
    r"""Returns start, end and content of each `\boxed{...}` that is closed, not empty and holds no other, in order."""
    starts = {match.end(): match.start() for match in _BOX.finditer(text)}
    if not starts:
        return []
    found, open_braces = list[tuple[int, int, str]](), list[int]()
    for match in _ESCAPED_OR_BRACE.finditer(text):
        if match[0] == "{":
            open_braces.append(match.end())
        elif match[0] == "}" and open_braces:
            start = open_braces.pop()
            content = text[start : match.start()].strip()
            if start in starts and content and not (found and found[-1][0] >= start):
                found.append((starts[start], match.end(), content))
    return found


def joined_boxed(text: str) -> str | None:
    """Returns the last box with those before it that only separators set apart, as a list, or None without a box.

    Names stay where each box has one: `x = 1, y = 2`.
    """
    boxes = boxes_of(text)
    contents, names = list[str](), list[str]()
    for index in range(len(boxes) - 1, -1, -1):
        before = text[boxes[index - 1][1] if index else 0 : boxes[index][0]]
        named = _NAMED.search(before[-MAX_NAME_CHARS:])
        contents.insert(0, boxes[index][2])
        names.insert(0, named[1] if named else "")
        if not _BETWEEN_BOXES.fullmatch(before):
            break
    if all(names) and len(set(names)) == len(names) > 1:
        contents = [f"{name}={content}" for name, content in zip(names, contents, strict=True)]
    return ", ".join(dict.fromkeys(contents)) or None


def _marked(text: str) -> str | None:
    """Returns the rest of the line after the last `####`, or None."""
    start = text.rfind(HASHES)
    return _line_after(text, start + len(HASHES)).strip() if start >= 0 else None


def _statement(text: str) -> str:
    """Returns the rest of the line after the last "answer is" or "answer:", or an empty text."""
    ends = [match.end() for match in FORMULAS.mark.finditer(text)]
    return _line_after(text, ends[-1], FORMULAS.between).strip()[:MAX_LINE_CHARS] if ends else ""


def _stated(text: str) -> str | None:
    """Returns what follows the last "answer is" or "answer:": a formula, the number in a sentence, or the words."""
    line = _statement(text)
    formulas = formulas_of(line)
    sentence = first_sentence(line, FORMULAS)
    if not (formulas or is_denial(sentence)) and ("\\" in sentence or not _WORD.search(sentence)):
        return sentence
    said = first_said(line if formulas else sentence)
    if said is not None:
        return said.text
    return None if re.search(r"\d", sentence) else sentence


def _denies(text: str) -> bool:
    """Returns whether the last statement of an answer says what it is not, and not what it is."""
    line = _statement(text)
    return is_denial(line) and not _stated(text)


def _line_after(text: str, start: int, skipped: str = "") -> str:
    """Returns the rest of a line from `start` on, or of the line that follows where its end is skipped, too."""
    return text[start:].lstrip(skipped).partition("\n")[0]


def _last_formula(text: str) -> str | None:
    """Returns what the last sentence with a formula or a number says, or None."""
    said = last_said(text)
    return said.text if said and said.is_formula else None


def _last_number(text: str) -> str | None:
    """Returns the last number of a text, or None."""
    said = last_number(text)
    return said.text if said else None


_FINDERS = {
    Form.BOXED: last_boxed,
    Form.HASH: _marked,
    Form.STATED: _stated,
    Form.FORMULA: _last_formula,
    Form.NUMBER: _last_number,
}
