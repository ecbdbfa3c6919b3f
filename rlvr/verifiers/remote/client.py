"""Requests with JSON to a server that may be slow, down, busy or hostile.

Owns: how many requests there are at a time, deadlines, retries, giving up on a server that is down, and the bounds of
a reply.
Does not own: what is asked, and what a reply means (`rlvr.verifiers.remote.judge`, `rlvr.verifiers.remote.http`).
"""

import asyncio
import json
import logging
import os
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import httpx

from rlvr.errors import RecipeError
from rlvr.secrets import without_secrets
from rlvr.verifiers.base import one_line

DEADLINE_S = 60.0
MAX_DEADLINE_S = 24 * 3600.0
MAX_CONCURRENCY = 1024
MAX_REPLY_BYTES = 8 * 1024**2
MAX_SAID_CHARS = 200  # of what a server says about a failure
MAX_SECRET_CHARS = 4096
CONNECT_S, BACKOFF_S, MAX_DOUBLINGS, MAX_RETRY_AFTER_S = 10.0, 0.5, 6, 120.0
TRANSIENT = {408, 409, 425, 429}  # of the 4xx statuses, those that another attempt can cure

for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # they log each request's URL, which may be private

In = TypeVar("In")
Out = TypeVar("Out")


class RemoteError(Exception):
    """A server gave no reply that can be used; the message says what was seen, in one line."""


class TransientError(Exception):
    """Another attempt may succeed.

    Args:
        reason: in one line.
        wait_s: seconds that the server asks to wait before it.
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Remote:
    """A server, and how it is asked.

    Attributes:
        url: where requests go.
        name: what messages call it; they do not show the URL.
        token: sent as bearer, and hidden in messages; empty is none.
        concurrency: requests at a time.
        deadline_s: longest time of one request with all its attempts.
    """

    url: str = field(repr=False)
    name: str
    token: str = field(default="", repr=False)
    concurrency: int = 1
    deadline_s: float = DEADLINE_S

    def map(self, ask: "Callable[[Session, In], Awaitable[Out]]", given: Sequence[In]) -> list[Out]:
        """Returns what `ask(session, each)` returns, in order; it must not raise."""

        async def asked() -> list[Out]:
            async with Session(self) as session:
                return await asyncio.gather(*(ask(session, each) for each in given))

        return _run(asked()) if given else []

    def get(self) -> Any:
        """Returns the JSON that the server answers to a GET; raises `RemoteError`."""

        async def asked() -> Any:
            async with Session(self) as session:
                return await session.get()

        return _run(asked())

    @cached_property
    def trusted(self) -> ssl.SSLContext:
        """Certificates; reading them takes longer than a request."""
        return httpx.create_ssl_context()

    def client(self) -> httpx.AsyncClient:
        """Returns a client of one connection that does not leave the server's origin."""
        return httpx.AsyncClient(
            verify=self.trusted,
            headers={"Authorization": f"Bearer {self.token}"} if self.token else {},
            timeout=httpx.Timeout(self.deadline_s, connect=min(CONNECT_S, self.deadline_s)),
            follow_redirects=True,
            event_hooks={"response": [_refuse_other_origins]},
        )

    def shown(self, text: str) -> str:
        """Returns what the server did, in one bounded line that names it and has no secrets."""
        return one_line(f"{self.name} {self.without_token(text)}")

    def excerpt(self, payload: bytes | bytearray) -> str:
        """Returns the start of what a server sent; secrets are hidden before the cut, which could halve one."""
        text = payload[: MAX_SAID_CHARS + MAX_SECRET_CHARS].decode(errors="replace")
        return self.without_token(text)[:MAX_SAID_CHARS]

    def without_token(self, text: str) -> str:
        """Returns text in which the token, and what looks like a secret, is hidden."""
        return without_secrets(text.replace(self.token, "***") if self.token else text)


