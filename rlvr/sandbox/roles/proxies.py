"""What stands in tests for an object of a program, and what a program's word may decide.

Owns: the methods of such an object, each of which asks the program, and the rules on what is not asked.
Does not own: how it is asked (`rlvr.sandbox.roles.tester`).

Its source is sent to the driver, so it uses the standard library only. Nothing that a program says decides a comparison
with the tests' own data:

- a proxy equals no plain data, is neither less nor more, and is an instance of no class but the program's;
- an object that a function returned is asked for no arithmetic with plain data (`abs(f(x) - 3) < 1e-6`), for no test
  that plain data has by the same name (`startswith`, `issubset`), and is searched by going through its items. An object
  that the tests have made themselves, by a class whose name is written as one, does what its class says;
- no context of the program's ends an exception, and only an iterator ends a loop.
"""

import builtins
import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

CLASS_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
PLAIN_TYPES = (int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
PREDICATES = {name for kind in PLAIN_TYPES for name in dir(kind) if name.startswith("is") or name.endswith("swith")}
ASKED_DUNDERS = {"__name__", "__qualname__", "__dict__", "__annotations__", "__wrapped__"}


class Reference:
    """What a proxy knows of its object.

    Attributes:
        tester: who asks.
        number: of the object in the program.
        name: of its class, as the program says.
        kind: `object`, `callable` or `coroutine`, as the program says.
        is_class: whether the tests name it as a class.
        is_made: whether the tests have made it by such a class.
    """

    def __init__(self, tester: Any, number: int, name: str, kind: str) -> None:
        self.tester, self.number, self.name, self.kind = tester, number, name, kind
        self.is_class = self.is_made = False

    def ask(self, op: str, proxy: "Proxy", /, *args: Any, **kwargs: Any) -> Any:
        """Returns what the program says of the object."""
        return self.tester.ask(op, proxy, *args, **kwargs)


class Proxy:
    """Stands for an object of the program: see the rules of this module."""

    __slots__ = ("__weakref__", "_of_rlvr")

    def __init__(self, reference: Reference) -> None:
        object.__setattr__(self, "_of_rlvr", reference)

    def __getattr__(self, name: str) -> Any:
        of = reference_of(self)
        if (name.startswith("__") and name not in ASKED_DUNDERS) or (name in PREDICATES and not of.is_made):
            raise AttributeError(f"{of.name} object: {name} is not asked for")
        value = of.ask("getattr", self, name)
        if type(value) is Proxy and of.is_class and CLASS_NAME.fullmatch(name):
            reference_of(value).is_class = True
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        reference_of(self).ask("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        reference_of(self).ask("delattr", self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what the program's function or class returns."""
        of = reference_of(self)
        value = of.ask("call", self, *args, **kwargs)
        if type(value) is Proxy and of.is_class:
            reference_of(value).is_made = True
        return value

    def __repr__(self) -> str:
        of = reference_of(self)
        return f"<{of.name} object>" if of.tester.is_over else of.ask("repr", self)

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is Proxy and _truth(reference_of(self).ask("eq", self, other)))

    def __ne__(self, other: object) -> bool:
        return not self == other if type(other) is not Proxy else _truth(reference_of(self).ask("ne", self, other))

    def __contains__(self, item: Any) -> bool:
        if reference_of(self).is_made or type(item) is Proxy:
            return _truth(reference_of(self).ask("contains", self, item))
        return any(item is each or item == each for each in self)

    def __iter__(self) -> Iterator[Any]:
        return reference_of(self).ask("iter", self)  # type: ignore[no-any-return]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is not None and not issubclass(kind, Exception):
            return
        is_known = kind is not None and (vars(builtins).get(kind.__name__) is kind or kind in _errors_of(self))
        is_failure = kind is not None and issubclass(kind, AssertionError)
        with contextlib.suppress(*[Exception] * is_failure):  # a failure stays what it is
            reference_of(self).ask("exit", self, kind if is_known else kind and Exception, str(error))

    def __mro_entries__(self, _: object) -> tuple[type, ...]:
        """Ends the tests: a class of theirs would be half in one process and half in the other."""
        raise reference_of(self).tester.stop(
            "error", "the tests cannot be relayed: they derive a class from the program's"
        )

    def __instancecheck__(self, instance: Any) -> bool:
        return type(instance) is Proxy and _truth(reference_of(self).ask("isinstance", instance, self))

    def __subclasscheck__(self, kind: Any) -> bool:
        return type(kind) is Proxy and _truth(reference_of(self).ask("issubclass", kind, self))


def reference_of(proxy: Proxy) -> Reference:
    """Returns what a proxy knows."""
    return object.__getattribute__(proxy, "_of_rlvr")  # type: ignore[no-any-return]


def _errors_of(proxy: Proxy) -> list[type[Exception]]:
    """Returns the program's own classes of exceptions."""
    return list(reference_of(proxy).tester._errors.values())


def _truth(value: Any) -> bool:
    """Returns what the program says; anything but true and false is no answer."""
    if type(value) is not bool:
        raise TypeError("the program's answer is neither true nor false")
    return value


def _asking(op: str) -> Callable[..., Any]:
    """Returns a method that asks."""
    return lambda self, *args: reference_of(self).ask(op, self, *args)


def _comparing(op: str) -> Callable[..., Any]:
    """Returns a method that compares with another object of the program."""
    return lambda self, other: (
        _truth(reference_of(self).ask(op, self, other)) if type(other) is Proxy else NotImplemented  #
    )


def _computing(op: str, is_reflected: bool = False) -> Callable[..., Any]:
    """Returns a method that computes; with plain data only for an object that the tests have made."""

    def method(self: Proxy, *others: Any) -> Any:
        """Returns what the program computes, or that it is not asked."""
        of = reference_of(self)
        if not of.is_made and any(type(other) is not Proxy for other in others):
            return NotImplemented
        value = of.tester.ask(op, *others, self) if is_reflected else of.ask(op, self, *others)
        if type(value) is Proxy and of.is_made:
            reference_of(value).is_made = True
        return value

    return method


_ASKED = "bool len str hash next reversed int float complex index round enter getitem setitem delitem format abs trunc"
_COMPARED = "lt le gt ge"
_COMPUTED = "add sub mul truediv floordiv mod divmod pow matmul lshift rshift and or xor"
_ALONE = "neg pos invert"
_NAMES_OF_OPERATORS = {"and": "and_", "or": "or_"}


def _give_methods() -> None:
    """Gives proxies the methods that operators and built-in functions look for."""
    for name in _ASKED.split():
        setattr(Proxy, f"__{name}__", _asking(name))
    for name in _COMPARED.split():
        setattr(Proxy, f"__{name}__", _comparing(name))
    for name in _ALONE.split():
        setattr(Proxy, f"__{name}__", _computing(name))
    for name in _COMPUTED.split():
        op = _NAMES_OF_OPERATORS.get(name, name)
        setattr(Proxy, f"__{name}__", _computing(op))
        setattr(Proxy, f"__r{name}__", _computing(op, is_reflected=True))
        if name != "divmod":
            setattr(Proxy, f"__i{name}__", _computing(f"i{name}"))


_give_methods()
