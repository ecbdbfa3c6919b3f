"""The process in which a user's own verifier runs.

Owns: the import of the function, calling it (awaited, in threads, or in the main thread), and what its results mean.
Does not own: how many calls there are at a time, and killing one that does not come back (`rlvr.verifiers.custom`).

The channel is standard input and output, moved elsewhere before the user's module is imported: what it prints goes to
standard error, and what it reads is empty. Results leave as JSON.
"""

import asyncio
import hashlib
import importlib
import inspect
import json
import math
import os
import queue
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.sandbox.inside import HELLO, read_frame, write_frame
from rlvr.verifiers.base import one_line
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict

EXPECTED = "expected a bool, a number from 0 to 1, or a Verdict"
BATCHES = "completions"  # a function whose second parameter has this name takes lists

Json = Any
Function = Callable[[Any, Any], Any]


class Kind(StrEnum):
    """How a function is called."""

    PLAIN = "plain"
    ASYNC = "async"


def main() -> None:
    """Imports the function that is asked for, says what it is, and answers calls until there are no more."""
    os.write(1, HELLO)
    setup = json.loads(read_frame(0))
    requests, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    try:
        module, function = imported(setup["name"])
    except RecipeError as error:
        write_frame(replies, json.dumps({"refused": str(error)}).encode())
        return
    kind = Kind.ASYNC if _is_async(function) else Kind.PLAIN
    takes_batches = _takes_batches(function)
    said = {"kind": kind, "batches": takes_batches, "source": _source_hash(module)}
    write_frame(replies, json.dumps(said).encode())
    Service(function, takes_batches, requests, replies, setup["deadline_s"]).run(kind, setup["concurrency"])


# --- the function -------------------------------------------------------------------------------------------------


def imported(spec: str) -> tuple[ModuleType, Function]:
    """Returns the module and the function that `package.module:function` names.

    Raises:
        RecipeError: it cannot be imported.
    """
    module_name, _, name = spec.partition(":")
    module = _import_module(spec, module_name)
    return module, _function_of(module, name, spec)


def _import_module(spec: str, name: str) -> ModuleType:
    """Returns the module, found on the path or in the current folder."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise RecipeError(
                f"verifier: {spec!r}: no module {name!r} on the path or in {folder}; expected package.module:function."
            ) from None
        raise _cannot_import(spec, error) from error
    except (Exception, SystemExit) as error:
        raise _cannot_import(spec, error) from error


def _cannot_import(spec: str, error: BaseException) -> RecipeError:
    """Returns the error of a module that fails while it is imported."""
    return RecipeError(f"verifier: {spec!r} cannot be imported ({_describe(error)}); correct the module.")


def _function_of(module: ModuleType, name: str, spec: str) -> Function:
    """Returns the module's function."""
    function = getattr(module, name, None)
    if callable(function):
        return function  # type: ignore[no-any-return]
    if function is not None:
        raise RecipeError(
            f"verifier: {spec!r} is a {type(function).__name__}; expected a function(problem, completion)."
        )
    functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    near = get_close_matches(name, functions, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(functions[:10]) or 'its functions'}."
    raise RecipeError(f"verifier: {spec!r}: {module.__name__} has no {name!r}; {hint}")


def _source_hash(module: ModuleType) -> str:
    """Returns 8 hex digits of the module's source file, or `unknown` where there is none."""
    file = getattr(module, "__file__", None)
    if file is None or not os.access(file, os.R_OK):
        return "unknown"
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:8]


