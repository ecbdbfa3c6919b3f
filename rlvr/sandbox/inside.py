"""The driver: what runs inside a sandbox, in a new interpreter.

Owns: the roles of a sandboxed process, the codec of plain data, and the limits that a process sets on itself.
Does not own: the sandbox (`rlvr.sandbox.levels`), who talks to whom (`rlvr.verifiers.code.verifier`).

Its source is given to the interpreter as text, so it uses the standard library only. It says hello, reads its task, and
takes a role:

- `script` runs a program with the rest of standard input as its input;
- `functions` loads a program, then answers calls of its functions;
- `tests` runs tests, whose calls go to the process above, and ends with a verdict;
- `server` serves the tasks of a worker pool (`rlvr.sandbox.server`).

A program owns its process, this driver included. What comes out of `script` and `functions` is therefore data to be
compared and nothing more; a verdict comes out of `tests` only, which never runs a program.
"""

import builtins
import contextlib
import json
import os
import resource
import signal
import sys
import traceback
from types import CodeType, ModuleType
from typing import Any, NoReturn

HELLO = b"hello\n"
EXIT_MEMORY = 77
EXIT_NOT_PYTHON = 78
MAX_MESSAGE_CHARS = 300
MAX_JSON_INT = 2**53
LOOP_ENDS = (StopIteration, StopAsyncIteration)

Json = Any


def main() -> None:
    """Says hello, reads the task, and takes its role."""
    os.write(1, HELLO)
    task = json.loads(read_frame(0))
    limit_self(task["limits"])
    roles = {"script": run_script, "functions": serve_functions, "tests": run_tests, "server": serve_tasks}
    roles[task["role"]](task)


def limit_self(limits: dict[str, int]) -> None:
    """Sets resource limits that this process and its children cannot raise, and an alarm."""
    signal.alarm(limits.get("alarm", 0))
    for name, value in limits.items():
        if name != "alarm":
            _, hard = resource.getrlimit(getattr(resource, name))
            wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(getattr(resource, name), (wanted, wanted))


def read_frame(fd: int) -> bytes:
    """Returns one frame (8 hex digits of length, then that many bytes); ends the process at the end of the input."""
    return _read_exactly(fd, int(_read_exactly(fd, 8), 16))


def _read_exactly(fd: int, size: int) -> bytes:
    """Returns `size` bytes and reads none beyond them."""
    parts = bytearray()
    while len(parts) < size:
        part = os.read(fd, min(size - len(parts), 1 << 20))
        if not part:
            os._exit(0)
        parts += part
    return bytes(parts)


def write_frame(fd: int, payload: bytes) -> None:
    """Writes one frame."""
    data = memoryview(b"%08x" % len(payload) + payload)
    while data:
        data = data[os.write(fd, data) :]


def _take_channel() -> tuple[int, int]:
    """Moves the channel away from standard input and output, which become empty."""
    requests, replies = os.dup(0), os.dup(1)
    for fd, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY)):
        _point_at_null(fd, mode)
    return requests, replies


def _point_at_null(fd: int, mode: int) -> None:
    """Makes a standard stream empty."""
    null = os.open(os.devnull, mode)
    os.dup2(null, fd)
    os.close(null)


# --- plain data ---------------------------------------------------------------------------------------------------


def encode(value: object, where: str = "") -> Json:
    """Returns a value as JSON: plain data as it is seen by the built-in types, anything else by the name of its type.

    Subclasses become the built-in type that they derive from, so no method of a program crosses.

    Args:
        value: what to encode.
        where: what this is part of, for the error; empty means that other objects are named and not refused.

    Raises:
        ForeignError: `where` is given and something stands for an object of a program.
        TypeError: `where` is given and something else is not plain data.
    """
    kind = type(value)
    if value is None or kind in (bool, str, float):
        return value
    for base, write in _WRITERS:
        if issubclass(kind, base):
            return write(value, where)
    if where and kind is Foreign:
        raise ForeignError
    if where:
        raise TypeError(f"{where} holds an object of type {kind.__name__}, which is not plain data")
    return {"object": kind.__name__}


def _write_int(value: Any, _: str) -> Json:
    number = int.__int__(value)
    return number if -MAX_JSON_INT < number < MAX_JSON_INT else {"int": hex(number)}


_WRITERS: tuple[tuple[type, Any], ...] = (
    (int, _write_int),
    (float, lambda value, _: float.__float__(value)),
    (complex, lambda value, _: {"complex": [complex(value).real, complex(value).imag]}),
    (str, lambda value, _: str.__str__(value)),
    (bytes, lambda value, _: {"bytes": bytes.hex(value)}),
    (list, lambda value, where: [encode(item, where) for item in list.__iter__(value)]),
    (tuple, lambda value, where: {"tuple": [encode(item, where) for item in tuple.__iter__(value)]}),
    (set, lambda value, where: {"set": [encode(item, where) for item in set.__iter__(value)]}),
    (frozenset, lambda value, where: {"frozenset": [encode(item, where) for item in frozenset.__iter__(value)]}),
    (dict, lambda value, where: {"dict": [[encode(k, where), encode(v, where)] for k, v in dict.items(value)]}),
)


