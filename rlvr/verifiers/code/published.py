"""Tests as data sets publish them: columns of LiveCodeBench, APPS, TACO and EvalPlus.

Owns: reading those columns. Does not own: questions and answers of such rows (`rlvr.problems.published`), the typed
tests that they become (`rlvr.verifiers.code.tests`).

LiveCodeBench packs its private tests as a pickle. Nothing is unpickled: its one text is read out of it, and a pickle of
anything else is refused.
"""

import base64
import binascii
import json
import pickletools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_UNPACKED_BYTES = 512 * 1024**2

_TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_AROUND = {"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"}


@dataclass(frozen=True)
class Pairs:
    """Inputs and outputs.

    Attributes:
        inputs: for each test, a text, a list of lines, or a list of arguments.
        outputs: what is expected of each.
        name: the function that they are for, or None for scripts.
    """

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    name: str | None


def pairs_of(meta: Mapping[str, Any]) -> Pairs | None:
    """Returns the inputs and outputs of a problem, or None where its columns are others.

    Raises:
        ValueError: they cannot be read.
    """
    if "public_test_cases" in meta or "private_test_cases" in meta:
        return _livecodebench(meta)
    if "input_output" in meta:
        return _apps(meta["input_output"])
    if "inputs" in meta and "outputs" in meta:
        return _checked(Pairs(meta["inputs"], meta["outputs"], meta.get("fn_name")))
    return None


def _checked(pairs: Pairs) -> Pairs:
    """Returns pairs whose form is right."""
    for values in (pairs.inputs, pairs.outputs):
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise ValueError("inputs and outputs are not lists of one length")
    if len(pairs.inputs) != len(pairs.outputs):
        raise ValueError("inputs and outputs are not lists of one length")
    if not pairs.inputs:
        raise ValueError("there is no test")
    if pairs.name is not None and not (isinstance(pairs.name, str) and pairs.name.isidentifier()):
        raise ValueError("fn_name is not a name")
    return pairs


def _apps(column: Any) -> Pairs:
    """Returns the tests of APPS and TACO: an object, as JSON text or as it is."""
    value = _json(column, "input_output") if isinstance(column, str) else column
    if not isinstance(value, Mapping) or "inputs" not in value or "outputs" not in value:
        raise ValueError("input_output has no inputs and outputs")
    pairs = _checked(Pairs(value["inputs"], value["outputs"], value.get("fn_name") or None))
    if pairs.name is None:
        return pairs
    return Pairs(
        [_whole_keys(each) for each in pairs.inputs], [_whole_keys(each) for each in pairs.outputs], pairs.name
    )


def _whole_keys(value: Any) -> Any:
    """Returns a value, a dict in it with whole numbers as keys where all are written as such: JSON has none."""
    if isinstance(value, list):
        return [_whole_keys(each) for each in value]
    if isinstance(value, dict) and value and all(key.lstrip("-").isdecimal() for key in value):
        return {int(key): each for key, each in value.items()}
    return value


def _livecodebench(meta: Mapping[str, Any]) -> Pairs:
    """Returns public and private tests of LiveCodeBench."""
    cases = [*_cases(meta.get("public_test_cases")), *_cases(meta.get("private_test_cases"))]
    metadata = meta.get("metadata") or {}
    metadata = _json(metadata, "metadata") if isinstance(metadata, str) else metadata
    name = metadata.get("func_name") if isinstance(metadata, Mapping) else None
    kinds = {case.get("testtype", "stdin") for case in cases}
    expected = {"functional"} if name else {"stdin"}
    if kinds - expected:
        raise ValueError(f"tests are of kind {', '.join(sorted(map(str, kinds)))}, and metadata.func_name is {name!r}")
    return _checked(Pairs([case["input"] for case in cases], [case["output"] for case in cases], name))


