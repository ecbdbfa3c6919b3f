"""Servers that speak the OpenAI protocol: `vllm serve`, SGLang, llama.cpp, hosted services.

Owns: requests in flight over one or more servers, retries, what counts as an answer, and giving up on a server.
Does not own: the servers. The key comes from `OPENAI_API_KEY` and is neither logged nor stored.

One completion a request, so that the token count of each is exact and every server can do it; servers with prefix
caching read the prompt once all the same. Text prompts go to /completions, messages to /chat/completions. What is
delivered is never drawn again: a request is repeated only where no valid answer came.
"""

import asyncio
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from probes.arm import Arm
from probes.engines import Request
from probes.store import MAX_COMPLETION_CHARS, Draw
from rlvr.errors import EngineError

logger = logging.getLogger(__name__)

KEY_VARIABLE = "OPENAI_API_KEY"
BACKOFF_S, MAX_BACKOFF_S = 0.5, 30.0


class BadAnswerError(Exception):
    """A server answered, and the answer cannot be used."""


class Endpoint:
    """One server.

    Attributes:
        url: base URL, for example http://host:8000/v1.
        in_flight: requests that it has not answered.
        failures: requests that failed in a row.
        is_alive: False once it was set aside.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.in_flight = 0
        self.failures = 0
        self.is_alive = True


class OpenAIEngine:
    """Samples from servers that serve one model.

    Args:
        endpoints: base URLs; requests go to the one with the fewest in flight.
        model: name under which they serve it.
        arm: whose sampling parameters are sent.
        concurrency: requests in flight, over all servers.
        timeout_s: seconds until a request without an answer is given up.
        max_attempts: of one request; and failures in a row after which a server is set aside.
        backoff_s: seconds before the second attempt; doubled before each further one, up to 30.

    Raises:
        EngineError: a server does not serve the model.
    """

    name = "openai"

    def __init__(
        self,
        endpoints: Sequence[str],
        model: str,
        arm: Arm,
        concurrency: int = 64,
        timeout_s: float = 600.0,
        max_attempts: int = 6,
        backoff_s: float = BACKOFF_S,
    ) -> None:
        self.model = model
        self.arm = arm
        self.concurrency = concurrency
        self.timeout_s = timeout_s
        self.max_attempts = max_attempts
        self.backoff_s = backoff_s
        self.endpoints = [Endpoint(url) for url in endpoints]
        for endpoint in self.endpoints:
            check_model(endpoint, model)

    def sample(self, requests: Sequence[Request]) -> Iterator[Sequence[Draw]]:
        """Yields draws as servers answer; at most `concurrency` requests are in flight.

        The requests live in a thread of their own and go on while the caller stores what it has. When the caller stops,
        they are cancelled.

        Raises:
            EngineError: no server is left, or all attempts of a request failed.
        """
        run = _Run(self, requests)
        thread = threading.Thread(target=run.main, name="openai-engine", daemon=True)
        thread.start()
        try:
            while batch := run.next_batch():
                yield batch
            if run.error is not None:
                raise run.error
        finally:
            run.cancel()
            thread.join()

    def close(self) -> None:
        """Nothing to free: connections end with each call of `sample`."""

    async def draw(self, clients: "dict[str, Any]", request: Request, index: int) -> Draw:
        """Returns one draw, after as many attempts as it takes.

        Raises:
            EngineError: it cannot be had.
        """
        import openai

        last = ""
        for attempt in range(self.max_attempts):
            endpoint = self._take()
            failed = True
            try:
                text, num_tokens, truncated = await self._ask(clients[endpoint.url], request, index)
                failed = False
                return Draw(request.problem_id, index, text, num_tokens, truncated, self.name)
            except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
                raise EngineError(_refused(endpoint.url, self.model, error)) from None
            except openai.BadRequestError as error:
                raise EngineError(f"{endpoint.url}: the server refused a request: {_line(error)}") from None
            except Exception as error:  # garbage breaks the client in ways of its own: JSON, HTTP, types
                last = f"{endpoint.url}: {_line(error)}"
                pause_s = _retry_after(error) or min(MAX_BACKOFF_S, self.backoff_s * 2**attempt)
            finally:
                self._give_back(endpoint, failed)
            await asyncio.sleep(pause_s)
        raise EngineError(
            f"draw {index} of problem {request.problem_id} failed {self.max_attempts} times, the last time at {last}. "
            "What was delivered is stored; the same command goes on."
        )

    def _take(self) -> Endpoint:
        """Returns the living server with the fewest requests in flight, with one more counted."""
        chosen = min((each for each in self.endpoints if each.is_alive), key=lambda each: each.in_flight)
        chosen.in_flight += 1
        return chosen

    def _give_back(self, endpoint: Endpoint, failed: bool) -> None:
        """Counts a request as answered or failed; sets a server aside that fails too often in a row.

        The last server is never set aside: there each request has all its attempts.
        """
        endpoint.in_flight -= 1
        endpoint.failures = endpoint.failures + 1 if failed else 0
        num_others = sum(other.is_alive for other in self.endpoints) - 1
        if endpoint.is_alive and num_others and endpoint.failures >= self.max_attempts:
            endpoint.is_alive = False
            logger.warning("%s failed %d times in a row; the others go on.", endpoint.url, endpoint.failures)

    async def _ask(self, client: Any, request: Request, index: int) -> tuple[str, int, bool]:
        """Returns text, number of tokens and truncation of one completion."""
        sampling = self.arm.sampling
        shared: dict[str, Any] = {
            "model": self.model,
            "n": 1,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": server_seed(self.arm.arm_id, request.problem_id, index),
            "max_tokens": sampling.max_new_tokens,
            "extra_body": {"top_k": sampling.top_k} if sampling.top_k else None,
        }
        content = request.prompt.content
        if isinstance(content, str):
            answer = await client.completions.create(prompt=content, **shared)
            return read_answer(answer, lambda choice: choice.text, sampling.max_new_tokens)
        reply = await client.chat.completions.create(messages=content, **shared)
        return read_answer(reply, lambda choice: choice.message.content or "", sampling.max_new_tokens)


class _Run:
    """One call of `sample`: its event loop, its results and its end."""

    def __init__(self, engine: OpenAIEngine, requests: Sequence[Request]) -> None:
        self.engine = engine
        self.todo = ((request, index) for request in requests for index in request.draw_indices)
        self.results: SimpleQueue[Draw | None] = SimpleQueue()  # None: no more will come
        self.error: BaseException | None = None
        self.loop = asyncio.new_event_loop()
        self.task: asyncio.Task[None] | None = None

    def main(self) -> None:
        """Runs in the thread: makes all draws, or ends with `error`."""
        try:
            self.task = self.loop.create_task(self._all())
            self.loop.run_until_complete(self.task)
        except asyncio.CancelledError:
            pass
        except BaseExceptionGroup as group:
            self.error = group.exceptions[0]
        except Exception as error:
            self.error = error
        finally:
            self.results.put(None)
            self.loop.close()

    async def _all(self) -> None:
        clients = {each.url: make_client(each.url, self.engine.timeout_s) for each in self.engine.endpoints}
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.engine.concurrency):
                    group.create_task(self._worker(clients))
        finally:
            for client in clients.values():
                await client.close()

    async def _worker(self, clients: dict[str, Any]) -> None:
        for request, index in self.todo:
            self.results.put(await self.engine.draw(clients, request, index))

    def next_batch(self) -> list[Draw]:
        """Returns all draws that are there, at least one; none when no more will come."""
        batch: list[Draw] = []
        item = self.results.get()
        while item is not None:
            batch.append(item)
            try:
                item = self.results.get_nowait()
            except Empty:
                return batch
        if batch:
            self.results.put(None)
        return batch

    def cancel(self) -> None:
        """Ends the requests in flight; does nothing where all are done."""
        if self.task is not None and not self.loop.is_closed():
            try:
                self.loop.call_soon_threadsafe(self.task.cancel)
            except RuntimeError:  # closed in between
                return


def make_client(url: str, timeout_s: float) -> Any:
    """Returns a client with the key of the environment; local servers ask for none.

    Its own retries are off: they are made here, where another server can take over.
    """
    import openai

    key = os.environ.get(KEY_VARIABLE) or "EMPTY"
    return openai.AsyncOpenAI(base_url=url, api_key=key, timeout=timeout_s, max_retries=0)


def check_model(endpoint: Endpoint, model: str) -> None:
    """Raises `EngineError` unless the server lists the model, as far as it lists any.

    A server that does not answer yet is not refused here: requests are tried again, and others may take over.
    """
    import openai

    key = os.environ.get(KEY_VARIABLE) or "EMPTY"
    try:
        with openai.OpenAI(base_url=endpoint.url, api_key=key, timeout=10.0, max_retries=0) as client:
            served = [item.id for item in client.models.list()]
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise EngineError(_refused(endpoint.url, model, error)) from None
    except Exception as error:  # a server without this route, or one that answers it in its own way
        logger.debug("%s does not list its models: %s", endpoint.url, _line(error))
        return
    if served and model not in served:
        raise EngineError(f"{endpoint.url}: serves {', '.join(served)}, not {model!r}; correct --model.")


def read_answer(answer: Any, text_of: Callable[[Any], Any], max_tokens: int) -> tuple[str, int, bool]:
    """Returns text, number of tokens and truncation of an answer.

    Raises:
        BadAnswerError: it is not one whole completion with its token count.
    """
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or len(choices) != 1:
        raise BadAnswerError("the answer has no single choice")
    try:
        text = text_of(choices[0])
    except AttributeError:
        text = None
    if not isinstance(text, str) or len(text) > MAX_COMPLETION_CHARS:
        raise BadAnswerError("the answer has no text, or one beyond all bounds")
    reason = getattr(choices[0], "finish_reason", None)
    if reason not in ("stop", "length"):
        raise BadAnswerError(f"the completion ended by {reason!r}; expected stop or length")
    num_tokens = getattr(getattr(answer, "usage", None), "completion_tokens", None)
    if not isinstance(num_tokens, int) or not 0 <= num_tokens <= max_tokens:
        raise BadAnswerError(f"usage.completion_tokens is {num_tokens!r}; expected 0 to {max_tokens}")
    return text, num_tokens, reason == "length"


def server_seed(arm_id: str, problem_id: str, draw_index: int) -> int:
    """Returns the seed of one draw for servers, below 2^31, which all of them take.

    Within a problem a draw's seed is a fixed offset plus its index, so no two draws share one below 2^31 draws.
    """
    offset = int.from_bytes(hashlib.sha256(f"{arm_id}|{problem_id}".encode()).digest()[:4]) >> 1
    return (offset + draw_index) % 2**31


def _refused(url: str, model: str, error: Exception) -> str:
    return f"{url}: refused model {model!r} ({_line(error)}); check --model and the key in {KEY_VARIABLE}."


def _retry_after(error: Exception) -> float | None:
    """Returns the seconds that the server asked to wait, bounded, or None."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    text = headers.get("retry-after", "")
    return min(MAX_BACKOFF_S, float(text)) if text.replace(".", "", 1).isdigit() else None


def _line(error: Exception) -> str:
    """Returns an error in one bounded line without the key."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    key = os.environ.get(KEY_VARIABLE)
    return text.replace(key, "***") if key else text
