"""A language model that judges, behind a server of the OpenAI protocol.

    judge?model=M                          is this answer right, given the reference answer?
    judge?model=M&rubric=FILE              by a rubric of one's own
    judge?model=M&rubric=reasoning         is the reasoning right? for `probes analyze --reasoning-judge`

Owns: where the server is, requests, reading replies, and verdicts.
Does not own: what the model is told (`rlvr.verifiers.remote.rubric`), retries (`rlvr.verifiers.remote.client`).

The server comes from the environment: RLVR_JUDGE_BASE_URL with RLVR_JUDGE_API_KEY, else OPENAI_BASE_URL with
OPENAI_API_KEY. Neither is logged or stored, and a key goes to no other server than the one that it was set for.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.problems.types import content_hash
from rlvr.verifiers.base import Memory, after_reasoning, one_line
from rlvr.verifiers.remote.cache import Judgements
from rlvr.verifiers.remote.client import (
    DEADLINE_S,
    MAX_CONCURRENCY,
    MAX_DEADLINE_S,
    Remote,
    RemoteError,
    Session,
    checked_url,
    token_of,
)
from rlvr.verifiers.remote.rubric import messages, rubric_of
from rlvr.verifiers.verdicts import Outcome, Verdict

NAME, VERSION = "judge", 1
OWN, OPENAI = "RLVR_JUDGE", "OPENAI"
CONCURRENCY, MAX_TOKENS = 64, 2048
MAX_REPLY_CHARS = 100_000
WORDS = {"correct": True, "right": True, "true": True, "yes": True}
WORDS |= {"wrong": False, "incorrect": False, "false": False, "no": False}
UNKNOWN = "unknown"

Judgement = dict[str, Any]


class ReplyError(Exception):
    """What a judge replied is no judgement; the message says what was seen."""


class JudgeVerifier:
    """Judges by asking a model, once for each content.

    A judgement is `correct` or `wrong`, or a score from 0 to 1, which is the reward and correct from `threshold` on. A
    judge that cannot be asked, cannot tell, or replies with anything else is the outcome `error`, which is not cached.

    The verifier's id holds the rubric's hash, the model's name and the threshold.

    Args:
        rubric: text.
        model: name under which the server has it.
        concurrency: calls at a time.
        deadline_s: longest time of one call with its retries.
        threshold: lowest score that is correct, more than 0 and at most 1.
        max_tokens: of a reply.
        cache: folder of judgements, None for those of this process only.

    Raises:
        RecipeError: the environment names no server, or the cache cannot be used.
    """

    uses_workers = True

    def __init__(
        self,
        rubric: str,
        model: str,
        concurrency: int = CONCURRENCY,
        deadline_s: float = DEADLINE_S,
        threshold: float = 1.0,
        max_tokens: int = MAX_TOKENS,
        cache: Path | None = None,
    ) -> None:
        url, token = server_of_environment()
        self.rubric, self.model, self.threshold, self.max_tokens = rubric, model, threshold, max_tokens
        self._remote = Remote(
            f"{url.rstrip('/')}/chat/completions", "the judge's server", token, concurrency, deadline_s
        )
        self._memory: Memory[str] = Memory()
        self._kept = cache and Judgements(cache)
        name = quote(model, safe="/:@ ")
        self.verifier_id = f"{NAME}@{VERSION}?rubric={content_hash(rubric)[:12]}&model={name}&threshold={threshold!r}"

    @classmethod
    def of(cls, spec: Spec) -> "JudgeVerifier":
        """Returns the verifier of a recipe's `judge?model=...&rubric=...`."""
        spec.only("rubric", "text", "model", "concurrency", "deadline", "threshold", "max_tokens", "cache")
        if "model" not in spec.options:
            raise RecipeError(
                f"{spec.field}: {spec.text!r} names no model; add model=NAME, as the judge's server has it."
            )
        return cls(
            rubric_of(spec),
            spec.options["model"],
            concurrency=spec.integer("concurrency", at_least=1, at_most=MAX_CONCURRENCY) or CONCURRENCY,
            deadline_s=spec.number("deadline", default=DEADLINE_S, above=0, at_most=MAX_DEADLINE_S),
            threshold=spec.number("threshold", default=1.0, above=0, at_most=1),
            max_tokens=spec.integer("max_tokens", at_least=1) or MAX_TOKENS,
            cache=Path(spec.options["cache"]) if "cache" in spec.options else None,
        )

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Does nothing: a judge reads any problem."""

    @after_reasoning
    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order."""
        asked = [self._question(problem, completion) for problem, completion in items]
        keys = [content_hash(question) for question in asked]
        waiting = dict(zip(keys, asked, strict=True))
        verdicts = self._memory.recall(waiting)
        verdicts |= self._from_disk([key for key in waiting if key not in verdicts])
        new = [(key, question) for key, question in waiting.items() if key not in verdicts]
        verdicts |= zip((key for key, _ in new), self._remote.map(self._ask, new), strict=True)
        self._memory.keep(verdicts)
        return [verdicts[key] for key in keys]

    def close(self) -> None:
        """Does nothing: no process and no connection stays."""

    def _question(self, problem: Problem, completion: str) -> dict[str, Any]:
        """Returns what a judgement depends on, as the server is sent it."""
        return {"model": self.model, "temperature": 0, "messages": messages(self.rubric, problem, completion)}

    def _from_disk(self, keys: Sequence[str]) -> dict[str, Verdict]:
        """Returns the verdicts of judgements that are kept; one that cannot be read is asked for again."""
        found = self._kept.recall(keys) if self._kept else {}
        verdicts = {key: self._verdict(text) for key, text in found.items()}
        return {key: verdict for key, verdict in verdicts.items() if verdict.outcome is not Outcome.ERROR}

    async def _ask(self, session: Session, keyed: tuple[str, dict[str, Any]]) -> Verdict:
        """Returns the verdict of one question."""
        key, question = keyed
        try:
            text = text_of(await session.post({**question, "max_tokens": self.max_tokens}))
        except (RemoteError, ReplyError) as error:
            return Verdict(Outcome.ERROR, reason=one_line(str(error)))
        verdict = self._verdict(text)
        if self._kept and verdict.outcome is not Outcome.ERROR:
            self._kept.keep(key, json.dumps(judgement_in(text)))
        return verdict

    def _verdict(self, text: str) -> Verdict:
        """Returns the verdict of a judge's words."""
        try:
            said = judgement_in(text)
        except ReplyError as error:
            return Verdict(Outcome.ERROR, reason=one_line(self._remote.shown(str(error))))
        score = said.get("score")
        is_correct = said["verdict"] if score is None else score >= self.threshold
        outcome = Outcome.CORRECT if is_correct else Outcome.WRONG
        return Verdict(outcome, reason=said["reason"], score=score)