class Foreign:
    """Stands for an object that is not plain data: it equals nothing and can do nothing."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<{self.name} object>"


class ForeignError(Exception):
    """A test passes on an object that a program returned."""


def decode(value: Json) -> Any:
    """Returns the plain data that `encode` wrote.

    Raises:
        ValueError, TypeError, RecursionError: it did not.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    return _READERS[kind](content) if kind in _READERS else _refuse(kind)


def _refuse(kind: str) -> NoReturn:
    raise ValueError(f"unknown kind {kind[:20]!r}")


_READERS: dict[str, Any] = {
    "int": lambda content: int(content, 16),
    "complex": lambda content: complex(*content),
    "bytes": bytes.fromhex,
    "tuple": lambda content: tuple(map(decode, content)),
    "set": lambda content: set(map(decode, content)),
    "frozenset": lambda content: frozenset(map(decode, content)),
    "dict": lambda content: {decode(key): decode(item) for key, item in content},
    "object": Foreign,
}


# --- roles --------------------------------------------------------------------------------------------------------


def run_script(task: dict[str, Json]) -> None:
    """Runs the program as a script; standard input and output are its own. One line on errors goes to stderr."""
    errors = os.dup(2)
    _point_at_null(2, os.O_WRONLY)
    try:
        _load("__main__", task["sources"])
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except Exception as error:
        with contextlib.suppress(Exception):
            os.write(errors, _describe(error).encode(errors="replace"))
        os._exit(EXIT_NOT_PYTHON if isinstance(error, NotPythonError) else 1)


class NotPythonError(Exception):
    """The program does not compile."""


def _load(name: str, sources: list[str]) -> dict[str, Any]:
    """Runs sources one after the other as one module and returns its names."""
    module = sys.modules[name] = ModuleType(name)
    codes = []
    for number, source in enumerate(sources):
        try:
            codes.append(compile(source, f"<program {number}>", "exec", dont_inherit=True))
        except (SyntaxError, ValueError, RecursionError, OverflowError) as error:
            raise NotPythonError(_describe(error)) from None
    for code in codes:
        exec(code, vars(module))  # noqa: S102 - this is the purpose of the process
    return vars(module)


def _describe(error: BaseException) -> str:
    """Returns type and message of an exception in one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}"[:MAX_MESSAGE_CHARS].rstrip(": ")


def serve_functions(task: dict[str, Json]) -> None:
    """Loads the program, then answers each call with a value or an exception."""
    requests, replies = _take_channel()
    _point_at_null(2, os.O_WRONLY)
    names: dict[str, Any] = {}
    failure = None
    try:
        names = _load("program", task["sources"])
    except Exception as error:
        failure = _raised(error)
    while True:
        request = json.loads(read_frame(requests))
        write_frame(replies, _reply(failure or _call(names, request)))


def _reply(answer: Json) -> bytes:
    """Returns an answer as text, or that it cannot be written."""
    try:
        return json.dumps(answer).encode()
    except Exception as error:
        return json.dumps(_raised(error)).encode()


def _call(names: dict[str, Any], request: Json) -> Json:
    """Returns what a function returned or raised."""
    try:
        function = _find(names, request["name"])
        args, kwargs = decode(request["args"]), decode(request["kwargs"])
        return {"value": encode(function(*args, **kwargs))}
    except Exception as error:
        return _raised(error)


def _find(names: dict[str, Any], name: str) -> Any:
    """Returns a function of the program, or a method of its class `Solution`."""
    if name in names or "Solution" not in names:
        return names[name] if name in names else _missing(name)
    return getattr(names["Solution"](), name)


def _missing(name: str) -> NoReturn:
    raise NameError(f"the program does not define {name}")


def _raised(error: Exception) -> Json:
    """Returns an exception as JSON."""
    return {"raised": type(error).__name__, "message": _describe(error).partition(": ")[2]}


class Stop(BaseException):
    """Ends the tests with an outcome that no test may catch."""


class Tester:
    """Runs tests whose calls are relayed, and keeps what it needs for the reason."""

    def __init__(self, requests: int, replies: int) -> None:
        self.requests, self.replies = requests, replies
        self.num_calls = 0
        self.returned: str | None = None
        self.stopped: tuple[str, str] | None = None

    def ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Returns what the program's function returns, or raises what it raises."""
        self.num_calls += 1
        self.returned = None
        try:
            call = {"name": name, "args": encode(args, "an argument"), "kwargs": encode(kwargs, "an argument")}
        except ForeignError:
            raise self._stop("wrong", "the program's result, which a test passes on, is not plain data") from None
        except TypeError as error:
            raise self._stop("error", f"the tests cannot be relayed: {error}") from None
        write_frame(self.replies, b"c" + json.dumps(call).encode())
        return self._read(read_frame(self.requests))

    def _read(self, payload: bytes) -> Any:
        """Returns or raises what a reply means."""
        try:
            reply = json.loads(payload)
            value = decode(reply["value"]) if "raised" not in reply else None
            raised, message = reply.get("raised"), str(reply.get("message", ""))[:MAX_MESSAGE_CHARS]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise self._stop("wrong", "the program's reply is not plain data") from None
        if raised is None:
            self.returned = _short(value)
            return value
        if raised == "MemoryError":
            raise self._stop("timeout", "exceeded the memory limit")
        if raised == NotPythonError.__name__:
            raise self._stop("unparsed", f"not a Python program: {message}")
        raise _exception(str(raised), message)

    def _stop(self, outcome: str, reason: str) -> Stop:
        """Fixes the verdict, whatever the tests do next."""
        self.stopped = self.stopped or (outcome, reason)
        return Stop()

    def run(self, namespace: dict[str, Any], tests: list[str], codes: list[CodeType]) -> tuple[str, str]:
        """Returns outcome and reason of tests, each of which raises where it fails."""
        for number, (source, code) in enumerate(zip(tests, codes, strict=True), start=1):
            where = f"test {number} of {len(tests)}: " if len(tests) > 1 else ""
            failure = self._failure(namespace, source, code)
            if failure is not None:
                return failure[0], where + failure[1]
        return ("correct", "") if self.num_calls else ("error", "the tests call no function of the program")

    def _failure(self, namespace: dict[str, Any], source: str, code: CodeType) -> tuple[str, str] | None:
        """Returns outcome and reason of a test that fails, else None. Nothing that a program sends is an `error`."""
        try:
            exec(code, namespace)  # noqa: S102 - the problem's own tests
        except MemoryError:
            return self.stopped or ("timeout", "exceeded the memory limit")
        except BaseException as error:
            return self.stopped or ("wrong", self._explain(error, source, namespace))
        return self.stopped

    def _explain(self, error: BaseException, source: str, namespace: dict[str, Any]) -> str:
        """Returns one line: the line that failed, and what was returned or raised."""
        sources = {"<test>": source, "<setup>": namespace["__setup__"]}
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in sources]
        lines = sources[frames[-1].filename].splitlines() if frames else []
        line = lines[frames[-1].lineno - 1].strip() if frames and frames[-1].lineno else ""
        if isinstance(error, AssertionError) and self.returned is not None:
            return f"{line[:MAX_MESSAGE_CHARS]} (returned {self.returned})"
        return f"{line[:MAX_MESSAGE_CHARS]} ({_describe(error)})"


