"""What a server of the OpenAI protocol is, says, and refuses.

Owns: the state of a server, the client, what a server says it is, and what counts as an answer.
Does not own: requests, retries and giving up (`probes.engines.openai`).
"""

import logging
import os
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from probes.store.store import MAX_COMPLETION_CHARS
from rlvr.errors import EngineError
from rlvr.verifiers.remote.client import TRANSIENT, seconds_asked

logger = logging.getLogger(__name__)

KEY_VARIABLE = "OPENAI_API_KEY"
CONNECT_TIMEOUT_S = 30.0

# Some servers fill in what a request leaves out, from the model's files or their own defaults (min_p, a top_k of 20 or
# 40, a repetition penalty). An arm knows nothing of the kind, so they are told. Others refuse these fields.
VLLM = "vllm"
FILTERS_OFF: dict[str, dict[str, float]] = {
    VLLM: {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "llamacpp": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
}


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
        is_known: it was asked what it is.
        kind: the key of `FILTERS_OFF` that it says it is, or empty.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self.in_flight, self.failures, self.resumes_at = 0, 0, 0.0
        self.last_error, self.is_alive = "", True
        self.is_known, self.kind = False, ""

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


def our_error(error: BaseException | None) -> EngineError | None:
    """Returns the error of this engine that the client has wrapped in one of its own, if there is one."""
    while error is not None and not isinstance(error, EngineError):
        error = error.__cause__
    return error


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
        if (ours := our_error(error)) is not None:
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
    endpoint.is_known, endpoint.kind = True, next((owner for owner in FILTERS_OFF if owner in owners), "")


def read_answer(answer: Any, num: int, max_tokens: int, server: str) -> list[tuple[str, int, bool]]:
    """Returns text, number of tokens and truncation of each completion of an answer; a chat text of null is empty.

    Args:
        answer: as JSON.
        num: completions that were asked for.
        max_tokens: of each.
        server: for messages.

    Raises:
        BadAnswerError: it is not so many whole completions with their token counts. EngineError: the server counts no
            tokens.
    """
    try:
        choices = sorted(answer["choices"], key=lambda each: each["index"]) if num > 1 else answer["choices"]
        if len(choices) != num or (num > 1 and [each["index"] for each in choices] != list(range(num))):
            raise ValueError
        texts = [_text_of(each) for each in choices]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadAnswerError(f"the answer is not {num} completion{'s' * (num > 1)}") from None
    counts = _counts(answer, choices, server)
    for num_tokens in counts:
        if type(num_tokens) is not int or not 0 <= num_tokens <= max_tokens:
            raise BadAnswerError(f"usage.completion_tokens is {num_tokens!r}; expected 0 to {max_tokens}")
    reasons = [each["finish_reason"] for each in choices]
    return [(text, tokens, reason == "length") for text, tokens, reason in zip(texts, counts, reasons, strict=True)]


def _text_of(choice: dict[str, Any]) -> str:
    """Returns the text of a choice, which must be whole."""
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    text = "" if text is None and "message" in choice else text
    if not isinstance(text, str) or len(text) > MAX_COMPLETION_CHARS:
        raise BadAnswerError(f"the completion is no text of at most {MAX_COMPLETION_CHARS} characters")
    if (reason := choice["finish_reason"]) not in ("stop", "length"):
        raise BadAnswerError(f"the completion ended by {reason!r}; expected stop or length")
    return text


def _counts(answer: dict[str, Any], choices: Sequence[dict[str, Any]], server: str) -> list[Any]:
    """Returns the token counts of the choices; that of one alone is the answer's."""
    if not isinstance(usage := answer.get("usage"), dict):
        raise EngineError(f"{server}: reports no usage.completion_tokens; use a server that counts tokens.")
    if len(choices) == 1:
        return [usage.get("completion_tokens")]
    if not all(isinstance(each.get("token_ids"), list) for each in choices):
        raise EngineError(f"{server}: does not report the tokens of each completion; use --draws-per-request 1.")
    counts = [len(each["token_ids"]) for each in choices]
    if sum(counts) != usage.get("completion_tokens"):
        raise BadAnswerError(
            f"{sum(counts)} tokens came, usage.completion_tokens is {usage.get('completion_tokens')!r}"
        )
    return counts


def retry_after_s(error: Exception) -> float:
    """Returns the seconds that the server asked to wait, bounded; 0 where it did not, or named a date."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return seconds_asked(headers)


def one_line(error: Exception, timeout_s: float = 0.0) -> str:
    """Returns an error, and what it comes from, in one bounded line without the key."""
    if isinstance(error, TimeoutError):
        return f"no whole answer within {timeout_s:g} s"
    cause = f" ({error.__cause__})" if error.__cause__ is not None and str(error.__cause__) else ""
    text = " ".join(f"{type(error).__name__}: {error}{cause}".split())
    key = os.environ.get(KEY_VARIABLE)
    return (text.replace(key, "***") if key else text)[:300]