def server_of_environment() -> tuple[str, str]:
    """Returns the base URL of the judge's server and its key, empty for none.

    Raises:
        RecipeError: no server is named, or its URL is none.
    """
    for owner in (OWN, OPENAI):
        variable = f"{owner}_BASE_URL"
        if url := os.environ.get(variable, "").strip():
            token = token_of(f"{OWN}_API_KEY") or (token_of(f"{OPENAI}_API_KEY") if owner == OPENAI else "")
            return checked_url(url, variable, shows_it=False), token
    raise RecipeError(
        f"verifier: judge needs a server of the OpenAI protocol; set {OWN}_BASE_URL, for example http://HOST:PORT/v1, "
        f"and {OWN}_API_KEY where it asks for a key."
    )


def text_of(reply: Any) -> str:
    """Returns the words of a judge after its reasoning.

    Raises:
        ReplyError: the reply is no whole chat completion.
    """
    try:
        (choice,) = reply["choices"]
        text, ended = choice["message"]["content"], choice.get("finish_reason")
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ReplyError("the judge's server sent no chat completion") from None
    if ended not in ("stop", None):
        raise ReplyError(f"the judge's reply ended by {str(ended)!r:.50}; raise max_tokens where that is 'length'")
    if not isinstance(text, str) or len(text) > MAX_REPLY_CHARS:
        raise ReplyError(f"the judge's reply is no text of at most {MAX_REPLY_CHARS} characters")
    return text.rpartition("</think>")[2]


def judgement_in(text: str) -> Judgement:
    """Returns the one judgement in a text: `reason`, and `score` from 0 to 1 or `verdict`, True for correct.

    Words around it are passed over. Where several objects hold a verdict none counts: one may be a quotation.

    Raises:
        ReplyError: there is none, or more than one, or it says something else.
    """
    found = [each for each in _objects_in(text) if "verdict" in each or "score" in each]
    if len(found) != 1:
        raise ReplyError(f"replied with {len(found)} judgements, expected one: {text[:200]}")
    said = found[0]
    reason = one_line(given) if isinstance(given := said.get("reason"), str) else ""
    if "verdict" in said and "score" in said:
        raise ReplyError("replied with a verdict and a score, expected one of them")
    if "score" in said:
        return {"reason": reason, "score": _score(said["score"])}
    return {"reason": reason, "verdict": _is_correct(said["verdict"])}


def _objects_in(text: str) -> list[Judgement]:
    """Returns the outermost JSON objects of a text."""
    decoder, found, at = json.JSONDecoder(), [], text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
            found.append(value)
        except (ValueError, RecursionError):
            end = at + 1
        at = text.find("{", end)
    return found


def _score(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ReplyError(f"replied with the score {_shown(value)}, expected a number from 0 to 1")
    return float(value)


def _is_correct(value: Any) -> bool:
    word = str(value).strip().lower() if isinstance(value, (str, bool)) else ""
    if word == UNKNOWN:
        raise ReplyError("cannot tell")
    if word not in WORDS:
        raise ReplyError(f"replied with the verdict {_shown(value)}, expected correct or wrong")
    return WORDS[word]


def _shown(value: Any) -> str:
    """Returns a JSON value for a message; the name of its type where it may be large."""
    return type(value).__name__ if isinstance(value, (dict, list)) else f"{value!r:.50}"
