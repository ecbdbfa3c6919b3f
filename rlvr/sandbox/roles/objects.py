"""The driver's role `functions`: a program's side of the relay.

Owns: loading a program, its objects by number, and what is asked of them.
Does not own: plain data (`rlvr.sandbox.roles.plain`), the tests' side (`rlvr.sandbox.roles.tester`).

Its source is sent to the driver, so it uses the standard library and the driver's modules only. The program owns this
process: nothing that is written here is more than what a program says.

A request is `{"op", "args", "kwargs"}`: a function of the table below, of `operator`, or a built-in one. A reply is
`{"value", "edits"}` or `{"raised", ...}`. Before its reply, the program may ask for a call of the tests' functions,
`{"callback", "args", "kwargs"}`, and is answered as it answers.
"""

import builtins
import json
import operator
import os
import sys
from types import BuiltinFunctionType, CoroutineType, FunctionType, MethodType
from typing import Any, NoReturn

from rlvr.sandbox.inside import describe, load_program, point_at_null, read_frame, take_channel, write_frame
from rlvr.sandbox.roles.plain import Decoder, Encoder, refuse_kind

Json = Any
_CALLABLE = (type, FunctionType, MethodType, BuiltinFunctionType)


def take_role(task: dict[str, Json]) -> None:
    """Loads the program, then answers each request with a value or an exception."""
    channel = take_channel()
    point_at_null(2, os.O_WRONLY)
    relay = Relay(*channel)
    failure = None
    try:
        relay.names = load_program("program", task["sources"])
    except Exception as error:
        failure = relay.raised(error)
    while True:
        request = json.loads(read_frame(relay.requests))
        relay.reply(failure or relay.answer(request))


class Relay:
    """The channel to the tests, and the objects of the program that they know."""

    def __init__(self, requests: int, replies: int) -> None:
        self.requests, self.replies = requests, replies
        self.names: dict[str, Any] = {}
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._functions = {"find": self._find, "call": _call, "enter": _enter, "exit": _exit, "await": _await}

    def reply(self, answer: Json) -> None:
        """Sends an answer, or that it cannot be written."""
        try:
            text = json.dumps(answer).encode()
        except Exception as error:
            text = json.dumps(self.raised(error)).encode()
        write_frame(self.replies, text)

    def answer(self, request: Json) -> Json:
        """Returns what a request comes to, and what it does to lists and their like among its arguments."""
        try:
            decoder = Decoder(self._other)
            args = decoder.read_all(request["args"])
            kwargs = {name: decoder.read(value) for name, value in request["kwargs"].items()}
            given = decoder.known
            before = _contents(Encoder(self._refer, given), given)
            value = self._function(request["op"])(*args, **kwargs)
            encoder = Encoder(self._refer, given)
            after = _contents(encoder, given)
            edits = [[number, now] for number, now in enumerate(after) if now != before[number]]
            is_made = request["op"] == "call" and isinstance(args[0], type)
            return {"value": self._write_made(value, encoder) if is_made else encoder.write(value), "edits": edits}
        except Exception as error:
            return self.raised(error)

    def raised(self, error: Exception) -> Json:
        """Returns an exception as JSON."""
        message = describe(error).partition(": ")[2]
        said = {"raised": type(error).__name__, "message": message, "kind": self._kind_of_error(type(error))}
        if said["kind"][0] == "own":
            return said | {"error": self._refer(error)}
        try:
            return said | {"args": Encoder(self._refer).write_all(error.args)}
        except Exception:
            return said

    def _function(self, name: str) -> Any:
        """Returns what a request asks for."""
        return self._functions.get(name) or getattr(operator, name, None) or getattr(builtins, name)

    def _find(self, name: str) -> Any:
        """Returns a name of the program, or a method of its class `Solution`, each time of a new instance."""
        if name in self.names:
            return self.names[name]
        kind = self.names.get("Solution")
        if not hasattr(kind, name):
            _missing(name)
        return lambda *args, **kwargs: getattr(kind(), name)(*args, **kwargs)  # type: ignore[misc]

    def _write_made(self, value: Any, encoder: Encoder) -> Json:
        """Returns the result of a class: an object, also where its class derives from a built-in one."""
        is_own = type(value).__module__ == "program" and not hasattr(type(value), "_fields")
        return self._refer(value) if is_own else encoder.write(value)

    def _refer(self, value: Any) -> Json:
        """Returns what stands for an object of the program."""
        if isinstance(value, type) and issubclass(value, BaseException):
            return {"error": self._kind_of_error(value)}
        return {"object": [self._number(value), type(value).__name__, _kind_of(value)]}

    def _number(self, value: Any) -> int:
        number = self._numbers.setdefault(id(value), len(self._objects))
        if number == len(self._objects):
            self._objects.append(value)
        return number

    def _kind_of_error(self, kind: type) -> list[Any]:
        """Returns a class of exceptions: by module and name where the tests know it, else with what it derives from."""
        if kind.__module__ in sys.stdlib_module_names or kind is Exception or kind is BaseException:
            return ["known", kind.__module__, kind.__qualname__]
        bases = [self._kind_of_error(base) for base in kind.__bases__ if issubclass(base, BaseException)]
        return ["own", self._number(kind), kind.__name__, bases]

    def _other(self, kind: str, content: Json) -> Any:
        """Returns what stands in a request for something that is not plain data."""
        if kind == "object":
            return self._objects[content]
        if kind == "builtin":
            return getattr(builtins, content)
        return self._callback(content) if kind == "callback" else refuse_kind(kind, content)

    def _callback(self, number: int) -> Any:
        """Returns a function that stands for one of the tests'."""

        def callback(*args: Any, **kwargs: Any) -> Any:
            """Returns or raises what the tests' function does."""
            encoder = Encoder(self._refer)
            call = {"callback": number, "args": encoder.write_all(args)}
            self.reply(call | {"kwargs": {name: encoder.write(value) for name, value in kwargs.items()}})
            while "op" in (message := json.loads(read_frame(self.requests))):
                self.reply(self.answer(message))
            decoder = Decoder(self._other, encoder.known)
            if "raised" in message:
                raise decoder.read(message["raised"])(*decoder.read_all(message["args"]))
            for edited, content in message["edits"]:
                decoder.refill(edited, content)
            return decoder.read(message["value"])

        return callback


def _contents(encoder: Encoder, values: list[Any]) -> list[Json]:
    """Returns what each of the values holds."""
    return [encoder.content(value) for value in values]


def _kind_of(value: Any) -> str:
    """Returns what the tests treat an object as."""
    if isinstance(value, CoroutineType):
        return "coroutine"
    return "callable" if isinstance(value, _CALLABLE) else "object"


def _missing(name: str) -> NoReturn:
    raise NameError(f"the program does not define {name}")


def _call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Returns what a function of the program returns."""
    return function(*args, **kwargs)


def _enter(manager: Any) -> Any:
    """Enters a context."""
    return type(manager).__enter__(manager)


def _exit(manager: Any, kind: Any, message: str) -> None:
    """Leaves a context; what it says of the exception has no effect."""
    type(manager).__exit__(manager, kind, kind and kind(message), None)


def _await(coroutine: Any) -> Any:
    """Returns what a coroutine comes to."""
    import asyncio

    return asyncio.run(coroutine)
