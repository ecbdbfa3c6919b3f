"""What stands before the tests of a problem, in their own sandbox: comparison, and a small stand-in for pytest.

Owns: `agree`, the parts of pytest that published tests use, and calling test functions without pytest's runner.
Does not own: which tests are run (`rlvr.verifiers.code.tests`), relaying calls (`rlvr.sandbox.roles`).

Its source is given to the sandbox as text, so it uses the standard library only. It runs beside trusted tests and never
beside a program.
"""

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from types import ModuleType, SimpleNamespace
from typing import Any


def agree(result: Any, expected: Any, atol: float = 0.0, rtol: float = 0.0) -> bool:
    """Returns whether a result is the expected one.

    Lists, tuples and arrays are compared item by item, whichever they are, and dicts value by value. Where one of two
    numbers is a float, they may differ by `atol + rtol * abs(expected)`.
    """
    if type(result).__module__ == "numpy" and hasattr(result, "tolist"):
        result = result.tolist()
    if isinstance(result, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(result) == len(expected) and all(
            agree(*pair, atol, rtol) for pair in zip(result, expected, strict=True)
        )
    if isinstance(result, dict) and isinstance(expected, dict):
        return result.keys() == expected.keys() and all(agree(result[k], expected[k], atol, rtol) for k in expected)
    if result == expected:
        return True
    if not (_is_number(result) and _is_number(expected) and float in (type(result), type(expected))):
        return False
    return bool(abs(result - expected) <= atol + rtol * abs(expected) < math.inf)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def passes(score: Any) -> bool:
    """Returns whether a checker's result is a full one."""
    if not _is_number(score) and not isinstance(score, bool):
        raise TypeError(f"check returned {type(score).__name__}, expected a bool or a number from 0 to 1")
    return bool(score >= 1)


def _module(name: str, **content: Any) -> ModuleType:
    """Returns a module that `import` finds."""
    module = sys.modules[name] = ModuleType(name)
    vars(module).update(content)
    return module


# --- pytest -------------------------------------------------------------------------------------------------------


class Approx:
    """What `pytest.approx` returns: it equals numbers, and sequences and mappings of numbers, that are near."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expected: Any, rel: float | None = None, abs: float | None = None, nan_ok: bool = False) -> None:  # noqa: A002 - pytest's name
        self.expected, self.nan_ok = expected, nan_ok
        self.atol = 1e-12 if abs is None else abs
        self.rtol = (1e-6 if abs is None else 0.0) if rel is None else rel

    def __eq__(self, actual: object) -> bool:
        return self._is_near(actual, self.expected)

    def __repr__(self) -> str:
        return f"approx({self.expected!r})"

    def _is_near(self, actual: Any, expected: Any) -> bool:
        if isinstance(expected, Mapping):
            is_alike = isinstance(actual, Mapping) and actual.keys() == expected.keys()
            return is_alike and all(self._is_near(actual[key], expected[key]) for key in expected)
        if isinstance(expected, Sequence) and not isinstance(expected, (str, bytes)):
            is_alike = isinstance(actual, (list, tuple)) and len(actual) == len(expected)
            return is_alike and all(map(self._is_near, actual, expected))
        if actual == expected:
            return True
        if not (_is_number(actual) and _is_number(expected)):
            return False
        if actual != actual or expected != expected:
            return bool(self.nan_ok and actual != actual and expected != expected)
        return bool(abs(actual - expected) <= max(self.atol, self.rtol * abs(expected)) < math.inf)


def raises(expected: Any, *args: Any, match: str | None = None, **kwargs: Any) -> Any:
    """Returns a context that fails unless an exception of that class is raised in it; or calls a function in one."""
    if not args:
        return _raising(expected, match)
    function, *rest = args
    with _raising(expected, match) as caught:
        function(*rest, **kwargs)
    return caught


@contextmanager
def _raising(expected: Any, match: str | None) -> Iterator[SimpleNamespace]:
    caught = SimpleNamespace(value=None, type=None)
    caught.match = lambda pattern: re.search(pattern, str(caught.value))
    try:
        yield caught
    except expected as error:
        caught.value, caught.type = error, type(error)
        if match is not None and not re.search(match, str(error)):
            raise AssertionError(f"{str(error)!r} does not match {match!r}") from None
        return
    raise AssertionError(f"did not raise {expected}")


def fail(reason: str = "", **_: Any) -> None:
    """Fails a test."""
    raise AssertionError(reason)


def param(*values: Any, **_: Any) -> tuple[Any, ...]:
    """Returns one set of arguments."""
    return _Param(values)


class _Param(tuple[Any, ...]):
    """One set of arguments that was written as `pytest.param`."""

    __slots__ = ()


def parametrize(names: str | Sequence[str], values: Sequence[Any], **_: Any) -> Callable[[Any], Any]:
    """Returns a decorator that keeps the arguments that a test function is called with."""
    keys = [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else list(names)
    is_one = isinstance(names, str) and len(keys) == 1
    rows = [(each,) if is_one and not isinstance(each, _Param) else each for each in values]
    cases = [dict(zip(keys, row, strict=True)) for row in rows]

    def keep(function: Any) -> Any:
        function.__cases__ = [*getattr(function, "__cases__", []), cases]
        return function

    return keep


class _Marks:
    """`pytest.mark`: marks other than `parametrize` change nothing."""

    parametrize = staticmethod(parametrize)

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **_: args[0] if len(args) == 1 and callable(args[0]) else lambda function: function


class TestModule:
    """A module of tests; it is run before its first test, when the program's functions are there."""

    __test__ = False  # for pytest, should it see this class

    def __init__(self, source: str, namespace: dict[str, Any]) -> None:
        self._code = compile(source, "<setup>", "exec", dont_inherit=True)
        self._namespace = namespace
        self._is_run = False

    def run(self, name: str) -> None:
        """Calls a test function, or a method `Class.test`, with each of its sets of arguments."""
        if not self._is_run:
            exec(self._code, self._namespace)  # noqa: S102 - the problem's own tests
            self._is_run = True
        owner, _, method = name.rpartition(".")
        if not owner:
            _call_with_cases(self._namespace[name])
        elif "TestCase" in {base.__name__ for base in self._namespace[owner].__mro__}:
            self._namespace[owner](method).debug()
        else:
            _call_method(self._namespace[owner](), method)


def _call_method(instance: Any, name: str) -> None:
    """Calls a test method after `setup_method`, which gets the method where it has a parameter for it."""
    method = getattr(instance, name)
    setup = getattr(instance, "setup_method", None)
    if setup is not None:
        setup(*[method][: setup.__code__.co_argcount - 1])
    _call_with_cases(method)


def _call_with_cases(function: Any) -> None:
    """Calls a test function with each combination of its sets of arguments."""
    for combination in product(*getattr(function, "__cases__", [])):
        function(**{key: value for case in combination for key, value in case.items()})


def give_pytest() -> None:
    """Makes `import pytest` find the stand-in."""
    _module("pytest", approx=Approx, raises=raises, fail=fail, param=param, mark=_Marks())
