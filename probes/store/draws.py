"""Draws: one completion each, and the checksum that binds what is said of it to what it is.

Owns: `Draw`, `Excerpt`, and their checksum.
Does not own: keeping them (`probes.store.store`).
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

CHECKSUM_BYTES = 8


@dataclass(frozen=True, slots=True)
class Draw:
    """One completion made by a probe.

    Attributes:
        problem_id: of the problem.
        draw_index: position among the independent draws of this arm and problem, from 0.
        completion: text without the stop token.
        num_tokens: generated tokens, the stop token included.
        truncated: True where the token limit came before a stop token.
        engine: that made it.
    """

    problem_id: str
    draw_index: int
    completion: str
    num_tokens: int
    truncated: bool
    engine: str

    @property
    def checksum(self) -> int:
        """The first 8 bytes of BLAKE2b over all fields, as a signed number: engine, ids and numbers, then the text.

        The fields are joined by zero bytes, the text comes last, as UTF-8 (lone surrogates as three bytes).
        """
        head = f"{self.problem_id}\0{self.draw_index}\0{self.num_tokens}\0{int(self.truncated)}\0{self.engine}\0"
        digest = hashlib.blake2b(head.encode("utf-8", "surrogatepass"), digest_size=CHECKSUM_BYTES)
        digest.update(self.completion.encode("utf-8", "surrogatepass"))
        return int.from_bytes(digest.digest(), "big", signed=True)


class Excerpt(NamedTuple):
    """Part of a draw: its head, its tail where not all of the text is in the head, and what else is known of it."""

    head: str
    tail: str
    num_chars: int
    num_tokens: int
    truncated: bool

    @classmethod
    def of(cls, draw: Draw, max_chars: int) -> "Excerpt":
        """Returns a draw's head and tail of `max_chars` each; a text of up to twice as many is all in its head."""
        text = draw.completion
        is_short = len(text) <= 2 * max_chars
        head, tail = (text, "") if is_short else (text[:max_chars], text[-max_chars:])
        return cls(head, tail, len(text), draw.num_tokens, draw.truncated)
