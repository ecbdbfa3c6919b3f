"""Servers that speak the OpenAI protocol: `vllm serve`, SGLang, llama.cpp, hosted services.

Owns: requests in flight over one or more servers, retries, and giving up on a server.
Does not own: what a server is, and what counts as an answer (`probes.engines.servers`). The key comes from
`OPENAI_API_KEY` and is neither logged nor stored.

A request asks vLLM for several completions of one problem, other servers for one: only vLLM is known to give the
completions of one request a seed each (child i has seed + i), and to report the tokens of each. What is delivered is
never drawn again: a request is repeated, with the same seed, only where no valid answer came. Requests live in an event
loop, because a thread that waits for a server that hangs cannot be ended. Answers are read as JSON: the client's own
objects cost several times what all else of a draw costs here.
"""

import asyncio
import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from probes.engines import Request, consecutive_runs, seed_of
from probes.engines.servers import (
    FILTERS_OFF,
    KEY_VARIABLE,
    VLLM,
    Endpoint,
    learn,
    make_client,
    one_line,
    our_error,
    read_answer,
    retry_after_s,
)
from probes.store.arm import Arm
from probes.store.draws import Draw
from rlvr.errors import EngineError
from rlvr.verifiers.remote.client import TRANSIENT

logger = logging.getLogger(__name__)

MAX_BACKOFF_S, LIST_TIMEOUT_S = 30.0, 10.0
PER_SERVER = 64  # requests in flight
DRAWS_PER_REQUEST = 16  # of vLLM
IDLE_S = 1.0  # after so long without an answer, the caller is told that none has come
GO_ON = "Delivered draws are stored; the same command goes on."

Deliver = Callable[[list[Draw]], None]


