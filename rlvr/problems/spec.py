"""Specs: `name?key=value&...`, the form in which a recipe names problem sets and verifiers with their options.

Owns: the grammar, the joint ` + ` of several specs, and the messages for options that are unknown, repeated, empty or
out of range.
Does not own: which names and options there are (`rlvr.problems.loaders`, `rlvr.verifiers`).
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from urllib.parse import parse_qsl

from rlvr.errors import InputError, RecipeError

JOINT = " + "


@dataclass(frozen=True)
class Spec:
    """A name with options.

    Attributes:
        text: the spec as it was written.
        name: what stands before the `?`.
        options: the values as text, by key.
        field: what messages begin with, for example the recipe's key.
        error: what is raised for an option that cannot be used.
    """

    text: str
    name: str
    options: Mapping[str, str]
    field: str
    error: type[InputError] = RecipeError

    def only(self, *known: str) -> "Spec":
        """Returns the spec itself if each of its options is known; raises `error` otherwise."""
        for key in self.options:
            if key not in known:
                raise self.error(f"{self.field}: {self.text!r} has the unknown option {key!r}; {nearest(key, known)}")
        return self

    def without(self, key: str) -> "Spec":
        """Returns the spec without an option."""
        return replace(self, options={name: value for name, value in self.options.items() if name != key})

    def integer(self, key: str, at_least: int, at_most: int = 10**18) -> int | None:
        """Returns an option as an integer, or None where it is not given."""
        value = self.options.get(key)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,18}", value) or not at_least <= int(value) <= at_most:
            most = "" if at_most == 10**18 else f" and at most {at_most}"
            raise self.refusal(key, f"an integer of at least {at_least}{most}")
        return int(value)

    def number(self, key: str, default: float, above: float = -math.inf, at_most: float = math.inf) -> float:
        """Returns an option as a finite number of at least 0, within further bounds if there are any."""
        try:
            value = float(self.options.get(key, default))
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0 and above < value <= at_most):
            least = "of at least 0" if above < 0 else f"above {above:g}"
            most = "" if at_most == math.inf else f" and at most {at_most:g}"
            raise self.refusal(key, f"a number {least}{most}")
        return value

    def choice(self, key: str, values: Sequence[str]) -> str:
        """Returns an option that is one of `values`, by default the first."""
        value = self.options.get(key, values[0])
        if value not in values:
            raise self.refusal(key, f"one of {', '.join(values)}")
        return value

    def refusal(self, key: str, expected: str) -> InputError:
        """Returns the error of an option with a bad value."""
        return self.error(f"{self.field}: {self.text!r}: {key} is {self.options[key]!r}; expected {expected}.")


def joined(text: str) -> list[str]:
    """Returns the specs that a text joins with ` + `."""
    return text.split(JOINT)


def parse_spec(text: str, field: str, error: type[InputError] = RecipeError) -> Spec:
    """Returns the parts of `name?key=value&...`; a `+` stands for itself, other characters may be percent-encoded.

    Raises:
        InputError: of type `error`, where options are not key=value, or are given twice or without a value.

    Example:
        >>> parse_spec("numeric?relative=1e-3", field="verifier").only("relative").number("relative", default=0)
        0.001
    """
    name, _, query = text.partition("?")
    try:
        pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise error(f"{field}: {text!r} has options that are not key=value; write ?key=value&...") from None
    options: dict[str, str] = {}
    for key, value in pairs:
        if key in options or not value:
            seen = "is given twice" if key in options else "has no value"
            raise error(f"{field}: {text!r}: option {key!r} {seen}; give it one value.")
        options[key] = value
    return Spec(text, name, options, field, error)


def nearest(name: str, known: Collection[str]) -> str:
    """Returns the part of a message that proposes a known name."""
    if not known:
        return "it takes none."
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}."
