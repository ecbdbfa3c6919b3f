"""A verifier that runs elsewhere: a service that speaks a small JSON protocol (`docs/remote-verifiers.md`).

    http?url=https://HOST:PORT/PATH

Owns: the protocol.
Does not own: retries (`rlvr.verifiers.remote.client`), and the service.

A batch that a service refuses is sent again answer by answer: none makes its neighbours an `error`. The token comes
from RLVR_HTTP_VERIFIER_TOKEN.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.verifiers.base import after_reasoning, one_line
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
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict

NAME, VERSION = "http", 1
PROTOCOL = "rlvr.verifier/1"
TOKEN_VARIABLE = "RLVR_HTTP_VERIFIER_TOKEN"  # noqa: S105 - the name of a variable
CONCURRENCY, BATCH, MAX_BATCH = 16, 16, 256
WORD = re.compile(r"[A-Za-z0-9._+-]{1,64}")
RESULT = "expected one of outcome, correct and score"

Item = tuple[Problem, str]


class HttpVerifier:
    """Judges by asking a service.

    Its id holds the name and the version that the service gives itself, and the threshold.

    Args:
        url: of the service.
        concurrency: requests at a time.
        deadline_s: longest time of one request with its retries.
        batch: completions in one request.
        threshold: lowest score that is correct, more than 0 and at most 1.

    Raises:
        RecipeError: the service does not say what it is.
    """

    uses_workers = True

    def __init__(
        self,
        url: str,
        concurrency: int = CONCURRENCY,
        deadline_s: float = DEADLINE_S,
        batch: int = BATCH,
        threshold: float = 1.0,
    ) -> None:
        self.batch, self.threshold = batch, threshold
        self._remote = Remote(url, "the verifier's service", token_of(TOKEN_VARIABLE), concurrency, deadline_s)
        try:
            self.service, self.version = self._introduced()
        except RemoteError as error:
            raise RecipeError(f"verifier: {url!r:.200}: {error}; start the service, or correct the url.") from None
        self.verifier_id = f"{NAME}@{VERSION}?service={self.service}&version={self.version}&threshold={threshold!r}"

    @classmethod
    def of(cls, spec: Spec) -> "HttpVerifier":
        """Returns the verifier of a recipe's `http?url=...&concurrency=...&deadline=...&batch=...`."""
        spec.only("url", "concurrency", "deadline", "batch", "threshold")
        return cls(
            checked_url(spec.options.get("url", ""), f"{spec.field}: url"),
            concurrency=spec.integer("concurrency", at_least=1, at_most=MAX_CONCURRENCY) or CONCURRENCY,
            deadline_s=spec.number("deadline", default=DEADLINE_S, above=0, at_most=MAX_DEADLINE_S),
            batch=spec.integer("batch", at_least=1, at_most=MAX_BATCH) or BATCH,
            threshold=spec.number("threshold", default=1.0, above=0, at_most=1),
        )

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Does nothing: what the service needs of a problem is not known."""

    @after_reasoning
    def verify(self, items: Sequence[Item]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order."""
        batches = [items[start : start + self.batch] for start in range(0, len(items), self.batch)]
        return [verdict for batch in self._remote.map(self._judge, batches) for verdict in batch]

    def close(self) -> None:
        """Does nothing: no process and no connection stays."""

    def _introduced(self) -> tuple[str, str]:
        """Returns the name and the version of the service; raises `RemoteError`."""
        said = self._remote.get()
        if not isinstance(said, dict) or said.get("protocol") != PROTOCOL:
            raise RemoteError(self._remote.shown(f"does not say that it speaks {PROTOCOL!r}"))
        name, version = (_word(said.get(key)) for key in ("name", "version"))
        if not name or not version:
            reason = "does not say its name and version; expected texts of 1 to 64 letters, digits and ._+-"
            raise RemoteError(self._remote.shown(reason))
        return name, version

    async def _judge(self, session: Session, batch: Sequence[Item]) -> list[Verdict]:
        """Returns the verdicts of a batch, each alone where the batch as a whole fails."""
        try:
            reply = await session.post(self._body(batch), shows_outage=len(batch) == 1)
            return [self._verdict(result) for result in self._results(session, reply, len(batch))]
        except RemoteError as error:
            if len(batch) == 1:
                return [Verdict(Outcome.ERROR, reason=one_line(str(error)))]
        alone = await asyncio.gather(*(self._judge(session, [item]) for item in batch))
        return [verdict for (verdict,) in alone]

    def _body(self, batch: Sequence[Item]) -> dict[str, Any]:
        items = [
            {
                "problem": {"question": problem.question, "answer": problem.answer, "meta": dict(problem.meta)},
                "completion": completion,
            }
            for problem, completion in batch
        ]
        return {"protocol": PROTOCOL, "items": items}

    def _results(self, session: Session, reply: Any, expected: int) -> list[Any]:
        """Returns the results of a reply, one for each item."""
        reply = reply if isinstance(reply, dict) else {}
        results, version = reply.get("results"), reply.get("version")
        if not isinstance(results, list) or len(results) != expected:
            seen = f"{len(results)} results" if isinstance(results, list) else "no list of results"
            raise RemoteError(self._remote.shown(f"sent {seen} for {expected} completions"))
        if version != self.version:
            reason = self._remote.shown(f"was version {self.version} and is another now; start again")
            session.give_up(reason)
            raise RemoteError(reason)
        return results

    def _verdict(self, result: Any) -> Verdict:
        """Returns the verdict that a result means; a service may have sent anything."""
        try:
            return self._read(result if isinstance(result, dict) else {})
        except (ValueError, RecursionError) as error:
            return Verdict(Outcome.ERROR, reason=self._remote.shown(f"sent no verdict: {error}"))

    def _read(self, result: dict[str, Any]) -> Verdict:
        """Returns the verdict of a result that is as it should be."""
        score = result.get("score")
        if isinstance(score, bool) or not (score is None or (isinstance(score, (int, float)) and 0 <= score <= 1)):
            raise ValueError(f"a score of {score!r:.50}, expected a number from 0 to 1")
        said = [name for name in ("outcome", "correct") if result.get(name) is not None]
        if len(said) > 1 or (not said and score is None):
            raise ValueError(f"{' and '.join(said) or 'none of them'}, {RESULT}")
        answer = result.get("answer")
        return Verdict(
            self._outcome(result, None if score is None else float(score)),
            answer=None if answer is None else str(answer)[:MAX_VERDICT_CHARS],
            reason=one_line(str(result.get("reason") or "")),
            score=None if score is None else float(score),
        )

    def _outcome(self, result: dict[str, Any], score: float | None) -> Outcome:
        """Returns the outcome that a result names, or that its score means."""
        if (name := result.get("outcome")) is not None:
            if name not in list(Outcome):
                raise ValueError(f"the outcome {name!r:.50}, expected one of {', '.join(Outcome)}")
            return Outcome(name)
        is_correct = result.get("correct")
        if is_correct is None:
            is_correct = score is not None and score >= self.threshold
        if not isinstance(is_correct, bool):
            raise ValueError(f"correct is {is_correct!r:.50}, expected true or false")
        return Outcome.CORRECT if is_correct else Outcome.WRONG


def _word(value: Any) -> str:
    """Returns a value that can stand in an id, else an empty text."""
    return value if isinstance(value, str) and WORD.fullmatch(value) else ""