def _short(value: object) -> str:
    """Returns the start of a value's repr."""
    try:
        return repr(value)[:100]
    except Exception as error:
        return type(error).__name__


def _exception(name: str, message: str) -> Exception:
    """Returns the built-in exception of that name, or another one that names it.

    One that ends a loop becomes another: raised inside of `map` it would skip what is left of a test.
    """
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, LOOP_ENDS):
        with contextlib.suppress(TypeError):
            return kind(message)
    return RuntimeError(f"{name}: {message}")


def same(result: Any, expected: Any) -> bool:
    """Returns whether a result is the expected JSON value; tuples count as lists, as JSON has no tuples."""
    if isinstance(result, (list, tuple)) and isinstance(expected, list):
        return len(result) == len(expected) and all(map(same, result, expected))
    return bool(result == expected)


def _proxy(tester: Tester, name: str) -> Any:
    """Returns a function that stands for the program's."""
    return lambda *args, **kwargs: tester.ask(name, args, kwargs)


def run_tests(task: dict[str, Json]) -> None:
    """Runs the tests and sends the verdict."""
    requests, replies = _take_channel()
    tester = Tester(requests, replies)
    try:
        namespace, codes = _prepare(task, tester)
    except BaseException as error:
        verdict = "error", f"the tests do not run: {_describe(error)}"
    else:
        verdict = _run(tester, namespace, task["tests"], codes)
    write_frame(replies, b"v" + json.dumps(verdict).encode())


def _run(tester: Tester, namespace: dict[str, Any], tests: list[str], codes: list[CodeType]) -> tuple[str, str]:
    """Returns outcome and reason, also where a failure cannot be put into words."""
    try:
        return tester.run(namespace, tests, codes)
    except BaseException as error:
        return "wrong", f"the tests ended with {type(error).__name__}"


def _prepare(task: dict[str, Json], tester: Tester) -> tuple[dict[str, Any], list[CodeType]]:
    """Returns the names that the tests see, the program's functions among them, and the compiled tests."""
    namespace: dict[str, Any] = {"__name__": "tests", "__setup__": task["setup"], "__same__": same}
    namespace |= {"inf": float("inf"), "nan": float("nan")}
    exec(compile(task["setup"], "<setup>", "exec", dont_inherit=True), namespace)  # noqa: S102 - the problem's own
    codes = [compile(source, "<test>", "exec", dont_inherit=True) for source in task["tests"]]
    kept = set() if task["replaces"] else set(namespace)
    namespace.update({name: _proxy(tester, name) for name in task["names"] if name not in kept})
    return namespace, codes


def serve_tasks(task: dict[str, Json]) -> None:
    """Serves tasks of a pool, whose modules are found on the parent's path."""
    channel = _take_channel()
    sys.path[:] = task["path"]
    from rlvr.sandbox.server import serve

    serve(task, *channel)


if __name__ == "__main__":
    main()
