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
        """See `checksum_of_draw`; lone surrogates count as three bytes each."""
        key, engine, text = (
            each.encode("utf-8", "surrogatepass") for each in (self.problem_id, self.engine, self.completion)
        )
        return checksum_of_draw(key, self.draw_index, self.num_tokens, self.truncated, engine, text)


def checksum_of_draw(
    problem_id: bytes, draw_index: int, num_tokens: int, truncated: int, engine: bytes, completion: bytes
) -> int:
    """Returns the first 8 bytes of BLAKE2b over a draw's fields, as a signed number.

    The fields come in this order, each followed by a zero byte but the last; texts are UTF-8, numbers decimal.
    """
    head = b"%b\0%d\0%d\0%d\0%b\0" % (problem_id, draw_index, num_tokens, truncated, engine)
    digest = hashlib.blake2b(head, digest_size=CHECKSUM_BYTES)
    digest.update(completion)
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
