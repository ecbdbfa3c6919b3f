r"""Tests of a code problem, and programs of a completion: what the code verifier reads before it runs anything.

Owns: the formats of `problem.meta`, the text that is taken for the program.
Does not own: running and judging (`rlvr.verifiers.code.verifier`).

Four formats, each in the field's style:

- HumanEval: `test` (defines `check(candidate)`), `entry_point`, `prompt`;
- MBPP: `test_list` (asserts), and optionally `test_setup_code`, `test_imports`;
- APPS and LiveCodeBench, scripts: `inputs` and `outputs`, one text (or list of lines) for each test;
- the same with `fn_name`: inputs are lists of arguments and outputs results; or texts, with one JSON value a line.
"""

import ast
import builtins
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlvr.problems import Problem

MAX_PROGRAM_CHARS = 65_536

_BLOCK = re.compile(r"^[ \t]*```[ \t]*([\w+.-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
_PYTHON_NAMES = ("python", "python3", "py")
_STOP_LINE = re.compile(r"^(?:class|def|#|@|if|print|```)", re.MULTILINE)


@dataclass(frozen=True)
class CallTests:
    """Tests that call functions of the program.

    Attributes:
        setup: source that runs before the tests, beside them.
        names: functions of the program that the tests use.
        tests: sources; one that raises has failed.
        replaces: the program's functions take the place of what the setup defines under their names.
    """

    setup: str
    names: tuple[str, ...]
    tests: tuple[str, ...]
    replaces: bool = False


@dataclass(frozen=True)
class ScriptTests:
    """Tests that run the program: pairs of standard input and expected standard output."""

    pairs: tuple[tuple[str, str], ...]


def tests_of(problem: Problem) -> CallTests | ScriptTests:
    """Returns the tests of a problem.

    Raises:
        ValueError: its meta is in none of the formats.
    """
    meta = problem.meta
    if "test" in meta and "entry_point" in meta:
        return _humaneval_tests(meta)
    if "test_list" in meta:
        return _assert_tests(meta)
    if "inputs" in meta and "outputs" in meta:
        return _pair_tests(meta)
    raise ValueError("meta has neither test and entry_point, nor test_list, nor inputs and outputs")


def _humaneval_tests(meta: Mapping[str, Any]) -> CallTests:
    """Returns HumanEval's tests; the prompt is part of them, because some call helper functions that it defines."""
    prompt, test, name = _text(meta, "prompt"), _text(meta, "test"), _text(meta, "entry_point")
    if not name.isidentifier():
        raise ValueError("entry_point is not a name")
    return CallTests(setup=f"{prompt}\n\n{test}", names=(name,), tests=(f"check({name})",), replaces=True)


def _text(meta: Mapping[str, Any], key: str) -> str:
    """Returns a field that must be text."""
    value = meta.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} is not text")
    return value


def _assert_tests(meta: Mapping[str, Any]) -> CallTests:
    """Returns MBPP's asserts; names that neither they nor their setup define are the program's functions."""
    tests, imports = meta["test_list"], meta.get("test_imports") or []
    if not _texts(tests) or not tests or not _texts(imports):
        raise ValueError("test_list or test_imports is not a list of texts")
    setup = "\n".join([*imports, _text(meta, "test_setup_code")])
    try:
        used = _used_names(tests) - _defined_names([setup, *tests])
    except SyntaxError as error:
        raise ValueError(f"a test is not Python ({error.msg})") from None
    names = used - set(dir(builtins)) or used  # a program may define a function called sum
    return CallTests(setup, tuple(sorted(names)), tuple(tests))


def _texts(value: object) -> bool:
    """Returns whether a value is a list of texts."""
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(item, str) for item in value)


def _used_names(sources: Sequence[str]) -> set[str]:
    """Returns the plain names that are read; a function may be passed on without being called."""
    names = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    return {name.id for name in names if isinstance(name.ctx, ast.Load)}


def _defined_names(sources: Sequence[str]) -> set[str]:
    """Returns the names that sources bind."""
    found: set[str] = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def _pair_tests(meta: Mapping[str, Any]) -> CallTests | ScriptTests:
    """Returns the tests of inputs and outputs."""
    inputs, outputs, name = meta["inputs"], meta["outputs"], meta.get("fn_name")
    if not isinstance(inputs, Sequence) or not isinstance(outputs, Sequence) or len(inputs) != len(outputs):
        raise ValueError("inputs and outputs are not lists of one length")
    if not inputs:
        raise ValueError("there is no test")
    if name is None:
        return ScriptTests(
            tuple((_lines(given), _lines(wanted)) for given, wanted in zip(inputs, outputs, strict=True))
        )
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError("fn_name is not a name")
    return CallTests("", (name,), tuple(_call_test(name, *pair) for pair in zip(inputs, outputs, strict=True)))


def _lines(value: object) -> str:
    """Returns a text, given as it is or as a list of lines."""
    if isinstance(value, str):
        return value
    if _texts(value):
        return "\n".join(value)  # type: ignore[arg-type]
    raise ValueError("an input or output is neither text nor a list of lines")


def _call_test(name: str, given: Any, wanted: Any) -> str:
    """Returns the source of one test.

    Where arguments and results are not texts, a result may also stand in a list of its own, as APPS writes many.
    """
    if isinstance(given, str):
        args, expected = [json.loads(line) for line in given.split("\n") if line.strip()], json.loads(wanted)
        return f"assert __same__({name}(*{args!r}), {expected!r})"
    if not isinstance(given, Sequence):
        raise ValueError("an input is neither text nor a list of arguments")
    if isinstance(wanted, list) and len(wanted) == 1:
        return f"result = {name}(*{given!r})\nassert __same__(result, {wanted!r}) or __same__(result, {wanted[0]!r})"
    return f"assert __same__({name}(*{given!r}), {wanted!r})"


def program_of(problem: Problem, completion: str) -> tuple[str, ...] | str:
    """Returns the sources of a completion's program, which run one after the other, or one line on why there is none.

    The program is the last block in ```python fences, else the last block in any fences, else the whole text. With
    HumanEval's `entry_point`, a program that defines it runs after the prompt, whose imports and helpers it may use;
    another one goes on from the prompt, up to the first line that starts something new at the left margin.
    """
    if len(completion) > MAX_PROGRAM_CHARS:
        return f"{len(completion)} characters, more than {MAX_PROGRAM_CHARS}"
    program = _last_block(completion)
    if not program.strip():
        return "no program"
    name = problem.meta.get("entry_point")
    if not isinstance(name, str):
        return (program,)
    prompt = _text(problem.meta, "prompt")
    if re.search(rf"^(?:(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b|{re.escape(name)}[ \t]*=)", program, re.MULTILINE):
        return prompt, program
    stop = _STOP_LINE.search(program)
    return (prompt + (program[: stop.start()] if stop else program),)


def _last_block(text: str) -> str:
    """Returns the program's text."""
    blocks = [(match[1].lower(), match[2]) for match in _BLOCK.finditer(text)]
    marked = [block for language, block in blocks if language in _PYTHON_NAMES]
    return (marked or [block for language, block in blocks if not language] or [text])[-1]