class OpenAIEngine:
    """Samples from servers that serve one model.

    Text prompts go to /completions, messages to /chat/completions; the server makes tokens of both. The token limit is
    sent as `max_tokens`. Token counts are the server's: one that reports none is refused. Reasoning that a server
    splits off a chat answer is not stored.

    Args:
        endpoints: base URLs; requests go to the one with the fewest in flight.
        model: name under which they serve it.
        arm: whose sampling parameters are sent. The stop rule is the server's own.
        concurrency: requests in flight, over all servers; 64 for each by default.
        draws_per_request: completions of one problem that a request asks for; by default 16 where all servers say that
            they are vLLM, else 1.
        timeout_s: until a request without a whole answer is given up.
        max_retries: further attempts of one request; a server that fails more often in a row is set aside.
        backoff_s: before the second attempt; doubled before each further one, up to 30, less up to a half by chance.
            A server that asks for more (Retry-After) gets it, up to two minutes.
        send_token_ids: send the prompt's tokens to /completions, so that the server can read nothing else; hosted chat
            models do not take them.

    Attributes:
        failed: attempts that failed, by kind. A completion that was withheld (`content_filter`) and granted on another
            attempt selects; that it happened stands here and in the log.

    Raises:
        EngineError: a server does not serve the model, refuses the key, or is to make several completions a request and
            does not say that it is vLLM.
    """

    name = "openai"

    def __init__(
        self,
        endpoints: Sequence[str],
        model: str,
        arm: Arm,
        *,
        concurrency: int | None = None,
        draws_per_request: int | None = None,
        timeout_s: float = 600.0,
        max_retries: int = 8,
        backoff_s: float = 0.5,
        send_token_ids: bool = False,
    ) -> None:
        if not endpoints or not all(url.startswith(("http://", "https://")) for url in endpoints):
            raise EngineError(f"endpoints: {list(endpoints)}; expected base URLs such as http://HOST:PORT/v1.")
        self.endpoints = [Endpoint(url) for url in endpoints]
        self.model, self.arm, self.send_token_ids = model, arm, send_token_ids
        self.concurrency, self.timeout_s = concurrency or PER_SERVER * len(self.endpoints), timeout_s
        self.max_retries, self.backoff_s = max_retries, backoff_s
        self.failed: Counter[str] = Counter()
        self._is_short = False  # a completion was cut before the arm's limit
        self._random = random.Random()  # noqa: S311 - of its own: a probe must not advance the trainer's
        self.check()
        self.draws_per_request = self._draws_per_request(draws_per_request)

    def check(self) -> None:
        """Raises `EngineError` where a server lists other models; one that cannot say is left to its first request."""
        list(_Run(lambda _: in_parallel(self._check(endpoint) for endpoint in self.endpoints)).batches())

    def sample(self, requests: Sequence[Request]) -> Iterator[Sequence[Draw]]:
        """Yields draws as servers answer. Requests go on meanwhile; when the caller stops, they are cancelled.

        Raises:
            EngineError: no server is left, a request failed in all attempts, or a server refuses one.
        """
        before = self.failed.copy()
        try:
            yield from _Run(lambda deliver: self._draw_all(requests, deliver)).batches()
        finally:
            if new := self.failed - before:
                kinds = ", ".join(f"{number} {kind}" for kind, number in new.most_common())
                logger.warning("%d requests failed: %s; nothing of them was used.", new.total(), kinds)

    def close(self) -> None:
        """Nothing to free: connections end with each call of `sample`."""

    def _draws_per_request(self, asked: int | None) -> int:
        """Returns how many completions a request asks for."""
        others = [each.name for each in self.endpoints if each.kind != VLLM]
        if asked is None:
            return 1 if others else DRAWS_PER_REQUEST
        if asked > 1 and others:
            raise EngineError(
                f"{others[0]}: does not say that it is vLLM; of other servers it is not known whether the completions "
                "of one request have a seed each, or are copies. Use --draws-per-request 1."
            )
        return asked

    async def _check(self, endpoint: Endpoint) -> None:
        try:
            async with make_client(endpoint.url, LIST_TIMEOUT_S) as client, asyncio.timeout(LIST_TIMEOUT_S):
                await learn(endpoint, client, self.model)
        except Exception as error:
            if (ours := our_error(error)) is not None:
                raise ours from None
            logger.debug("%s does not list its models: %s", endpoint.name, one_line(error, LIST_TIMEOUT_S))

    async def _draw_all(self, requests: Sequence[Request], deliver: Deliver) -> None:
        """Makes all draws, in as many workers as requests may be in flight."""
        size = self.draws_per_request
        todo = ((request, part) for request in requests for part in parts_of(request.draw_indices, size))
        clients = {each: make_client(each.url, self.timeout_s) for each in self.endpoints}

        async def worker() -> None:
            for request, indices in todo:
                deliver(await self._draw(clients, request, indices))

        try:
            await in_parallel(worker() for _ in range(self.concurrency))
        finally:
            for client in clients.values():
                await client.close()

    async def _draw(self, clients: dict[Endpoint, Any], request: Request, indices: Sequence[int]) -> list[Draw]:
        """Returns the draws of consecutive indices, after as many attempts as it takes, or raises `EngineError`."""
        tries: Counter[Endpoint] = Counter()
        num_failed = 0
        while num_failed <= self.max_retries:
            endpoint = self._choose(tries)
            began = time.monotonic()
            endpoint.in_flight += 1
            try:
                async with asyncio.timeout(self.timeout_s):
                    completions = await self._ask(endpoint, clients[endpoint], request, indices)
                endpoint.failures, endpoint.resumes_at = 0, 0.0
                return [
                    Draw(request.problem_id, index, text, num_tokens, truncated, self.name)
                    for index, (text, num_tokens, truncated) in zip(indices, completions, strict=True)
                ]
            except Exception as error:  # garbage breaks the client in ways of its own: JSON, HTTP, types
                self._raise_lasting(endpoint, request, error)
                pause_s = self._failed(endpoint, tries, began, error)
                num_failed += getattr(error, "status_code", 0) != 429  # being told to wait is no failure of the request
            finally:
                endpoint.in_flight -= 1
            await asyncio.sleep(pause_s)
        raise self._gives_up(f"draw {indices[0]} of problem {request.problem_id} failed {num_failed} times")

    def _choose(self, tries: Counter[Endpoint]) -> Endpoint:
        """Returns a healthy server that failed this request least, with the fewest requests in flight."""
        alive = [each for each in self.endpoints if each.is_alive]
        if not alive:
            raise self._gives_up("no server is left")
        return min(alive, key=lambda each: (not each.is_open(), tries[each], each.in_flight))

    def _failed(self, endpoint: Endpoint, tries: Counter[Endpoint], began: float, error: Exception) -> float:
        """Notes a failed attempt, sets a server aside that fails too often, and returns the seconds to wait."""
        self.failed[type(error).__name__] += 1
        of_endpoint, of_request = self._backoff_s(endpoint.failures), self._backoff_s(tries.total())
        tries[endpoint] += 1
        endpoint.failed(began, max(of_endpoint, retry_after_s(error)), one_line(error, self.timeout_s))
        if endpoint.is_alive and endpoint.failures > self.max_retries:
            endpoint.is_alive = False
            logger.warning("%s failed %d times in a row and is set aside.", endpoint.name, endpoint.failures)
            self._choose(tries)
        return max(of_request, retry_after_s(error))

    def _backoff_s(self, num_failures: int) -> float:
        return min(MAX_BACKOFF_S, self.backoff_s * 2.0 ** min(num_failures, 30)) * self._random.uniform(0.5, 1.0)

    def _gives_up(self, reason: str) -> EngineError:
        errors = "; ".join(f"{each.name}: {each.last_error}" for each in self.endpoints if each.last_error)
        return EngineError(f"{reason}; the last errors: {errors}. {GO_ON}")

    def _raise_lasting(self, endpoint: Endpoint, request: Request, error: Exception) -> None:
        """Raises `EngineError` for an error that no further attempt changes."""
        if (ours := our_error(error)) is not None:
            raise ours
        status = getattr(error, "status_code", 0)
        if not 400 <= status < 500 or status in TRANSIENT:
            return
        todo = {
            401: f"check the key in {KEY_VARIABLE}",
            403: f"check the key in {KEY_VARIABLE}, and what it may use",
            404: f"check the model's name, {self.model!r}, and the URL, which mostly ends in /v1",
        }.get(status, f"problem {request.problem_id} was asked for; change what the server objects to")
        raise EngineError(f"{endpoint.name}: refused a request ({one_line(error)}); {todo}. {GO_ON}") from None

    async def _ask(
        self, endpoint: Endpoint, client: Any, request: Request, indices: Sequence[int]
    ) -> list[tuple[str, int, bool]]:
        """Returns text, number of tokens and truncation of each of the completions that one request asks for."""
        if not endpoint.is_known:
            await learn(endpoint, client, self.model)
        fields = self._fields(endpoint, request, indices)
        content = list(request.prompt.token_ids) if self.send_token_ids else request.prompt.content
        if self.send_token_ids and not content:
            raise EngineError(f"send_token_ids: problem {request.problem_id} has no tokens; give a tokenizer.")
        if self.send_token_ids or isinstance(content, str):
            response = await client.completions.with_raw_response.create(prompt=content, **fields)
        else:
            response = await client.chat.completions.with_raw_response.create(messages=content, **fields)
        answer = json.loads(response.content)
        self._check_model(answer, endpoint)
        completions = read_answer(answer, len(indices), self.arm.sampling.max_new_tokens, endpoint.name)
        self._warn_of_short(completions, endpoint)
        return completions

    def _fields(self, endpoint: Endpoint, request: Request, indices: Sequence[int]) -> dict[str, Any]:
        """Returns what a request says beside its prompt."""
        sampling = self.arm.sampling
        top_k = {"top_k": sampling.top_k} if sampling.top_k > 0 else {}
        tokens = {"return_token_ids": True} if len(indices) > 1 else {}
        return {
            "model": self.model,
            "n": len(indices),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": server_seed(self.arm.arm_id, request.problem_id, indices[0]),
            "extra_body": {**FILTERS_OFF.get(endpoint.kind, {}), **top_k, **tokens},
        }

    def _warn_of_short(self, completions: Sequence[tuple[str, int, bool]], endpoint: Endpoint) -> None:
        """Warns, once, of completions that were cut before the arm's limit."""
        limit = self.arm.sampling.max_new_tokens
        short = [num_tokens for _, num_tokens, truncated in completions if truncated and num_tokens < limit]
        if short and not self._is_short:
            self._is_short = True
            logger.warning("%s cuts completions at %d tokens, before the arm's limit.", endpoint.name, short[0])

    def _check_model(self, answer: Any, endpoint: Endpoint) -> None:
        """Raises `EngineError` where a server says that another model made its answer.

        A dated name of the same model, `NAME-2026-01-01`, and a path that ends in the name, are the same.
        """
        said = answer.get("model") if isinstance(answer, dict) else None
        if not isinstance(said, str) or not said:
            return
        if not (said.startswith(self.model) or said.endswith(self.model) or self.model.endswith(said)):
            raise EngineError(f"{endpoint.name}: answers with {said!r:.100}, not {self.model!r}; correct --model.")


