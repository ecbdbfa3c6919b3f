"""Specs of recipes: `name[?key=value&...]`.

Owns: the grammar of options, and the messages for options that break it.
Does not own: what a name or an option means (`rlvr.problems.loaders`, `rlvr.verifiers`).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import parse_qsl

from rlvr.errors import InputError, RecipeError


@dataclass(frozen=True)
class Spec:
    """A spec that has been read.

    Attributes:
        name: what stands before the question mark.
        options: each known and given once.
        text: the whole spec, for messages.
        what: the key of the recipe, for messages.
        error: what to raise for a bad value.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    what: str = ""
    error: type[InputError] = RecipeError

    def integer(self, key: str, at_least: int, at_most: int | None = None) -> int | None:
        """Returns an option as an integer, or None where it is not given."""
        value = self.options.get(key)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,18}", value) or int(value) < at_least:
            raise self.refused(key, f"an integer of at least {at_least}")
        if at_most is not None and int(value) > at_most:
            raise self.refused(key, f"an integer of at most {at_most}")
        return int(value)

    def number(self, key: str, above: float, at_most: float) -> float | None:
        """Returns an option as a number, or None where it is not given."""
        value = self.options.get(key)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", value) or not above < float(value) <= at_most:
            raise self.refused(key, f"a number above {above:g}, at most {at_most:g}")
        return float(value)

    def refused(self, key: str, expected: str) -> InputError:
        """Returns the error of an option whose value is not as expected."""
        return self.error(f"{self.what}: {self.text!r}: {key} is {self.options[key]!r}; expected {expected}.")


def parse_spec(
    text: str, known: Collection[str], what: str = "verifier", error: type[InputError] = RecipeError
) -> Spec:
    """Returns name and options of `name[?key=value&...]`.

    Args:
        text: the spec.
        known: the options that this name takes.
        what: the key of the recipe, for messages.
        error: what to raise.

    Raises:
        InputError: an option is unknown, given twice or without a value; of the kind `error`.
    """
    name, _, query = text.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise error(f"{what}: {text!r} has options that are not key=value; write ?key=value&...") from None
    options: dict[str, str] = {}
    for key, value in pairs:
        if key not in known:
            raise error(f"{what}: {text!r} has the unknown option {key!r}; {_nearest(key, known)}")
        if key in options or not value:
            seen = "is given twice" if key in options else "has no value"
            raise error(f"{what}: {text!r}: option {key!r} {seen}; give it one value.")
        options[key] = value
    return Spec(name, options, text, what, error)


def _nearest(name: str, known: Collection[str]) -> str:
    """Returns the part of a message that proposes a known name."""
    near = get_close_matches(name, known, n=1)
    if not known:
        return "it takes no options."
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}."
