"""Engines: requests in, a stream of draws out.

    transformers   a model of transformers, batches refilled as rows finish
    vllm           vLLM in this process; also the trainer's own engine
    openai         servers that speak the OpenAI protocol
    servers        what such a server is, says and refuses
    live           the trainer's model or vLLM engine, as it is now
    ray            one of the first two, in Ray actors over many nodes
    scripted       known success rates, for tests and documentation
    sources        from a name on a command line to an arm and the engine that samples it

Owns: the protocol between a probe and whatever samples for it, and the random numbers of a draw.
Does not own: which draws are owed (`probes.statistics.plan`) or kept (`probes.store`).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from probes.store.arm import Arm
from probes.store.draws import Draw
from rlvr.problems.prompts import Prompt


@dataclass(frozen=True)
class Request:
    """Draws asked of an engine.

    Attributes:
        problem_id: of the problem.
        prompt: what the model is given.
        draw_indices: which draws to make, ascending.
    """

    problem_id: str
    prompt: Prompt
    draw_indices: tuple[int, ...]


class Engine(Protocol):
    """Samples from one arm.

    Attributes:
        name: stored with each draw.
    """

    name: str

    def sample(self, requests: Sequence[Request]) -> Iterator[Sequence[Draw]]:
        """Yields finished draws in batches of any size and order, each draw that was asked for exactly once.

        An empty batch says that the engine waits, for a server that stalls: the caller makes durable what it has.

        What was yielded is delivered. The caller stores it at once, and after an error asks for the rest only.

        Raises:
            EngineError: the engine cannot go on; the message says what to do.
        """

    def close(self) -> None:
        """Frees processes, connections and memory that the engine itself took."""


@dataclass(frozen=True)
class Source:
    """An arm, and how to sample it.

    Attributes:
        arm: what is sampled from.
        tokenizer: to render prompts; None where the server does that.
        start: returns the engine; slow for some.
    """

    arm: Arm
    tokenizer: Any
    start: Callable[[], Engine]


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


def seed_of(arm_id: str, problem_id: str, draw_index: int) -> int:
    """Returns the seed of one draw, for engines that take one seed a completion: below 2^63.

    Seeds of one problem are consecutive, as vLLM's are for the n completions of one request (child i has seed + i). So
    a draw has one seed, however its problem's draws are cut into requests, and no two draws of a problem share one.
    """
    first = int.from_bytes(hashlib.sha256(f"{arm_id}|{problem_id}".encode()).digest()[:8]) >> 2
    return first + draw_index


def consecutive_runs(indices: Sequence[int]) -> list[list[int]]:
    """Returns the indices cut wherever the next is not the successor, for example [[0, 1], [5]]."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
