"""Plain data as JSON: what crosses between tests and a program, and what becomes of it in place.

Owns: the codec, aliases within one message, and the contents that lists and their like have after a call.
Does not own: what stands for anything else (`objects` and `tester` tell the codec).

Its source is sent to the driver, so it uses the standard library only; numpy is used where it is there already.

A value is what the built-in types see of it: subclasses become the type that they derive from, so no method of a
program crosses. Lists, sets, dicts, bytearrays, deques and arrays are numbered in the order in which they are met, on
both sides; one that is met again is `{"same": number}`. So a reply can say what has become of what a request held.
"""

import re
import sys
from collections import deque, namedtuple
from collections.abc import Callable, Iterable
from math import prod
from typing import Any

MAX_JSON_INT = 2**53
PLAIN_DTYPE = re.compile(r"[<>|=]?[biufcSUmM][0-9]*(\[[a-zA-Z0-9]+\])?")

Json = Any


class Encoder:
    """Writes values of one message, or of a call and its result.

    Args:
        other: returns JSON for what is not plain data, or raises `TypeError`.
        known: what has numbers already, in their order.
    """

    def __init__(self, other: Callable[[Any], Json], known: Iterable[Any] = ()) -> None:
        self.known = list(known)
        self._other = other
        self._numbers = {id(value): number for number, value in enumerate(self.known)}

    def write(self, value: Any) -> Json:
        """Returns a value as JSON."""
        kind = type(value)
        if value is None or kind in (bool, str, float):
            return value
        if kind is not int and _is_scalar(value):
            return _write_scalar(value)
        for base, write in _WRITERS:
            if issubclass(kind, base):
                return write(self, value)
        if issubclass(kind, _MUTABLE) or _is_array(value):
            return self._write_numbered(value)
        return self._other(value)

    def content(self, value: Any) -> Json:
        """Returns what a numbered value holds now."""
        for base, write in _CONTENTS:
            if issubclass(type(value), base):
                return write(self, value)
        return _write_array(self, value)

    def write_all(self, values: Iterable[Any]) -> list[Json]:
        """Returns values as JSON."""
        return [self.write(value) for value in values]

    def _write_numbered(self, value: Any) -> Json:
        number = self._numbers.get(id(value))
        if number is not None:
            return {"same": number}
        self._numbers[id(value)] = len(self.known)
        self.known.append(value)
        return self.content(value)


def _write_int(_: Encoder, value: Any) -> Json:
    number = int.__int__(value)
    return number if -MAX_JSON_INT < number < MAX_JSON_INT else {"int": hex(number)}


def _write_tuple(encoder: Encoder, value: Any) -> Json:
    items, fields = encoder.write_all(tuple.__iter__(value)), getattr(type(value), "_fields", None)
    if type(fields) is tuple and len(fields) == len(items) and all(type(field) is str for field in fields):
        return {"named": [type(value).__name__, list(fields), items]}
    return {"tuple": items}


def _write_dict(encoder: Encoder, value: Any) -> Json:
    return {"dict": [[encoder.write(key), encoder.write(item)] for key, item in dict.items(value)]}


_WRITERS: tuple[tuple[type, Callable[[Encoder, Any], Json]], ...] = (
    (int, _write_int),
    (float, lambda _, value: float.__float__(value)),
    (complex, lambda _, value: {"complex": [complex(value).real, complex(value).imag]}),
    (str, lambda _, value: str.__str__(value)),
    (bytes, lambda _, value: {"bytes": bytes.hex(value)}),
    (tuple, _write_tuple),
    (frozenset, lambda encoder, value: {"frozenset": encoder.write_all(frozenset.__iter__(value))}),
    (range, lambda encoder, value: {"range": encoder.write_all([value.start, value.stop, value.step])}),
    (slice, lambda encoder, value: {"slice": encoder.write_all([value.start, value.stop, value.step])}),
)
_MUTABLE = (list, set, dict, bytearray, deque)
_CONTENTS: tuple[tuple[type, Callable[[Encoder, Any], Json]], ...] = (
    (list, lambda encoder, value: encoder.write_all(list.__iter__(value))),
    (set, lambda encoder, value: {"set": encoder.write_all(set.__iter__(value))}),
    (dict, _write_dict),
    (bytearray, lambda _, value: {"bytearray": bytes(value).hex()}),
    (deque, lambda encoder, value: {"deque": encoder.write_all(deque.__iter__(value))}),
)