def _cases(column: Any) -> list[dict[str, Any]]:
    """Returns the test cases of a column: a list, its JSON, or that packed."""
    value = column or []
    if isinstance(value, str):
        text = value if value.lstrip()[:1] == "[" else unpacked(value)
        value = _json(text, "a column of test cases")
    if not isinstance(value, list) or not all(
        isinstance(case, dict) and {"input", "output"} <= set(case) for case in value
    ):
        raise ValueError("a column of test cases is not a list of objects with input and output")
    return value


def unpacked(text: str) -> str:
    """Returns the text in base64 of a zlib stream of a pickle, without unpickling it.

    Raises:
        ValueError: it is something else, or more than `MAX_UNPACKED_BYTES`.
    """
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(base64.b64decode(text, validate=True), MAX_UNPACKED_BYTES)
        if stream.unconsumed_tail or not stream.eof:
            raise ValueError(f"more than {MAX_UNPACKED_BYTES} bytes, or cut off")
        return _only_text(data)
    except (zlib.error, binascii.Error, ValueError) as error:
        raise ValueError(f"private_test_cases cannot be read: {error}") from None


def _only_text(data: bytes) -> str:
    """Returns the text of a pickle that holds nothing else."""
    found: list[str] = []
    for operation, argument, _ in pickletools.genops(data):
        if operation.name in _TEXTS:
            found.append(str(argument))
        elif operation.name not in _AROUND:
            raise ValueError(f"a pickle with {operation.name}, expected one text")
    if len(found) != 1:
        raise ValueError(f"a pickle of {len(found)} texts, expected one")
    return found[0]


def _json(text: str, column: str) -> Any:
    """Returns the value of a JSON text."""
    if not text.strip():
        raise ValueError(f"{column} is empty: there is no test")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{column} is not JSON ({error})") from None


# --- EvalPlus -----------------------------------------------------------------------------------------------------

RTOL = 1e-7  # of numpy's assert_allclose, which EvalPlus calls
FLOAT_ATOL = 1e-6  # of EvalPlus, for floats of a row whose own is 0
# HumanEval/32 has several roots: what counts is that the polynomial is near 0 at the one that is found.
_ORACLES = {"HumanEval/32": "assert abs(__canonical__['poly'](*__given__({i}), {name}(*__given__({i})))) <= {atol}"}
_TEST = "assert __agree__({name}(*__given__({i})), __wanted__({i}), {atol}, {rtol})"


def evalplus_sources(meta: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Returns setup, function and tests of a row of EvalPlus's own files: the canonical solution says what is expected.

    Raises:
        ValueError: a column is missing, or its inputs are not what the task takes.
    """
    if str(meta.get("task_id", "")).startswith("Mbpp/"):
        raise ValueError("JSON has lost tuples and sets of its inputs; take evalplus/mbppplus, whose tests hold them")
    prompt, solution, name = meta["prompt"], meta["canonical_solution"], meta["entry_point"]
    if not all(isinstance(each, str) for each in (prompt, solution, name)) or not name.isidentifier():
        raise ValueError("prompt, canonical_solution or entry_point is not text, or not a name")
    inputs = [*(meta.get("base_input") or []), *(meta.get("plus_input") or [])]
    if not inputs or not all(isinstance(each, list) for each in inputs):
        raise ValueError("base_input and plus_input are not lists of arguments, or there is no test")
    setup = (
        "import copy as __copy__\n"
        "__canonical__ = {'__name__': 'canonical'}\n"
        f"exec({prompt + solution!r}, __canonical__)\n"
        f"__inputs__ = {inputs!r}\n"
        "def __given__(number):\n    return __copy__.deepcopy(__inputs__[number])\n"
        f"def __wanted__(number):\n    return __canonical__[{name!r}](*__given__(number))\n"
    )
    form = _ORACLES.get(str(meta.get("task_id")), _TEST)
    atol = float(meta.get("atol") or FLOAT_ATOL)
    return setup, name, tuple(form.format(i=i, name=name, atol=atol, rtol=RTOL) for i in range(len(inputs)))
