"""The driver's role `tests`: the tests' side of the relay, and their verdict.

Owns: running tests, the messages to the program's side, and what its replies mean.
Does not own: plain data (`plain`), what tests can do with an object (`proxies`), the program's side (`objects`).

Its source is sent to the driver, so it uses the standard library and the driver's modules only. No program runs here.
"""

import builtins
import contextlib
import json
import sys
import traceback
from collections.abc import Callable
from types import CodeType, CoroutineType
from typing import Any

from rlvr.sandbox.inside import MAX_MESSAGE_CHARS, NotPythonError, describe, read_frame, take_channel, write_frame
from rlvr.sandbox.roles.plain import Decoder, Encoder
from rlvr.sandbox.roles.proxies import CLASS_NAME, Proxy, Reference, reference_of

LOOP_ENDS = (StopIteration, StopAsyncIteration)
NO_REPLY = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)

Json = Any


def take_role(task: dict[str, Json]) -> None:
    """Runs the tests and sends the verdict."""
    requests, replies = take_channel()
    tester = Tester(requests, replies)
    try:
        namespace, codes = _prepare(task, tester)
    except BaseException as error:
        verdict = tester.stopped or ("error", f"the tests do not run: {describe(error)}")
    else:
        verdict = _run(tester, namespace, task["tests"], codes)
    write_frame(replies, b"v" + json.dumps(verdict).encode())


def _run(tester: "Tester", namespace: dict[str, Any], tests: list[str], codes: list[CodeType]) -> tuple[str, str]:
    """Returns outcome and reason, also where a failure cannot be put into words."""
    try:
        return tester.run(namespace, tests, codes)
    except BaseException as error:
        return "wrong", f"the tests ended with {type(error).__name__}"


def _prepare(task: dict[str, Json], tester: "Tester") -> tuple[dict[str, Any], list[CodeType]]:
    """Returns the names that the tests see, the program's among them, and the compiled tests."""
    namespace = Names(tester)
    namespace |= {"__name__": "tests", "__setup__": task["setup"], "__same__": same}
    namespace |= {"inf": float("inf"), "nan": float("nan")}
    exec(compile(task["setup"], "<setup>", "exec", dont_inherit=True), namespace)  # noqa: S102 - the problem's own
    codes = [compile(source, "<test>", "exec", dont_inherit=True) for source in task["tests"]]
    if task["replaces"]:
        for name in task["names"]:
            namespace.pop(name, None)
    namespace.ask_for([name for name in task["names"] if name not in namespace], is_any_use=not task["replaces"])
    return namespace, codes


def same(result: Any, expected: Any) -> bool:
    """Returns whether a result is the expected JSON value; tuples count as lists, as JSON has no tuples."""
    if isinstance(result, (list, tuple)) and isinstance(expected, list):
        return len(result) == len(expected) and all(map(same, result, expected))
    return bool(result == expected)


class Names(dict[str, Any]):
    """Global names of the tests; those that are the program's are asked for, constants each time that they are used."""

    def __init__(self, tester: "Tester") -> None:
        self._asked: frozenset[str] = frozenset()
        self._is_any_use = False
        self._tester = tester

    def ask_for(self, names: list[str], is_any_use: bool) -> None:
        """Takes names as the program's.

        Functions and classes are found now: a class of the tests sees no names that come later. What cannot be found is
        no failure before it is used.

        Args:
            names: the program's names.
            is_any_use: whether a constant counts as tested once it is read.
        """
        self._asked = frozenset(names)
        for name in names:
            with contextlib.suppress(Exception):
                self[name]
        self._is_any_use = is_any_use

    def __missing__(self, name: str) -> Any:
        if name not in self._asked:
            raise KeyError(name)
        value = self._tester.ask("find", name)
        if type(value) is Proxy and reference_of(value).kind == "callable":
            reference_of(value).is_class = CLASS_NAME.fullmatch(name) is not None
            self[name] = value
        elif type(value) is not Proxy and self._is_any_use:
            self._tester.num_constants += 1
        return value


class Stop(BaseException):
    """Ends the tests with an outcome that no test may catch."""


