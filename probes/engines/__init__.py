"""Engines: requests in, a stream of draws out.

Owns: the protocol between a probe and whatever samples for it, and the random numbers of a draw.
Does not own: which draws are owed (`probes.plan`) or kept (`probes.store`).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from probes.store import Draw


@dataclass(frozen=True)
class Request:
    """Draws asked of an engine.

    Attributes:
        problem_id: of the problem.
        prompt_token_ids: the prompt as the model reads it.
        draw_indices: which draws to make, ascending.
    """

    problem_id: str
    prompt_token_ids: tuple[int, ...]
    draw_indices: tuple[int, ...]


class Engine(Protocol):
    """Samples from one arm.

    Attributes:
        name: stored with each draw.
    """

    name: str

    def sample(self, requests: Iterable[Request]) -> Iterator[Sequence[Draw]]:
        """Yields batches of finished draws; each batch belongs to one request and is complete."""


def uniforms(arm_id: str, problem_id: str, draw_indices: Sequence[int], num_tokens: int) -> NDArray[np.float64]:
    """Returns the uniform random numbers in [0, 1) that decide the tokens of some draws.

    Each draw owns a stretch of a counter-based generator (Philox, Salmon et al. 2011) whose key is a hash of arm and
    problem. So a draw depends on arm, problem and draw index alone: not on chunk size, process, order or restarts, and
    no two draws share a number.

    Shapes:
        result: (len(draw_indices), num_tokens)

    Args:
        arm_id: of the arm.
        problem_id: of the problem.
        draw_indices: any indices, most quickly in runs of consecutive ones.
        num_tokens: the arm's token limit; it sets the length of a draw's stretch.
    """
    key = int.from_bytes(hashlib.sha256(f"{arm_id}|{problem_id}".encode()).digest()[:16])
    blocks = -(-num_tokens // 4)  # a Philox block gives four numbers
    parts = []
    for run in consecutive_runs(draw_indices):
        generator = np.random.Generator(np.random.Philox(key=key, counter=run[0] * blocks))
        parts.append(generator.random((len(run), 4 * blocks))[:, :num_tokens])
    return np.concatenate(parts) if parts else np.empty((0, num_tokens))


def consecutive_runs(indices: Sequence[int]) -> list[list[int]]:
    """Returns the indices cut wherever the next is not the successor, for example [[0, 1], [5]]."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
