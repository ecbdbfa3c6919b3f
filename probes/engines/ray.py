"""The transformers or vLLM engine in Ray actors, over one machine or many nodes.

Owns: the actors, which chunk of draws each has, and what happens when one is lost.
Does not own: sampling (the engine inside an actor), the Ray cluster (started by `ray start`, found by `RAY_ADDRESS`).

A lost actor takes its chunk with it, whole and unseen: the chunk is drawn again elsewhere. Nobody saw its outcomes, so
that selects nothing.
"""

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from probes.engines import Request, Source
from probes.store.arm import Arm
from probes.store.draws import Draw
from rlvr.errors import EngineError

logger = logging.getLogger(__name__)

CHUNK_DRAWS = 1024  # handed to an actor at a time
MAX_LOST = 3  # actors, each started again, before the engine gives up


class Worker:
    """What runs in an actor: an engine of its own, on the device that Ray gives it.

    Args:
        open_source: opens the model on this node.
        arm: that the caller samples from; the weights that this node loads must be the same.
    """

    def __init__(self, open_source: Callable[[], Source], arm: Arm) -> None:
        source = open_source()
        if different := source.arm.differences(arm):
            raise EngineError(f"a Ray worker loaded another arm: it differs in {', '.join(different)}.")
        self.engine = source.start()

    def sample(self, requests: Sequence[Request]) -> list[Draw]:
        """Returns all draws of the requests."""
        return [draw for batch in self.engine.sample(requests) for draw in batch]


class RayEngine:
    """Samples through actors, one chunk each at a time.

    Args:
        open_source: opens the model where an actor runs; it is sent there by reference, so a function of a module.
        arm: to sample from.
        name: of the engine inside, stored with each draw.
        num_workers: actors.
    """

    def __init__(self, open_source: Callable[[], Source], arm: Arm, *, name: str, num_workers: int) -> None:
        import ray

        self.name = name
        self.num_lost = 0
        self.started_ray = not ray.is_initialized()
        if self.started_ray:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        num_gpus = 1 if ray.cluster_resources().get("GPU") else 0
        self.make = ray.remote(num_cpus=1, num_gpus=num_gpus)(Worker).remote
        self.arguments = (open_source, arm)
        self.actors = [self.make(*self.arguments) for _ in range(num_workers)]

    def sample(self, requests: Sequence[Request]) -> Iterator[Sequence[Draw]]:
        """Yields the draws of each chunk when an actor has finished it.

        Raises:
            EngineError: actors were lost again and again, or an engine inside cannot go on.
        """
        import ray

        waiting, idle = deque(chunks(requests)), deque(self.actors)
        running: dict[Any, tuple[Any, list[Request]]] = {}
        while waiting or running:
            while waiting and idle:
                actor, chunk = idle.popleft(), waiting.popleft()
                running[actor.sample.remote(chunk)] = (actor, chunk)
            done, _ = ray.wait(list(running), num_returns=1)
            actor, chunk = running.pop(done[0])
            try:
                draws = ray.get(done[0])
            except ray.exceptions.RayActorError as error:
                idle.append(self._replace(actor, error))
                waiting.appendleft(chunk)
                continue
            except ray.exceptions.RayTaskError as error:
                raise EngineError(f"ray: an actor's engine failed: {error.cause}") from error
            idle.append(actor)
            yield draws

    def close(self) -> None:
        """Ends the actors, and Ray where this engine started it."""
        import ray

        for actor in self.actors:
            ray.kill(actor)
        if self.started_ray:
            ray.shutdown()

    def _replace(self, actor: Any, error: Exception) -> Any:
        """Returns a new actor in the place of a lost one."""
        self.num_lost += 1
        lines = re.sub(r"\x1b\[[0-9]+m", "", str(error)).strip().splitlines()
        if "creation task" in lines[0]:
            raise EngineError(f"ray: a worker cannot start: {lines[-1]}") from error
        reason = lines[0]
        if self.num_lost > MAX_LOST:
            raise EngineError(
                f"ray: {self.num_lost} actors were lost, the last by: {reason}; see the logs of Ray."
            ) from error
        logger.warning("A Ray actor was lost (%s); its chunk is drawn again by a new one.", reason)
        self.actors.remove(actor)
        self.actors.append(self.make(*self.arguments))
        return self.actors[-1]


def chunks(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """Yields the requests in lists of at most `CHUNK_DRAWS` draws, long requests cut."""
    chunk: list[Request] = []
    room = CHUNK_DRAWS
    for request in requests:
        indices = request.draw_indices
        while indices:
            chunk.append(replace(request, draw_indices=indices[:room]))
            indices, room = indices[room:], room - len(indices[:room])
            if room == 0:
                yield chunk
                chunk, room = [], CHUNK_DRAWS
    if chunk:
        yield chunk