def _is_async(function: Function) -> bool:
    """Returns whether a function, or an object that is called, is `async def`."""
    call = getattr(function, "__call__", None)  # noqa: B004 - its kind is asked for, not whether there is one
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _takes_batches(function: Function) -> bool:
    """Returns whether a function takes lists of problems and completions."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return False
    return len(names) > 1 and names[1] == BATCHES


# --- calls --------------------------------------------------------------------------------------------------------


class Service:
    """Answers calls, several at a time where the function waits or runs in threads.

    Args:
        function: the user's.
        takes_batches: whether it takes lists.
        requests: where calls are read: `{"call": number, "items": [[question, answer, meta, completion], ...]}`.
        replies: where answers are written: `{"call": number, "results": [...]}`.
        deadline_s: longest time of an awaited call; one of another kind is ended from outside.
    """

    def __init__(self, function: Function, takes_batches: bool, requests: int, replies: int, deadline_s: float) -> None:
        self._function = function
        self._takes_batches = takes_batches
        self._requests, self._replies = requests, replies
        self._deadline_s = deadline_s
        self._writing = threading.Lock()

    def run(self, kind: Kind, concurrency: int) -> None:
        """Answers calls until the process ends with its requests."""
        if kind is Kind.ASYNC:
            asyncio.run(self._serve_awaited())
        calls: queue.SimpleQueue[Json] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(calls.put,), daemon=True).start()
        for _ in range(concurrency - 1):
            threading.Thread(target=self._serve, args=(calls,), daemon=True).start()
        self._serve(calls)  # the main thread, which signals need

    def _read(self, put: Callable[[Json], object]) -> None:
        """Hands on each call; at the end of requests the process ends, whatever it is at."""
        while True:
            put(json.loads(read_frame(self._requests)))

    def _serve(self, calls: "queue.SimpleQueue[Json]") -> None:
        """Answers one call after the other."""
        while True:
            call = calls.get()
            try:
                results = self._meaning(call, self._call(call))
            except BaseException as error:  # SystemExit too
                results = _all_failed(call, error)
            self._reply(call, results)

    async def _serve_awaited(self) -> None:
        """Answers calls as they come, each in a task."""
        loop = asyncio.get_running_loop()
        calls: asyncio.Queue[Json] = asyncio.Queue()

        def put(call: Json) -> None:
            loop.call_soon_threadsafe(calls.put_nowait, call)

        threading.Thread(target=self._read, args=(put,), daemon=True).start()
        tasks: set[asyncio.Task[None]] = set()
        while True:
            task = asyncio.create_task(self._await(await calls.get()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _await(self, call: Json) -> None:
        """Answers one call; no exception gets to the loop, which SystemExit would end."""
        try:
            async with asyncio.timeout(self._deadline_s) as limit:
                results = self._meaning(call, await self._call(call))
        except BaseException as error:
            late = limit.expired() and isinstance(error, TimeoutError)
            results = [{"late": True}] * len(call["items"]) if late else _all_failed(call, error)
        self._reply(call, results)

    def _call(self, call: Json) -> Any:
        """Returns what the function returns, or what is to be awaited for it."""
        problems = [Problem(question, answer, meta) for question, answer, meta, _ in call["items"]]
        completions = [completion for *_, completion in call["items"]]
        if self._takes_batches:
            return self._function(problems, completions)
        return self._function(problems[0], completions[0])

    def _meaning(self, call: Json, returned: Any) -> list[Json]:
        """Returns what the function returned as JSON, one result for each item."""
        if not self._takes_batches:
            return [as_json(returned)]
        each = _as_list(returned)
        if len(each) != len(call["items"]):
            raise ResultError(f"returned {len(each)} results for {len(call['items'])} completions")
        return [_as_json_or_failure(result) for result in each]

    def _reply(self, call: Json, results: Sequence[Json]) -> None:
        """Sends the answer to a call."""
        payload = json.dumps({"call": call["call"], "results": results}).encode()
        with self._writing:
            write_frame(self._replies, payload)


# --- results ------------------------------------------------------------------------------------------------------


class ResultError(Exception):
    """What a function returned is not what a verifier returns; the message says what was seen and expected."""


def as_json(result: Any) -> Json:
    """Returns a result as JSON.

    Raises:
        ResultError: it is no result of a verifier.
    """
    if isinstance(result, Verdict):
        return _verdict_as_json(result)
    if getattr(result, "shape", None) == () and hasattr(result, "item"):
        result = result.item()  # a number of numpy or torch
    if isinstance(result, bool):
        return {"outcome": Outcome.CORRECT if result else Outcome.WRONG}
    if isinstance(result, Awaitable):
        raise ResultError("returned something to be awaited; write async def")
    if not isinstance(result, (int, float)):
        raise ResultError(f"returned {type(result).__name__}; {EXPECTED}")
    if not (math.isfinite(result) and 0 <= result <= 1):
        raise ResultError(f"returned {result}; {EXPECTED}")
    return {"score": float(result)}


def _verdict_as_json(verdict: Verdict) -> Json:
    """Returns a verdict as JSON, its texts cut to what a verdict may hold."""
    try:
        outcome = Outcome(verdict.outcome)
    except ValueError:
        raise ResultError(f"returned a Verdict with outcome {verdict.outcome!r}; expected an Outcome") from None
    answer = None if verdict.answer is None else str(verdict.answer)[:MAX_VERDICT_CHARS]
    score = None if verdict.score is None else as_json(verdict.score).get("score", float(outcome is Outcome.CORRECT))
    other = verdict.other and Outcome(verdict.other)
    return {
        "outcome": outcome,
        "answer": answer,
        "reason": one_line(str(verdict.reason)),
        "score": score,
        "other": other,
    }


def _as_list(returned: Any) -> list[Any]:
    """Returns the results of a batch."""
    if isinstance(returned, (str, bytes, dict)) or not hasattr(returned, "__iter__"):
        raise ResultError(f"returned {type(returned).__name__} for a batch; expected a list with a result for each")
    return list(returned)


def _as_json_or_failure(result: Any) -> Json:
    """Returns one result of a batch as JSON."""
    try:
        return as_json(result)
    except Exception as error:
        return {"failed": _describe(error)}


def _all_failed(call: Json, error: BaseException) -> list[Json]:
    """Returns the results of a call that an exception ended."""
    return [{"failed": _describe(error)}] * len(call["items"])


def _describe(error: BaseException) -> str:
    """Returns an exception in one line."""
    if isinstance(error, ResultError):
        return str(error)
    try:
        return one_line(f"{type(error).__name__}: {error}")
    except Exception:
        return type(error).__name__