class Decoder:
    """Reads the values of one message, or of a call and its result.

    Args:
        other: returns what a kind and its content stand for, or raises `ValueError`.
        known: what has numbers already, in their order.
    """

    def __init__(self, other: Callable[[str, Json], Any], known: Iterable[Any] = ()) -> None:
        self.known = list(known)
        self._other = other

    def read(self, value: Json) -> Any:
        """Returns the value that an encoder wrote.

        Raises:
            ValueError, TypeError, IndexError, RecursionError, OverflowError: no encoder wrote it.
        """
        if isinstance(value, list):
            return self._fill([], value)
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind in _EMPTY:
            return self._fill(_EMPTY[kind](), value)
        if kind == "same":
            return self.known[_size(content)]
        if kind == "array":
            return self._read_array(*content)
        return _READERS[kind](self, content) if kind in _READERS else self._other(kind, content)

    def read_all(self, values: Json) -> list[Any]:
        """Returns a list of values, which is itself none of them."""
        if not isinstance(values, list):
            raise TypeError("not a list")
        return [self.read(value) for value in values]

    def refill(self, number: Json, content: Json) -> None:
        """Gives a numbered value other contents, of its own kind."""
        value = self.known[_size(number)]
        if _is_array(value):
            fresh = Decoder(self._other).read(content)
            if not _is_array(fresh) or (fresh.shape, fresh.dtype) != (value.shape, value.dtype):
                raise ValueError("an array of another form")
            value[...] = fresh
            return
        kind = "list" if isinstance(content, list) else next(iter(content))
        if kind not in _REFILLS or not issubclass(type(value), _REFILLS[kind][0]):
            raise ValueError("contents of another kind")
        _REFILLS[kind][1](self, value, content if kind == "list" else content[kind])

    def _fill(self, value: Any, written: Json) -> Any:
        self.known.append(value)
        self.refill(len(self.known) - 1, written)
        return value

    def _read_array(self, dtype: Json, shape: Json, content: Json) -> Any:
        """Returns an array, or a scalar where the shape is none."""
        numpy = _numpy()
        sizes = [_size(size) for size in shape or ()]
        if dtype == "O":
            value = numpy.empty(sizes, dtype=object)
            self.known.append(value)
            value.reshape(-1)[:] = self.read_all(content)
            return value
        if not isinstance(dtype, str) or not PLAIN_DTYPE.fullmatch(dtype):
            raise ValueError("no type of plain data")
        data = bytes.fromhex(content)
        if prod(sizes) * numpy.dtype(dtype).itemsize != len(data):
            raise ValueError("an array of another size")
        value = numpy.frombuffer(data, dtype).reshape(sizes).copy() if data else numpy.empty(sizes, dtype)
        if shape is None:
            return value[()]
        self.known.append(value)
        return value


def _size(value: Json) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a number")
    return value


def _read_named(decoder: Decoder, content: Json) -> Any:
    name, fields, items = content
    kind = namedtuple("Named", [str(field) for field in fields], rename=True)  # type: ignore[misc]
    kind.__name__ = str(name)[:100]
    return kind(*decoder.read_all(items))


def _refill_dict(decoder: Decoder, value: Any, content: Json) -> None:
    dict.clear(value)
    for key, item in content:
        made = decoder.read(key)
        dict.__setitem__(value, made, decoder.read(item))


def _refill_set(decoder: Decoder, value: Any, content: Json) -> None:
    set.clear(value)
    set.update(value, decoder.read_all(content))


def _refill_deque(decoder: Decoder, value: Any, content: Json) -> None:
    deque.clear(value)
    deque.extend(value, decoder.read_all(content))


_EMPTY: dict[str, Callable[[], Any]] = {"set": set, "dict": dict, "bytearray": bytearray, "deque": deque}
_REFILLS: dict[str, tuple[type, Callable[[Decoder, Any, Json], None]]] = {
    "list": (list, lambda decoder, value, content: list.__setitem__(value, slice(None), decoder.read_all(content))),
    "set": (set, _refill_set),
    "dict": (dict, _refill_dict),
    "bytearray": (bytearray, lambda _, value, content: value.__setitem__(slice(None), bytes.fromhex(content))),
    "deque": (deque, _refill_deque),
}
_READERS: dict[str, Callable[[Decoder, Json], Any]] = {
    "int": lambda _, content: int(content, 16),
    "complex": lambda _, content: complex(*content),
    "bytes": lambda _, content: bytes.fromhex(content),
    "tuple": lambda decoder, content: tuple(decoder.read_all(content)),
    "named": _read_named,
    "frozenset": lambda decoder, content: frozenset(decoder.read_all(content)),
    "range": lambda decoder, content: range(*decoder.read_all(content)),
    "slice": lambda decoder, content: slice(*decoder.read_all(content)),
}


# --- numpy --------------------------------------------------------------------------------------------------------


def _numpy() -> Any:
    """Returns numpy; raises `ValueError` where there is none."""
    try:
        import numpy
    except ImportError:
        raise ValueError("an array, and there is no numpy") from None
    return numpy


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(type(value), numpy.ndarray)


def _is_scalar(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(type(value), numpy.generic) and bool(PLAIN_DTYPE.fullmatch(value.dtype.str))


def _write_array(encoder: Encoder, value: Any) -> Json:
    if PLAIN_DTYPE.fullmatch(value.dtype.str):
        return {"array": [value.dtype.str, list(value.shape), value.tobytes().hex()]}
    if value.dtype.kind != "O":
        raise TypeError(f"an array of type {value.dtype.str}, which is not plain data")
    return {"array": ["O", list(value.shape), encoder.write_all(value.reshape(-1).tolist())]}


def _write_scalar(value: Any) -> Json:
    return {"array": [value.dtype.str, None, value.tobytes().hex()]}


# --- messages without objects -------------------------------------------------------------------------------------


def encode(value: Any) -> Json:
    """Returns plain data as JSON; raises `TypeError` where it is not plain."""
    return Encoder(_refuse_object).write(value)


def decode(value: Json) -> Any:
    """Returns plain data; raises as `Decoder.read` where it is not plain."""
    return Decoder(refuse_kind).read(value)


def _refuse_object(value: Any) -> Json:
    raise TypeError(f"an object of type {type(value).__name__}, which is not plain data")


def refuse_kind(kind: str, _: Json) -> Any:
    """Raises `ValueError`."""
    raise ValueError(f"unknown kind {kind[:20]!r}")