class _Run:
    """An event loop in a thread of its own, whose work is given the function that delivers draws."""

    def __init__(self, work: Callable[[Deliver], Coroutine[Any, Any, None]]) -> None:
        self.results: SimpleQueue[list[Draw] | None] = SimpleQueue()  # None: no more will come
        self.error: Exception | None = None
        self.loop = asyncio.new_event_loop()
        self.task = self.loop.create_task(work(self.results.put))
        self.thread = threading.Thread(target=self._main, name="openai-engine", daemon=True)
        self.thread.start()

    def _main(self) -> None:
        try:
            self.loop.run_until_complete(self.task)
        except asyncio.CancelledError:
            pass
        except Exception as error:  # of a group, the first is what ended the others
            self.error = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
        finally:
            self.loop.close()
            self.results.put(None)

    def batches(self) -> Iterator[list[Draw]]:
        """Yields draws until no more will come, then raises what went wrong; ends the thread, however it ends."""
        items: list[list[Draw] | None] = []
        try:
            while None not in items:
                items = []
                with suppress(Empty):
                    items.append(self.results.get(timeout=IDLE_S))
                    while True:
                        items.append(self.results.get_nowait())
                yield [draw for item in items if item is not None for draw in item]  # none while it waits
        finally:
            with suppress(RuntimeError):  # the loop is closed: all is done
                self.loop.call_soon_threadsafe(self.task.cancel)
            self.thread.join()
        if self.error is not None:
            raise self.error


async def in_parallel(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Returns when all are done; an error ends the others."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


def parts_of(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Yields runs of consecutive indices, of at most `size` each."""
    for run in consecutive_runs(indices):
        yield from (run[at : at + size] for at in range(0, len(run), size))


def server_seed(arm_id: str, problem_id: str, draw_index: int) -> int:
    """Returns a draw's seed: below 2^31, which all servers take; those of a problem are consecutive."""
    return seed_of(arm_id, problem_id, 0) % 2**30 + draw_index
