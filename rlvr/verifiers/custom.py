"""A user's own verifier: a Python function of a problem and a completion.

Owns: the process that the function runs in, how many calls it has at a time, deadlines, and verdicts.
Does not own: calling the function and reading its results (`rlvr.verifiers.custom_worker`).
"""

import json
import os
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.sandbox.child import Child, ChildError, DeadlineError, EndedError
from rlvr.verifiers.base import after_reasoning, one_line
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict

DEADLINE_S = 300.0
MAX_DEADLINE_S = 24 * 3600.0
MAX_CONCURRENCY = 1024
MAX_BATCH = 256  # completions in one call of a function that takes batches
IMPORT_S = 600.0  # longest time for the import of the user's module, which may load a model
GRACE_S = 1.0  # from the deadline, which an awaited call keeps by itself, to the end of the process
MAX_REPLY_BYTES = 8 * 1024**2

Item = tuple[Problem, str]


class CustomVerifier:
    """Judges with `function(problem, completion)`, in a process of its own.

    The function returns a bool, a number from 0 to 1, or a `Verdict`. A number is the reward, and correct from
    `threshold` on. An `async` function has up to `concurrency` calls at a time, another one runs in as many threads. A
    function whose second parameter is named `completions` takes lists of up to `MAX_BATCH` and returns a list. An
    exception, or any other result, is the outcome `error` with a reason; what exceeds the deadline is a `timeout`.

    The verifier's id holds a hash of the module's source file, so that verdicts of an edited function are not mixed
    with older ones.

    Args:
        name: `package.module:function`. Modules are also looked up in the current folder.
        concurrency: calls at a time.
        deadline_s: longest time of one call.
        threshold: lowest number that is correct, more than 0 and at most 1.

    Raises:
        RecipeError: the function cannot be imported.
    """

    uses_workers = True

    def __init__(self, name: str, concurrency: int = 1, deadline_s: float = DEADLINE_S, threshold: float = 1.0) -> None:
        self.name = name
        self.concurrency = concurrency
        self.deadline_s = deadline_s
        self.threshold = threshold
        self._process = _Process({"name": name, "concurrency": concurrency, "deadline_s": deadline_s})
        weakref.finalize(self, self._process.close)
        self._process.start()
        self.verifier_id = f"{name}@{self._process.source}?threshold={threshold!r}"

    @classmethod
    def of(cls, spec: Spec) -> "CustomVerifier":
        """Returns the verifier of a recipe's `package.module:function?concurrency=...&deadline=...&threshold=...`."""
        spec.only("concurrency", "deadline", "threshold")
        return cls(
            spec.name,
            concurrency=spec.integer("concurrency", at_least=1, at_most=MAX_CONCURRENCY) or 1,
            deadline_s=spec.number("deadline", default=DEADLINE_S, above=0, at_most=MAX_DEADLINE_S),
            threshold=spec.number("threshold", default=1.0, above=0, at_most=1),
        )

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Does nothing: what the function needs of a problem is not known."""

    @after_reasoning
    def verify(self, items: Sequence[Item]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order."""
        size = MAX_BATCH if self._process.takes_batches else 1
        batches = [items[start : start + size] for start in range(0, len(items), size)]
        results = _Dialogue(self._process, batches, self.concurrency, self.deadline_s).run()
        return [self._verdict(result) for batch in results for result in batch]

    def close(self) -> None:
        """Ends the process; the next call starts a new one."""
        self._process.close()

    def _verdict(self, result: Any) -> Verdict:
        """Returns the verdict that a result means; the process may have sent anything."""
        try:
            return self._read(result)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return Verdict(Outcome.ERROR, reason=one_line(f"the verifier's process sent no verdict: {error}"))

    def _read(self, result: dict[str, Any]) -> Verdict:
        """Returns the verdict of a result that is as it should be."""
        if "failed" in result:
            return Verdict(Outcome.ERROR, reason=one_line(str(result["failed"])))
        if "late" in result:
            return Verdict(Outcome.TIMEOUT, reason=f"exceeded the deadline of {self.deadline_s:g} s")
        score = None if result.get("score") is None else float(result["score"])
        if score is not None and not 0 <= score <= 1:
            raise ValueError(f"a score of {score}")
        if "outcome" not in result:
            is_correct = score is not None and score >= self.threshold
            return Verdict(Outcome.CORRECT if is_correct else Outcome.WRONG, reason=f"score {score:g}", score=score)
        answer, other = result.get("answer"), result.get("other")
        return Verdict(
            Outcome(result["outcome"]),
            answer=None if answer is None else str(answer)[:MAX_VERDICT_CHARS],
            reason=one_line(str(result.get("reason", ""))),
            other=other and Outcome(other),
            score=score,
        )


