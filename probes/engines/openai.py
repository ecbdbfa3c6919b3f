"""Servers that speak the OpenAI protocol: `vllm serve`, SGLang, llama.cpp, hosted services.

Owns: requests in flight over one or more servers, retries, what counts as an answer, and giving up on a server.
Does not own: the servers. The key comes from `OPENAI_API_KEY` and is neither logged nor stored.

One completion a request, so that the token count of each is exact and every server can do it. What is delivered is
never drawn again: a request is repeated, with the same seed, only where no valid answer came. Requests live in an event
loop, because a thread that waits for a server that hangs cannot be ended.
"""

import asyncio
import logging
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from probes.engines import Request, seed_of
from probes.store.arm import Arm
from probes.store.draws import Draw
from probes.store.store import MAX_COMPLETION_CHARS
from rlvr.errors import EngineError

logger = logging.getLogger(__name__)

KEY_VARIABLE = "OPENAI_API_KEY"
MAX_BACKOFF_S, MAX_RETRY_AFTER_S, CONNECT_TIMEOUT_S, LIST_TIMEOUT_S = 30.0, 120.0, 30.0, 10.0
IDLE_S = 1.0  # after so long without an answer, the caller is told that none has come
GO_ON = "Delivered draws are stored; the same command goes on."
TRANSIENT = {408, 409, 425, 429}  # of the 4xx statuses, those that another attempt can cure

# Some servers fill in what a request leaves out, from the model's files or their own defaults (min_p, a top_k of 20 or
# 40, a repetition penalty). An arm knows nothing of the kind, so they are told. Others refuse these fields.
FILTERS_OFF: dict[str, dict[str, float]] = {
    "vllm": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "llamacpp": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
}

Deliver = Callable[[Draw], None]


class BadAnswerError(Exception):
    """A server answered, and the answer cannot be used."""