class Session:
    """The requests of one batch, in one event loop.

    Each has a client of its own meanwhile: httpx looks through all connections of a client for each request, which at
    64 of them takes longer than all else.

    A request that fails on all attempts while no other succeeds shows that the server is down: what has not been sent
    by then fails at once, so that an outage costs a batch one deadline and not one for each request.
    """

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self._clients: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []
        self._slots = asyncio.Semaphore(remote.concurrency)
        self._given_up = ""
        self._last_reply = 0.0

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.aclose()

    async def get(self) -> Any:
        """Returns the JSON that the server answers to a GET; raises `RemoteError`."""
        return await self._ask("GET", None, shows_outage=True)

    async def post(self, body: Mapping[str, Any], shows_outage: bool = True) -> Any:
        """Returns the JSON that the server answers to a body.

        Args:
            body: JSON; lone surrogates in it cross as escapes.
            shows_outage: whether its failure may mean that the server is down; not where part of it may be the cause.

        Raises:
            RemoteError: there is none.
        """
        return await self._ask("POST", body, shows_outage)

    def give_up(self, reason: str) -> None:
        """Lets all requests fail that have not been sent."""
        self._given_up = reason

    async def _ask(self, method: str, body: Mapping[str, Any] | None, shows_outage: bool) -> Any:
        async with self._slots:
            if self._given_up:
                raise RemoteError(self._given_up)
            content = None if body is None else json.dumps(body).encode()
            began, failures = time.monotonic(), ["sent no whole reply"]
            try:
                async with asyncio.timeout(self.remote.deadline_s), self._a_client() as client:
                    reply = await self._attempts(client, method, content, failures)
            except TimeoutError:
                reason = self.remote.shown(f"{failures[-1]}; given up after {self.remote.deadline_s:g} s")
                if shows_outage and self._last_reply < began:
                    self.give_up(reason)
                raise RemoteError(reason) from None
            self._last_reply = time.monotonic()
            return reply

    @asynccontextmanager
    async def _a_client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Gives a client that no other request uses meanwhile."""
        if not self._idle:
            self._idle.append(self.remote.client())
            self._clients.append(self._idle[-1])
        client = self._idle.pop()
        try:
            yield client
        finally:
            self._idle.append(client)

    async def _attempts(
        self, client: httpx.AsyncClient, method: str, content: bytes | None, failures: list[str]
    ) -> Any:
        """Returns the first reply; raises `TimeoutError` where the next attempt would come after the deadline."""
        until = time.monotonic() + self.remote.deadline_s
        while True:
            try:
                return await self._attempt(client, method, content)
            except TransientError as error:
                failures.append(str(error))
                backoff_s = BACKOFF_S * 2.0 ** min(len(failures) - 2, MAX_DOUBLINGS)
                wait_s = max(error.wait_s, backoff_s * random.uniform(0.5, 1.0))  # noqa: S311
            if time.monotonic() + wait_s >= until:
                raise TimeoutError
            await asyncio.sleep(wait_s)

    async def _attempt(self, client: httpx.AsyncClient, method: str, content: bytes | None) -> Any:
        """Returns the JSON of one reply."""
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            async with client.stream(method, self.remote.url, content=content, headers=headers) as response:
                payload = await self._whole(response)
        except httpx.TransportError as error:
            raise TransientError(f"is not reached: {type(error).__name__}: {error}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._refusal(f"sent what is no reply: {type(error).__name__}: {error}") from None
        said = f"answered {response.status_code}: {self.remote.excerpt(payload)}"
        if response.status_code in TRANSIENT or response.status_code >= 500:
            raise TransientError(said, seconds_asked(response.headers))
        if not response.is_success:
            raise self._refusal(said)
        return self._json(bytes(payload))

    async def _whole(self, response: httpx.Response) -> bytearray:
        """Returns the bytes of a reply within the bound."""
        payload = bytearray()
        async for chunk in response.aiter_bytes():
            payload += chunk
            if len(payload) > MAX_REPLY_BYTES:
                raise self._refusal(f"sent more than {MAX_REPLY_BYTES} bytes")
        return payload

    def _json(self, payload: bytes) -> Any:
        """Returns the value of a reply, in which NaN and infinities are no JSON."""
        try:
            return json.loads(payload, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise self._refusal(f"sent what is not JSON: {self.remote.excerpt(payload)}") from None

    def _refusal(self, reason: str) -> RemoteError:
        return RemoteError(self.remote.shown(reason))


def checked_url(text: str, field: str, shows_it: bool = True) -> str:
    """Returns the URL of a server as it was given.

    Args:
        text: as it was given.
        field: where it was given, for messages.
        shows_it: whether a message may hold it.

    Raises:
        RecipeError: it is none, or holds a user and a password.
    """
    shown = f" is {text!r:.200}" if shows_it else ""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.userinfo:
        raise RecipeError(f"{field}: holds a user or a password; take it out, and set the token in the environment.")
    if url.scheme not in ("http", "https") or not url.host:
        raise RecipeError(f"{field}:{shown or ' is no such URL'}; expected a URL such as http://HOST:PORT/PATH.")
    return text


def token_of(variable: str) -> str:
    """Returns a secret of the environment, empty where it is not set; raises `RecipeError` where it cannot be sent."""
    token = os.environ.get(variable, "").strip()
    if not (token.isascii() and token.isprintable()):
        raise RecipeError(f"{variable}: holds characters that cannot be sent; expected printable ASCII.")
    return token


def seconds_asked(headers: Mapping[str, str]) -> float:
    """Returns the seconds that a server asks to wait, bounded; 0 where it does not, or names a date."""
    text = headers.get("retry-after", "")
    is_number = text.isascii() and text.replace(".", "", 1).isdecimal()
    return min(MAX_RETRY_AFTER_S, float(text)) if is_number else 0.0


async def _refuse_other_origins(response: httpx.Response) -> None:
    """Raises `RemoteError` where a server sends the client on to another origin, which would be given the answers."""
    if response.has_redirect_location:
        target = response.url.join(response.headers["location"])
        if (target.scheme, target.host, target.port) != (response.url.scheme, response.url.host, response.url.port):
            raise RemoteError(
                f"the server sends requests on to {target.scheme}://{target.host!r:.100}, port {target.port}; if you "
                "trust it, give that address."
            )


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _run(work: Coroutine[Any, Any, Out]) -> Out:
    """Returns what a coroutine returns; in a thread of its own where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