class _Process:
    """The process of a function, started again after it was ended.

    Attributes:
        source: hash of the module's file.
        takes_batches: whether the function takes lists.
        child: the process, or None.
    """

    source = "unknown"
    takes_batches = False

    def __init__(self, setup: dict[str, Any]) -> None:
        self.child: Child | None = None
        self._setup = setup

    def start(self) -> Child:
        """Returns the running process.

        Raises:
            RecipeError: the function cannot be imported.
        """
        if self.child is None:
            self.child = child = Child(_started(), MAX_REPLY_BYTES)
            try:
                child.begin(self._setup)
                said = json.loads(child.receive(time.monotonic() + IMPORT_S))
            except ChildError as error:
                self.close()
                raise RecipeError(f"verifier: {self._setup['name']!r}: its process {error}.") from None
            if "refused" in said:
                self.close()
                raise RecipeError(said["refused"])
            self.source, self.takes_batches = said["source"], said["batches"]
        return self.child

    def close(self) -> None:
        """Ends the process."""
        child, self.child = self.child, None
        if child is not None:
            child.close()


def _started() -> "subprocess.Popen[bytes]":
    """Returns a process with this one's environment and path, whose errors and prints are seen."""
    path = os.pathsep.join(str(Path(each).absolute()) for each in sys.path)
    return subprocess.Popen(
        [sys.executable, "-c", "from rlvr.verifiers.custom_worker import main; main()"],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )


class _Dialogue:
    """The calls of one batch of items: a bounded number at a time, those that do not come back given up.

    Where a process ends under several calls, each of them is made again alone.
    """

    def __init__(
        self, process: _Process, batches: Sequence[Sequence[Item]], concurrency: int, deadline_s: float
    ) -> None:
        self._process = process
        self._batches = batches
        self._concurrency = concurrency
        self._deadline_s = deadline_s
        self._waiting = deque(range(len(batches)))
        self._flying: dict[int, float] = {}  # calls that wait for an answer, and until when
        self._alone: set[int] = set()
        self._results: dict[int, list[Any]] = {}

    def run(self) -> list[list[Any]]:
        """Returns the results of each batch, as the process sent them."""
        while len(self._results) < len(self._batches):
            try:
                child = self._process.start()
                self._send(child)
                self._take(json.loads(child.receive(min(self._flying.values()))))
            except DeadlineError:
                self._give_up(
                    [call for call, until in self._flying.items() if until <= time.monotonic()], {"late": True}
                )
            except (ChildError, ValueError, KeyError, TypeError, RecursionError) as error:
                self._blame(error)
        return [self._results[call] for call in range(len(self._batches))]

    def _send(self, child: Child) -> None:
        """Makes calls until enough of them wait for an answer."""
        while self._waiting and len(self._flying) < self._concurrency:
            call = self._waiting[0]
            if self._flying and (call in self._alone or not self._alone.isdisjoint(self._flying)):
                return
            self._waiting.popleft()
            items = [[p.question, p.answer, p.meta, completion] for p, completion in self._batches[call]]
            child.send(json.dumps({"call": call, "items": items}).encode())
            self._flying[call] = time.monotonic() + self._deadline_s + GRACE_S

    def _take(self, reply: dict[str, Any]) -> None:
        """Keeps the results of a call; raises `ValueError` where these are none."""
        call, results = reply["call"], reply["results"]
        if call not in self._flying or len(results) != len(self._batches[call]):
            raise ValueError("sent no answer to a call")
        del self._flying[call]
        self._results[call] = results

    def _give_up(self, calls: Sequence[int], result: dict[str, Any]) -> None:
        """Ends the process, with a result for some calls; the others are made again."""
        for call in calls:
            del self._flying[call]
            self._results[call] = [result] * len(self._batches[call])
        self._waiting.extendleft(self._flying)
        self._flying.clear()
        self._process.close()

    def _blame(self, error: Exception) -> None:
        """Fails the call under which the process ended, or finds out which of several it was."""
        if len(self._flying) > 1:
            self._alone |= set(self._flying)
            self._give_up([], {})
            return
        what = "ended" if isinstance(error, EndedError) else f"is not understood: {error}"
        self._give_up(list(self._flying), {"failed": f"the verifier's process {what} during this call"})
