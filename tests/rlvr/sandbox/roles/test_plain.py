"""The codec of plain data: what crosses, aliases, contents after a call, and messages that no encoder writes."""

import json
from collections import deque, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.sandbox.roles.plain import Decoder, Encoder, decode, encode, refuse_kind

HASHABLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
KEYS = st.recursive(HASHABLE, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
VALUES = st.recursive(
    KEYS,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=15,
)


def crossed(value):
    return decode(json.loads(json.dumps(encode(value))))


@given(VALUES)
def test_plain_data_crosses_unchanged(value):
    there = crossed(value)
    assert there == value
    assert repr(there) == repr(value) or isinstance(value, (dict, frozenset, tuple, list))


@pytest.mark.parametrize("value", [deque([1, [2]]), bytearray(b"a"), range(3, 9, 2), slice(1, None), {1: deque()}])
def test_other_built_in_types_cross(value):
    assert crossed(value) == value
    assert type(crossed(value)) is type(value)


@pytest.mark.parametrize(
    "value",
    [np.arange(6).reshape(2, 3), np.zeros((0, 4)), np.array(3.5), np.array(["a", "bc"]), np.array([1 + 2j]),
     np.array([True]), np.asfortranarray(np.eye(2)), np.array([1, "a", None], dtype=object), np.float32(2.5),
     np.int8(3), np.float64(0.1), np.bool_(True), np.array(["2020-01-01"], dtype="M8[D]")],
    ids=str,
)  # fmt: skip
def test_arrays_cross(value):
    there = crossed(value)
    assert type(there) is type(value)
    assert (there.dtype, there.shape) == (value.dtype, value.shape)
    assert np.array_equal(there, value)


def test_a_named_tuple_keeps_its_names():
    there = crossed(namedtuple("Pair", "left right")(1, [2]))
    assert (there, there.left, there.right, type(there).__name__) == ((1, [2]), 1, [2], "Pair")


def test_aliases_and_cycles_within_a_message():
    shared = [1]
    one, two, table = crossed([shared, shared, {"k": shared}])
    assert one is two is table["k"]
    cycle: list = []
    cycle.append(cycle)
    there = crossed(cycle)
    assert there[0] is there


def test_contents_after_a_call_reach_the_same_objects():
    """Both sides number alike, also what is new in the contents."""
    mine = [[1], {2}, {"k": 3}, bytearray(b"x"), np.zeros(2), deque([1])]
    ours = Encoder(lambda _: None)
    sent = json.loads(json.dumps(ours.write(mine)))
    there = Decoder(refuse_kind)
    theirs = there.read(sent)
    fresh = [7]
    theirs[0].append(fresh)
    theirs[1].add(5)
    theirs[2]["k"] = fresh
    theirs[3].extend(b"y")
    theirs[4][0] = 9
    theirs[5].append(fresh)
    back = Encoder(lambda _: None, there.known)
    contents = json.loads(json.dumps([back.content(value) for value in there.known]))
    kept = list(mine)
    reader = Decoder(refuse_kind, ours.known)
    for number, content in enumerate(contents):
        reader.refill(number, content)
    assert all(a is b for a, b in zip(mine, kept, strict=True))
    assert mine[:4] == [[1, [7]], {2, 5}, {"k": [7]}, bytearray(b"xy")]
    assert mine[4].tolist() == [9, 0]
    assert mine[0][1] is mine[2]["k"] is mine[5][1]


@pytest.mark.parametrize(
    "written",
    [{"same": 0}, {"same": True}, {"same": -1}, {}, {"a": 1, "b": 2}, {"set": [[]]}, {"dict": [1]}, {"int": "x"},
     {"bytes": 3}, {"tuple": 3}, {"array": ["O8", [1], "00"]}, {"array": ["<f8", [-1], ""]}, {"array": ["<f8"]},
     {"array": ["<f8", [2**40, 2**40], "00"]}, {"named": ["A", ["x"], []]}, {"range": ["a", 1, 1]}, {"object": 1},
     {"complex": [[], 1]}, {"deque": 1}, {"bytearray": "x"}],
    ids=str,
)  # fmt: skip
def test_what_no_encoder_writes_is_refused(written):
    with pytest.raises((ValueError, TypeError, IndexError, OverflowError)):
        decode(written)


def test_an_object_is_refused_by_its_type():
    class Equal:
        __class__ = int  # type: ignore[assignment]

    with pytest.raises(TypeError, match="Equal, which is not plain"):
        encode([Equal()])
