r"""The choice verifier: does a completion pick the right option of a multiple choice?

Owns: the forms in which an option is named, by its letter or by its text.
Does not own: finding the answer in a text (`rlvr.verifiers.answers.extraction`), showing the options to a model (the
question).

Options are labelled A, B, C, ... in order. `problem.meta["choices"]` may list their texts, as a list or as an object
from letter to text; without it only letters are understood.
"""

import re
from collections.abc import Mapping
from string import ascii_uppercase

from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.verifiers.answers.extraction import bare, final_text, first_sentence, gold_text
from rlvr.verifiers.base import PlainVerifier, decided, unparsed
from rlvr.verifiers.verdicts import Verdict

_WORD = r"(?:the\s+)?(?:correct\s+|right\s+)?(?:option|choice|answer|letter)?\s*(?:is\s+|:\s*)?"
_ALONE = re.compile(rf"{_WORD}[(\[]?\s*([A-Za-z])\s*[)\].:]{{0,2}}", re.IGNORECASE)
_LEADING = re.compile(
    rf"(?i:{_WORD})[(\[]?\**([A-Z])\**(?:[)\].:,;]{{1,2}}|\s+[-\N{{EN DASH}}]|\s+(?:because|since|as)\b)"
)
_ANOTHER = re.compile(r"[)\].]{0,2}\s*(?:,|;|/|&|\band\b|\bor\b)\s*(?:or\s+|and\s+)?[(\[]?([A-Z])(?![A-Za-z'])")


class ChoiceVerifier(PlainVerifier):
    r"""Judges by the letter of an option (`B`, `(B)`, `B.`, `\boxed{\text{B}}`, `the answer is B`) or by its text.

    Letters stand before texts: where an option's text is itself a letter, the letter means the label. An answer that
    names several options is `unparsed`; so is a last line that neither is a letter nor an option's text.

    Example:
        >>> problem = Problem("2 + 2? A. 3 B. 4", "B", {"choices": ["3", "4"]})
        >>> ChoiceVerifier().verify([(problem, "The answer is (B).")])
        [Verdict(outcome=<Outcome.CORRECT: 'correct'>, answer='B', reason='')]
    """

    verifier_id = "choice@2"
    expected = 'a letter, or the text of one of meta {"choices": [texts]}'

    @classmethod
    def of(cls, spec: Spec) -> "ChoiceVerifier":
        """Returns the verifier of a recipe's string."""
        spec.only()
        return cls()

    def fault(self, problem: Problem) -> str | None:
        """Returns what makes a problem unusable, or None."""
        options = options_of(problem)
        if options is None:
            return "meta choices are neither a list of texts nor an object from letters to texts"
        labels = _gold(problem, options)
        if len(labels) != 1:
            return "neither a letter nor the text of one option"
        return f"no option of this letter among {len(options)}" if options and not labels & set(options) else None

    def judge(self, problem: Problem, completion: str) -> Verdict:
        """Returns whether the option that the final text names is the gold one."""
        final = final_text(completion)
        options = options_of(problem) or {}
        labels = named_options(final.text, options) if final is not None else set()
        if not labels:
            return unparsed()
        if len(labels) > 1:
            return unparsed(f"names the options {', '.join(sorted(labels))}")
        (label,) = labels
        reason = f"there is no option {label}" if options and label not in options else ""
        return decided(labels == _gold(problem, options), label, reason)


def options_of(problem: Problem) -> dict[str, str] | None:
    """Returns the options' texts by letter, empty where meta lists none, None where it is of another form."""
    choices = problem.meta.get("choices")
    if choices is None:
        return {}
    if isinstance(choices, Mapping):
        pairs = [(str(label).strip().upper(), text) for label, text in choices.items()]
    elif isinstance(choices, (list, tuple)) and len(choices) <= len(ascii_uppercase):
        pairs = list(zip(ascii_uppercase, choices, strict=False))
    else:
        return None
    is_usable = pairs and all(len(label) == 1 and label.isalpha() and isinstance(text, str) for label, text in pairs)
    return dict(pairs) if is_usable else None


def named_options(text: str, options: Mapping[str, str]) -> set[str]:
    """Returns the letters of the options that a final text names."""
    alone = _ALONE.fullmatch(text)
    if alone:
        return {alone[1].upper()}
    by_text = _with_text(text, options)
    if by_text:
        return by_text
    leading = _LEADING.match(text)
    if leading is None:
        return _listed(text) or _with_text(first_sentence(text), options) or _sentence_letter(text)
    rest = text[leading.end() :]
    another = _ANOTHER.match(text, leading.end(1)) or _ANOTHER.match(text, leading.end())
    others = {another[1]} if another else set()
    return {leading[1]} | others | _with_text(rest, options)


def _sentence_letter(text: str) -> set[str]:
    """Returns the letter that the first sentence of a text is."""
    alone = _ALONE.fullmatch(first_sentence(text))
    return {alone[1].upper()} if alone else set()


def _listed(text: str) -> set[str]:
    """Returns the letters of a text such as `A and B`."""
    first = re.match(rf"(?i:{_WORD})[(\[]?([A-Z])[)\]]?(?={_ANOTHER.pattern})", text)
    another = _ANOTHER.match(text, first.end()) if first else None
    return {first[1], another[1]} if first and another else set()


def _with_text(text: str, options: Mapping[str, str]) -> set[str]:
    """Returns the letters of the options whose text this is; of equal texts the first."""
    form = _form(text)
    labels = [label for label, option in options.items() if form and _form(option) == form]
    return set(labels[:1])


def _form(text: str) -> str:
    """Returns the form in which an option and its quotation are the same string."""
    return " ".join(bare(text).removesuffix(".").split()).casefold()


def _gold(problem: Problem, options: Mapping[str, str]) -> set[str]:
    """Returns the letters that the gold answer names: one, unless it cannot be used."""
    return named_options(bare(gold_text(problem)), options)