class Tester:
    """Runs tests whose calls are relayed, and keeps what it needs for the reason."""

    def __init__(self, requests: int, replies: int) -> None:
        self.requests, self.replies = requests, replies
        self.num_calls = self.num_constants = 0
        self.is_over = False
        self.returned: list[Any] = []
        self.stopped: tuple[str, str] | None = None
        self._proxies: dict[int, Proxy] = {}
        self._errors: dict[int, type[Exception]] = {}
        self._callbacks: list[Callable[..., Any]] = []

    # --- asking

    def ask(self, op: str, /, *args: Any, **kwargs: Any) -> Any:
        """Returns what the program says, or raises what it raises."""
        self.num_calls += op != "find"
        self.returned = []
        encoder = Encoder(self._refer)
        try:
            request: Json = {"op": op, "args": encoder.write_all(args)}
            request["kwargs"] = {name: encoder.write(value) for name, value in kwargs.items()}
        except TypeError as error:
            raise self.stop("error", f"the tests cannot be relayed: an argument is {error}") from None
        self._send(request)
        while "callback" in (message := self._receive()):
            self._send(self._call(message))
        return self._result(op, message, encoder.known)

    def _send(self, message: Json) -> None:
        write_frame(self.replies, b"c" + json.dumps(message).encode())

    def _receive(self) -> dict[str, Any]:
        """Returns what the program has sent."""
        try:
            message = json.loads(read_frame(self.requests))
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise self._no_reply()
        return message

    def _result(self, op: str, reply: dict[str, Any], known: list[Any]) -> Any:
        """Returns or raises what a reply means, after what it says of the arguments."""
        try:
            if "raised" in reply:
                error = self._error(op, reply)
            else:
                decoder, error = Decoder(self._other, known), None
                for number, content in reply["edits"]:
                    decoder.refill(number, content)
                value = decoder.read(reply["value"])
        except NO_REPLY:
            raise self._no_reply() from None
        if error is not None:
            raise error
        self.returned = [value]
        return value

    def _no_reply(self) -> Stop:
        return self.stop("wrong", "the program's reply is not plain data")

    def stop(self, outcome: str, reason: str) -> Stop:
        """Fixes the verdict, whatever the tests do next."""
        self.stopped = self.stopped or (outcome, reason)
        return Stop()

    # --- what is not plain data

    def _refer(self, value: Any) -> Json:
        """Returns what stands for a value that the tests pass on."""
        if type(value) is Proxy:
            return {"object": reference_of(value).number}
        if isinstance(value, Exception) and "_of_program" in vars(value):
            return self._refer(vars(value)["_of_program"])
        if isinstance(value, CoroutineType):
            raise self.stop("wrong", "the program's result, which a test passes on, is a coroutine")
        number = next((number for number, kind in self._errors.items() if kind is value), None)
        if number is not None:
            return {"object": number}
        name = getattr(value, "__name__", None)
        if isinstance(name, str) and getattr(builtins, name, None) is value:
            return {"builtin": name}
        if callable(value) and not isinstance(value, type):
            self._callbacks.append(value)
            return {"callback": len(self._callbacks) - 1}
        raise TypeError(f"an object of type {type(value).__name__}, which is not plain data")

    def _other(self, kind: str, content: Json) -> Any:
        """Returns what stands in a reply for something that is not plain data."""
        if kind == "error":
            return self._error_class(content)
        if kind != "object":
            raise ValueError("no kind of plain data")
        number, name, kind = content
        if type(number) is not int or not isinstance(name, str) or not isinstance(kind, str):
            raise ValueError("no object")
        if kind == "coroutine":
            return self._awaited(self._proxy(number, name, kind))
        return self._proxy(number, name, kind)

    def _proxy(self, number: int, name: str, kind: str) -> Proxy:
        if number not in self._proxies:
            self._proxies[number] = Proxy(Reference(self, number, name[:100], kind))
        return self._proxies[number]

    async def _awaited(self, coroutine: Proxy) -> Any:
        return self.ask("await", coroutine)

    def _call(self, message: dict[str, Any]) -> Json:
        """Returns what one of the tests' functions returns or raises."""
        decoder = Decoder(self._other)
        try:
            function = self._callbacks[message["callback"]]
            args, given = decoder.read_all(message["args"]), message["kwargs"]
            kwargs = {str(name): decoder.read(value) for name, value in given.items()}
        except NO_REPLY:
            raise self._no_reply() from None
        try:
            value = function(*args, **kwargs)
            encoder = Encoder(self._refer, decoder.known)
            edits = [[number, encoder.content(value)] for number, value in enumerate(decoder.known)]
            return {"value": encoder.write(value), "edits": edits}
        except Exception as error:
            return self._raised(error)

    def _raised(self, error: Exception) -> Json:
        """Returns an exception of the tests' functions as the program can know it."""
        known = next((kind for kind in type(error).__mro__ if vars(builtins).get(kind.__name__) is kind), Exception)
        kind = type(error) if type(error) in self._errors.values() else known
        try:
            args = Encoder(self._refer).write_all(error.args)
        except TypeError:
            args = [describe(error).partition(": ")[2]]
        return {"raised": self._refer(kind), "args": args}

    # --- exceptions

    def _error(self, op: str, reply: dict[str, Any]) -> BaseException:
        """Returns the exception that a reply speaks of."""
        raised, message = str(reply["raised"])[:MAX_MESSAGE_CHARS], str(reply.get("message", ""))[:MAX_MESSAGE_CHARS]
        if raised == "MemoryError":
            return self.stop("timeout", "exceeded the memory limit")
        if raised == NotPythonError.__name__:
            return self.stop("unparsed", f"not a Python program: {message}")
        if raised == "StopIteration" and op == "next":
            return StopIteration()
        kind = self._error_class(reply["kind"])
        if kind is RuntimeError and raised != "RuntimeError":
            return RuntimeError(f"{raised}: {message}")
        if "error" in reply:
            error = kind(message)
            error.__dict__["_of_program"] = Decoder(self._other).read(reply["error"])
            return error
        with contextlib.suppress(Exception):
            return kind(*Decoder(self._other).read_all(reply["args"]))
        with contextlib.suppress(Exception):
            return kind(message)
        return RuntimeError(f"{raised}: {message}")

    def _error_class(self, described: Json) -> type[Exception]:
        """Returns the class that `objects` describes; one that ends a loop becomes another.

        `StopIteration` inside of `map` would skip what is left of a test.
        """
        origin, *said = described
        if origin == "known":
            module, name = said
            is_known = module in sys.stdlib_module_names and isinstance(name, str)
            kind = getattr(sys.modules.get(module), name, None) if is_known else None
            is_error = isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, LOOP_ENDS)
            return kind if is_error else RuntimeError  # type: ignore[return-value]
        number, name, bases = said
        if type(number) is not int or not isinstance(name, str):
            raise ValueError("no class")
        if number not in self._errors:
            parents = tuple(dict.fromkeys(self._error_class(base) for base in bases)) or (Exception,)
            try:
                self._errors[number] = type(name[:100], parents, dict(_ERROR_MEMBERS))
            except (TypeError, ValueError):
                self._errors[number] = type("Error", (Exception,), dict(_ERROR_MEMBERS))
        return self._errors[number]

    # --- the verdict

    def run(self, namespace: dict[str, Any], tests: list[str], codes: list[CodeType]) -> tuple[str, str]:
        """Returns outcome and reason of tests, each of which raises where it fails."""
        for number, (source, code) in enumerate(zip(tests, codes, strict=True), start=1):
            where = f"test {number} of {len(tests)}: " if len(tests) > 1 else ""
            failure = self._failure(namespace, source, code)
            if failure is not None:
                return failure[0], where + failure[1]
        is_used = self.num_calls or self.num_constants
        return ("correct", "") if is_used else ("error", "the tests call no function of the program")

    def _failure(self, namespace: dict[str, Any], source: str, code: CodeType) -> tuple[str, str] | None:
        """Returns outcome and reason of a test that fails, else None. Nothing that a program sends is an `error`."""
        try:
            exec(code, namespace)  # noqa: S102 - the problem's own tests
        except MemoryError:
            return self.stopped or ("timeout", "exceeded the memory limit")
        except BaseException as error:
            self.is_over = True
            return self.stopped or ("wrong", self._explain(error, source, namespace))
        return self.stopped

    def _explain(self, error: BaseException, source: str, namespace: dict[str, Any]) -> str:
        """Returns one line: the line that failed, and what was returned or raised."""
        sources = {"<test>": source, "<setup>": namespace["__setup__"]}
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in sources]
        lines = sources[frames[-1].filename].splitlines() if frames else []
        line = lines[frames[-1].lineno - 1].strip() if frames and frames[-1].lineno and lines else ""
        if not isinstance(error, AssertionError):
            return f"{line} ({describe(error)})"
        return f"{line} (returned {_short(self.returned[0])})" if self.returned else f"{line} ({describe(error)})"


def _short(value: object) -> str:
    """Returns the start of a value's repr."""
    try:
        return repr(value)[:100]
    except Exception as error:
        return type(error).__name__


_ERROR_MEMBERS: dict[str, Any] = {
    "__init__": lambda self, *args: Exception.__init__(self, *args),
    "__str__": lambda self: str(self.args[0]) if self.args else "",
    "__getattr__": lambda self, name: _attribute_of_error(self, name),
}


def _attribute_of_error(error: Exception, name: str) -> Any:
    """Returns an attribute of an exception of the program's own."""
    of_program = vars(error).get("_of_program")
    if of_program is None or name.startswith("__"):
        raise AttributeError(name)
    return getattr(of_program, name)