class Endpoint:
    """One server.

    Attributes:
        name: the URL as messages show it, without user and password.
        failures: in a row. Requests that fail together, as when a connection breaks, count once: a failure counts if
            its request began after the pause that the last counted one brought, at `resumes_at`.
        last_error: in one line.
        is_alive: False once it was set aside.
        extra: fields that its requests carry, by what it says it is; None until it was asked.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self.in_flight, self.failures, self.resumes_at = 0, 0, 0.0
        self.last_error, self.is_alive = "", True
        self.extra: dict[str, float] | None = None

    def is_open(self) -> bool:
        """Returns whether requests should go there: after a failure one at a time, and none during the pause."""
        return self.failures == 0 or (self.in_flight == 0 and time.monotonic() >= self.resumes_at)

    def failed(self, began: float, pause_s: float, reason: str) -> None:
        """Notes that a request which began then has failed."""
        if not self.last_error:
            logger.warning("%s: %s; asked again.", self.name, reason)
        self.last_error = reason
        if began >= self.resumes_at:
            self.failures += 1
            self.resumes_at = time.monotonic() + pause_s


class OpenAIEngine:
    """Samples from servers that serve one model.

    Text prompts go to /completions, messages to /chat/completions; the server makes tokens of both. The token limit is
    sent as `max_tokens`. Token counts are the server's: one that reports none is refused. Reasoning that a server
    splits off a chat answer is not stored.

    Args:
        endpoints: base URLs; requests go to the one with the fewest in flight.
        model: name under which they serve it.
        arm: whose sampling parameters are sent. The stop rule is the server's own.
        concurrency: requests in flight, over all servers.
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
        EngineError: a server does not serve the model, or refuses the key.
    """

    name = "openai"

    def __init__(
        self,
        endpoints: Sequence[str],
        model: str,
        arm: Arm,
        *,
        concurrency: int = 64,
        timeout_s: float = 600.0,
        max_retries: int = 8,
        backoff_s: float = 0.5,
        send_token_ids: bool = False,
    ) -> None:
        if not endpoints or not all(url.startswith(("http://", "https://")) for url in endpoints):
            raise EngineError(f"endpoints: {list(endpoints)}; expected base URLs such as http://HOST:PORT/v1.")
        self.endpoints = [Endpoint(url) for url in endpoints]
        self.model, self.arm, self.send_token_ids = model, arm, send_token_ids
        self.concurrency, self.timeout_s = concurrency, timeout_s
        self.max_retries, self.backoff_s = max_retries, backoff_s
        self.failed: Counter[str] = Counter()
        self._is_short = False  # a completion was cut before the arm's limit
        self._random = random.Random()  # noqa: S311 - of its own: a probe must not advance the trainer's
        self.check()

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

    async def _check(self, endpoint: Endpoint) -> None:
        try:
            async with make_client(endpoint.url, LIST_TIMEOUT_S) as client, asyncio.timeout(LIST_TIMEOUT_S):
                await learn(endpoint, client, self.model)
        except Exception as error:
            if (ours := _ours(error)) is not None:
                raise ours from None
            logger.debug("%s does not list its models: %s", endpoint.name, one_line(error, LIST_TIMEOUT_S))

    async def _draw_all(self, requests: Sequence[Request], deliver: Deliver) -> None:
        """Makes all draws, in as many workers as requests may be in flight."""
        todo = ((request, index) for request in requests for index in request.draw_indices)
        clients = {each: make_client(each.url, self.timeout_s) for each in self.endpoints}

        async def worker() -> None:
            for request, index in todo:
                deliver(await self._draw(clients, request, index))

        try:
            await in_parallel(worker() for _ in range(self.concurrency))
        finally:
            for client in clients.values():
                await client.close()

    async def _draw(self, clients: dict[Endpoint, Any], request: Request, index: int) -> Draw:
        """Returns one draw, after as many attempts as it takes, or raises `EngineError`."""
        tries: Counter[Endpoint] = Counter()
        num_failed = 0
        while num_failed <= self.max_retries:
            endpoint = self._choose(tries)
            began = time.monotonic()
            endpoint.in_flight += 1
            try:
                async with asyncio.timeout(self.timeout_s):
                    text, num_tokens, truncated = await self._ask(endpoint, clients[endpoint], request, index)
                endpoint.failures, endpoint.resumes_at = 0, 0.0
                return Draw(request.problem_id, index, text, num_tokens, truncated, self.name)
            except Exception as error:  # garbage breaks the client in ways of its own: JSON, HTTP, types
                self._raise_lasting(endpoint, request, error)
                pause_s = self._failed(endpoint, tries, began, error)
                num_failed += getattr(error, "status_code", 0) != 429  # being told to wait is no failure of the request
            finally:
                endpoint.in_flight -= 1
            await asyncio.sleep(pause_s)
        raise self._gives_up(f"draw {index} of problem {request.problem_id} failed {num_failed} times")

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
        if (ours := _ours(error)) is not None:
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

    async def _ask(self, endpoint: Endpoint, client: Any, request: Request, index: int) -> tuple[str, int, bool]:
        """Returns text, number of tokens and truncation of one completion."""
        if endpoint.extra is None:
            await learn(endpoint, client, self.model)
        sampling, content = self.arm.sampling, request.prompt.content
        top_k = {"top_k": sampling.top_k} if sampling.top_k > 0 else {}
        fields = {
            "model": self.model,
            "n": 1,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": server_seed(self.arm.arm_id, request.problem_id, index),
            "extra_body": {**(endpoint.extra or {}), **top_k},
        }
        if self.send_token_ids and not request.prompt.token_ids:
            raise EngineError(f"send_token_ids: problem {request.problem_id} has no tokens; give a tokenizer.")
        if self.send_token_ids or isinstance(content, str):
            prompt = list(request.prompt.token_ids) if self.send_token_ids else content
            answer = await client.completions.create(prompt=prompt, **fields)
        else:
            answer = await client.chat.completions.create(messages=content, **fields)
        self._check_model(answer, endpoint)
        text, num_tokens, truncated = read_answer(answer, sampling.max_new_tokens, endpoint.name)
        if truncated and num_tokens < sampling.max_new_tokens and not self._is_short:
            self._is_short = True
            logger.warning("%s cuts completions at %d tokens, before the arm's limit.", endpoint.name, num_tokens)
        return text, num_tokens, truncated

    def _check_model(self, answer: Any, endpoint: Endpoint) -> None:
        """Raises `EngineError` where a server says that another model made its answer.

        A dated name of the same model, `NAME-2026-01-01`, and a path that ends in the name, are the same.
        """
        said = getattr(answer, "model", None)
        if not isinstance(said, str) or not said:
            return
        if not (said.startswith(self.model) or said.endswith(self.model) or self.model.endswith(said)):
            raise EngineError(f"{endpoint.name}: answers with {said!r:.100}, not {self.model!r}; correct --model.")


class _Run:
    """An event loop in a thread of its own, whose work is given the function that delivers a draw."""

    def __init__(self, work: Callable[[Deliver], Coroutine[Any, Any, None]]) -> None:
        self.results: SimpleQueue[Draw | None] = SimpleQueue()  # None: no more will come
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
        items: list[Draw | None] = []
        try:
            while None not in items:
                items = []
                with suppress(Empty):
                    items.append(self.results.get(timeout=IDLE_S))
                    while True:
                        items.append(self.results.get_nowait())
                yield [draw for draw in items if draw is not None]  # none while it waits
        finally:
            with suppress(RuntimeError):  # the loop is closed: all is done
                self.loop.call_soon_threadsafe(self.task.cancel)
            self.thread.join()
        if self.error is not None:
            raise self.error


def _ours(error: BaseException | None) -> EngineError | None:
    """Returns the error of this engine that the client has wrapped in one of its own, if there is one."""
    while error is not None and not isinstance(error, EngineError):
        error = error.__cause__
    return error


async def in_parallel(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Returns when all are done; an error ends the others."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


def make_client(url: str, timeout_s: float) -> Any:
    """Returns a client with the key of the environment; retries are made here, where another server can take over."""
    try:
        import openai
    except ImportError as error:
        raise EngineError("the engine `openai` needs the package openai; pip install 'rlvr[openai]'.") from error
    timeout = openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
    key = os.environ.get(KEY_VARIABLE) or "EMPTY"
    hooks = {"response": [refuse_other_hosts]}
    client = openai.DefaultAsyncHttpxClient(base_url=url, timeout=timeout, event_hooks=hooks)
    return openai.AsyncOpenAI(base_url=url, api_key=key, timeout=timeout, max_retries=0, http_client=client)


async def refuse_other_hosts(response: Any) -> None:
    """Raises `EngineError` where a server sends the client on to another host, which would be given the prompts."""
    if response.has_redirect_location:
        target = response.url.join(response.headers["location"])
        if (target.host, target.port) != (response.url.host, response.url.port):
            raise EngineError(
                f"{response.url.host}: sends requests on to {target.host!r:.100}, port {target.port}; if you trust it, "
                "give that address as --endpoint."
            )


async def learn(endpoint: Endpoint, client: Any, model: str) -> None:
    """Notes which fields a server must be sent; raises `EngineError` where it lists other models or refuses the key."""
    from openai import APIConnectionError

    try:
        listed = [item async for item in client.models.list()]
        names, owners = [str(item.id) for item in listed], [item.owned_by for item in listed]
    except Exception as error:
        if (ours := _ours(error)) is not None:
            raise ours from None
        status = getattr(error, "status_code", 0)
        if status == 401:
            raise EngineError(f"{endpoint.name}: refused the key ({one_line(error)}); set {KEY_VARIABLE}.") from None
        if status in TRANSIENT or status >= 500 or isinstance(error, APIConnectionError):
            raise
        names, owners = [], []  # a server without this route, or one that answers it in its own way
    if names and model not in names:
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise EngineError(f"{endpoint.name}: serves {shown}, not {model!r}; correct --model.")
    endpoint.extra = next((fields for owner, fields in FILTERS_OFF.items() if owner in owners), {})


def read_answer(answer: Any, max_tokens: int, server: str) -> tuple[str, int, bool]:
    """Returns text, number of tokens and truncation; a chat answer of null is the empty text.

    Raises:
        BadAnswerError: it is not one whole completion with its token count. EngineError: the server counts no tokens.
    """
    try:
        (choice,) = answer.choices
        is_chat, reason = hasattr(choice, "message"), choice.finish_reason
        text = choice.message.content if is_chat else choice.text
    except (AttributeError, TypeError, ValueError):
        raise BadAnswerError("the answer is not one completion") from None
    text = "" if text is None and is_chat else text
    if not isinstance(text, str) or len(text) > MAX_COMPLETION_CHARS:
        raise BadAnswerError(f"the completion is no text of at most {MAX_COMPLETION_CHARS} characters")
    if reason not in ("stop", "length"):
        raise BadAnswerError(f"the completion ended by {reason!r}; expected stop or length")
    if getattr(answer, "usage", None) is None:
        raise EngineError(f"{server}: reports no usage.completion_tokens; use a server that counts tokens.")
    num_tokens = getattr(answer.usage, "completion_tokens", None)
    if type(num_tokens) is not int or not 0 <= num_tokens <= max_tokens:
        raise BadAnswerError(f"usage.completion_tokens is {num_tokens!r}; expected 0 to {max_tokens}")
    return text, num_tokens, reason == "length"


def server_seed(arm_id: str, problem_id: str, draw_index: int) -> int:
    """Returns a draw's seed: `seed_of` below 2^31, which all servers take; no two draws of a problem share one."""
    return seed_of(arm_id, problem_id, draw_index) % 2**31


def retry_after_s(error: Exception) -> float:
    """Returns the seconds that the server asked to wait, bounded; 0 where it did not, or named a date."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    text = headers.get("retry-after", "")
    return min(MAX_RETRY_AFTER_S, float(text)) if text.replace(".", "", 1).isdecimal() else 0.0


def one_line(error: Exception, timeout_s: float = 0.0) -> str:
    """Returns an error, and what it comes from, in one bounded line without the key."""
    if isinstance(error, TimeoutError):
        return f"no whole answer within {timeout_s:g} s"
    cause = f" ({error.__cause__})" if error.__cause__ is not None and str(error.__cause__) else ""
    text = " ".join(f"{type(error).__name__}: {error}{cause}".split())
    key = os.environ.get(KEY_VARIABLE)
    return (text.replace(key, "***") if key else text)[:300]
