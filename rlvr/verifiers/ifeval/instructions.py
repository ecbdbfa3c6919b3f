"""Instructions: the 25 kinds of google/IFEval, what each takes, and whether a text follows it.

Owns: names and arguments as they are published, and the checks.
Does not own: what is counted (`rlvr.verifiers.ifeval.counting`), several instructions at once and loose accuracy
(`rlvr.verifiers.ifeval.verifier`).

Keywords, markers and splitters are taken as they stand, where the published checks read them as regular expressions: a
row cannot make a check slow, and the published rows have none that differ.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rlvr.problems import Problem
from rlvr.verifiers.ifeval import counting
from rlvr.verifiers.ifeval.language import LANGUAGES, PACKAGE, is_installed, language_of

RELATIONS = ("less than", "at least")
CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCE = re.compile(r"\A```(?:json)?", re.IGNORECASE)

Reader = Callable[[Any], Any]


@dataclass(frozen=True)
class Instruction:
    """A kind of instruction.

    Attributes:
        check: (text, arguments by name) -> whether the text follows it.
        takes: what reads each argument; a reader raises `ValueError` with what it expects.
        needs_language: whether the check must tell languages.
    """

    check: Callable[..., bool]
    takes: Mapping[str, Reader] = field(default_factory=dict)
    needs_language: bool = False


@dataclass(frozen=True)
class Asked:
    """An instruction with its arguments."""

    name: str
    instruction: Instruction
    arguments: Mapping[str, Any]

    def is_followed(self, text: str) -> bool:
        """Returns whether a text follows it; a text without content follows none."""
        return bool(text.strip()) and self.instruction.check(text, **self.arguments)


def asked_of(problem: Problem) -> list[Asked]:
    """Returns the instructions of a problem.

    Raises:
        ValueError: `instruction_id_list` or `kwargs` are not in the published form, or a package is missing.
    """
    names, arguments = problem.meta.get("instruction_id_list"), problem.meta.get("kwargs")
    if not isinstance(names, list) or not names:
        raise ValueError("meta.instruction_id_list is no list of instructions")
    if not isinstance(arguments, list) or len(arguments) != len(names):
        raise ValueError("meta.kwargs is no list of as many objects as there are instructions")
    return [_asked(name, given) for name, given in zip(names, arguments, strict=True)]


def _asked(name: Any, given: Any) -> Asked:
    """Returns one instruction; of the arguments given, those that it does not take are null, as published."""
    instruction = INSTRUCTIONS.get(name) if isinstance(name, str) else None
    if instruction is None:
        raise ValueError(f"{name!r:.80} is no instruction of IFEval")
    if not isinstance(given, Mapping | None):
        raise ValueError(f"the kwargs of {name} are no object")
    if instruction.needs_language and not is_installed():
        raise ValueError(f"{name} needs {PACKAGE}: pip install 'rlvr[ifeval]'")
    found = {}
    for key, read in instruction.takes.items():
        try:
            found[key] = read((given or {}).get(key))
        except ValueError as error:
            raise ValueError(f"{name}: {key} is {(given or {}).get(key)!r:.80}, expected {error}") from None
    return Asked(name, instruction, found)


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or value < 0:
        raise ValueError("a whole number of at least 0")
    return int(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text")
    return value.strip()


def _letter(value: Any) -> str:
    if not isinstance(value, str) or len(value.strip()) != 1:
        raise ValueError("one letter")
    return value.strip().lower()


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ValueError("a list of texts")
    return [_text(each) for each in value]


def _one_of(*values: str) -> Reader:
    def read(value: Any) -> str:
        if value not in values:
            raise ValueError(f"one of {', '.join(values)}")
        return str(value)

    return read


_relation = _one_of(*RELATIONS)


def _holds(count: int, relation: str, number: int) -> bool:
    """Returns whether a count is less than a number, or at least it."""
    return count < number if relation == RELATIONS[0] else count >= number


def _exist(text: str, keywords: list[str]) -> bool:
    return all(re.search(re.escape(each), text, re.IGNORECASE) for each in keywords)


def _frequency(text: str, keyword: str, frequency: int, relation: str) -> bool:
    return _holds(len(re.findall(re.escape(keyword), text, re.IGNORECASE)), relation, frequency)


def _forbidden(text: str, forbidden_words: list[str]) -> bool:
    return not any(re.search(rf"\b{re.escape(each)}\b", text, re.IGNORECASE) for each in forbidden_words)


def _letters(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    return _holds(text.lower().count(letter), let_relation, let_frequency)


def _language(text: str, language: str) -> bool:
    return language_of(text) in (language, None)


def _english_capital(text: str) -> bool:
    return text.isupper() and _language(text, "en")


def _english_lowercase(text: str) -> bool:
    return text.islower() and _language(text, "en")


def _sentences(text: str, num_sentences: int, relation: str) -> bool:
    return _holds(counting.num_sentences(text), relation, num_sentences)


def _words(text: str, num_words: int, relation: str) -> bool:
    return _holds(counting.num_words(text), relation, num_words)


def _capital_words(text: str, capital_frequency: int, capital_relation: str) -> bool:
    return _holds(counting.num_capital_words(text), capital_relation, capital_frequency)


def _paragraphs(text: str, num_paragraphs: int) -> bool:
    return counting.marked_paragraphs(text) == num_paragraphs


def _first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    parts = counting.paragraphs(text)
    if sum(map(bool, parts)) != num_paragraphs or not 1 <= nth_paragraph <= num_paragraphs:
        return False
    return counting.first_word(parts[nth_paragraph - 1]) == first_word.lower()


def _placeholders(text: str, num_placeholders: int) -> bool:
    return counting.num_placeholders(text) >= num_placeholders


def _postscript(text: str, postscript_marker: str) -> bool:
    patterns = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    pattern = patterns.get(postscript_marker, re.escape(postscript_marker.lower()))
    return re.search(pattern, text.lower()) is not None


def _bullets(text: str, num_bullets: int) -> bool:
    return counting.num_bullets(text) == num_bullets


def _constrained(text: str) -> bool:
    return any(each in text for each in CONSTRAINED)


def _highlights(text: str, num_highlights: int) -> bool:
    return counting.num_highlights(text) >= num_highlights


def _sections(text: str, section_spliter: str, num_sections: int) -> bool:
    return counting.num_sections(text, section_spliter) >= num_sections


def _json(text: str) -> bool:
    try:
        json.loads(_FENCE.sub("", text.strip()).removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _repeats(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.lower())


def _ends_with(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.lower())


def _no_comma(text: str) -> bool:
    return "," not in text


def _quoted(text: str) -> bool:
    stripped = text.strip()
    return len(stripped) > 1 and stripped[0] == stripped[-1] == '"'


INSTRUCTIONS = {
    "keywords:existence": Instruction(_exist, {"keywords": _texts}),
    "keywords:frequency": Instruction(_frequency, {"keyword": _text, "frequency": _number, "relation": _relation}),
    "keywords:forbidden_words": Instruction(_forbidden, {"forbidden_words": _texts}),
    "keywords:letter_frequency": Instruction(
        _letters, {"letter": _letter, "let_frequency": _number, "let_relation": _relation}
    ),
    "language:response_language": Instruction(_language, {"language": _one_of(*LANGUAGES)}, needs_language=True),
    "length_constraints:number_sentences": Instruction(_sentences, {"num_sentences": _number, "relation": _relation}),
    "length_constraints:number_paragraphs": Instruction(_paragraphs, {"num_paragraphs": _number}),
    "length_constraints:number_words": Instruction(_words, {"num_words": _number, "relation": _relation}),
    "length_constraints:nth_paragraph_first_word": Instruction(
        _first_word, {"num_paragraphs": _number, "nth_paragraph": _number, "first_word": _text}
    ),
    "detectable_content:number_placeholders": Instruction(_placeholders, {"num_placeholders": _number}),
    "detectable_content:postscript": Instruction(_postscript, {"postscript_marker": _text}),
    "detectable_format:number_bullet_lists": Instruction(_bullets, {"num_bullets": _number}),
    "detectable_format:constrained_response": Instruction(_constrained),
    "detectable_format:number_highlighted_sections": Instruction(_highlights, {"num_highlights": _number}),
    "detectable_format:multiple_sections": Instruction(_sections, {"section_spliter": _text, "num_sections": _number}),
    "detectable_format:json_format": Instruction(_json),
    "detectable_format:title": Instruction(counting.has_title),
    "combination:two_responses": Instruction(counting.two_responses),
    "combination:repeat_prompt": Instruction(_repeats, {"prompt_to_repeat": _text}),
    "startend:end_checker": Instruction(_ends_with, {"end_phrase": _text}),
    "startend:quotation": Instruction(_quoted),
    "change_case:capital_word_frequency": Instruction(
        _capital_words, {"capital_frequency": _number, "capital_relation": _relation}
    ),
    "change_case:english_capital": Instruction(_english_capital, needs_language=True),
    "change_case:english_lowercase": Instruction(_english_lowercase, needs_language=True),
    "punctuation:no_comma": Instruction(_no_comma),
}
