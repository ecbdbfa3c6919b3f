r"""Tests of a code problem as typed parts: what the code verifier reads before it runs anything.

Owns: the formats of `problem.meta`, and the sources that a program consists of.
Does not own: what is taken for the program (`rlvr.verifiers.code.extraction`), columns of published data sets
(`rlvr.verifiers.code.published`, `rlvr.verifiers.code.modules`), running and judging (`rlvr.verifiers.code.verifier`).

The formats, each in the field's style:

- HumanEval and HumanEval+: `test` (defines `check(candidate)`), `entry_point`, `prompt`;
- EvalPlus's own files: `base_input`, `plus_input`, `canonical_solution`, `entry_point`, `prompt`;
- MBPP: `test_list` (asserts), and optionally `test_setup_code`, `test_imports`; MBPP+: also `test`, a script;
- KodCode: `test` alone, a module in pytest's style;
- APPS, TACO and LiveCodeBench, scripts: `inputs` and `outputs`, one text (or list of lines) for each test;
- the same with `fn_name`: inputs are lists of arguments and outputs results; or texts, with one JSON value a line.
"""

import ast
import builtins
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlvr.problems import Problem
from rlvr.verifiers.code import beside_tests
from rlvr.verifiers.code.checker import checker_of
from rlvr.verifiers.code.compare import Expected, Kept
from rlvr.verifiers.code.extraction import defines, program_text
from rlvr.verifiers.code.imports import usual_imports
from rlvr.verifiers.code.modules import read_module
from rlvr.verifiers.code.published import Pairs, evalplus_sources, pairs_of

MAX_PROGRAM_CHARS = 65_536

_STOP_LINE = re.compile(r"^(?:class|def|#|@|if|print|```)", re.MULTILINE)
_BESIDE = f"__beside__ = {{'__name__': 'beside_tests'}}\nexec({inspect.getsource(beside_tests)!r}, __beside__)\n"
_AGREE = f"{_BESIDE}__agree__ = __beside__['agree']\n"


@dataclass(frozen=True)
class CallTests:
    """Tests that call functions of the program.

    Attributes:
        setup: source that runs before the tests, beside them.
        names: functions of the program that the tests use.
        tests: sources; one that raises has failed.
        replaces: the program's functions take the place of what the setup defines under their names.
        gives_imports: the program may use the standard library's usual names without importing them.
    """

    setup: str
    names: tuple[str, ...]
    tests: tuple[str, ...]
    replaces: bool = False
    gives_imports: bool = False

    def each(self) -> "Iterator[CallTests]":
        """Yields the tests one by one."""
        return (replace(self, tests=(test,)) for test in self.tests)


@dataclass(frozen=True)
class ScriptTests:
    """Tests that run the program.

    Attributes:
        pairs: standard input, and what is expected of standard output.
        checker: source of `check(given, output, expected)`, which judges in place of comparison; or empty.
    """

    pairs: tuple[tuple[str, Expected | Kept], ...]
    checker: str = ""

    def each(self) -> "Iterator[ScriptTests]":
        """Yields the tests one by one."""
        return (replace(self, pairs=(pair,)) for pair in self.pairs)


def tests_of(problem: Problem, tolerance: float) -> CallTests | ScriptTests:
    """Returns the tests of a problem.

    Args:
        problem: its meta is read.
        tolerance: of floats in results and of numbers in outputs, where the row has no `atol` of its own.

    Raises:
        ValueError: its meta is in none of the formats.
    """
    meta = problem.meta
    if "base_input" in meta and "canonical_solution" in meta:
        return _evalplus_tests(meta)
    if "test" in meta and "entry_point" in meta:
        return _humaneval_tests(meta)
    if "test_list" in meta:
        return _assert_tests(meta)
    if "test" in meta:
        return _module_tests(_text(meta, "test"))
    pairs = pairs_of(meta)
    if pairs is not None:
        return _pair_tests(pairs, _tolerance_of(meta, tolerance), checker_of(meta))
    raise ValueError(
        "meta has neither test, nor test_list, nor base_input, nor public_test_cases, nor input_output, nor inputs and "
        "outputs"
    )


def _tolerance_of(meta: Mapping[str, Any], default: float) -> float:
    """Returns a row's own tolerance, or the default."""
    value = meta.get("atol")
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError("atol is not a number of at least 0")
    return float(value)


def _evalplus_tests(meta: Mapping[str, Any]) -> CallTests:
    """Returns the tests of a row of EvalPlus's own files."""
    setup, name, tests = evalplus_sources(meta)
    return CallTests(_AGREE + setup, (name,), tests)


def _humaneval_tests(meta: Mapping[str, Any]) -> CallTests:
    """Returns HumanEval's tests; the prompt is part of them, because some call helper functions that it defines."""
    prompt, test, name = _text(meta, "prompt"), _text(meta, "test"), _text(meta, "entry_point")
    if not name.isidentifier():
        raise ValueError("entry_point is not a name")
    setup = f"{prompt}\n\n{test}"
    return CallTests(setup=setup, names=(name,), tests=(f"check({name})",), replaces=True)


def _module_tests(source: str) -> CallTests:
    """Returns the tests of a module in pytest's style."""
    module = read_module(source)
    setup = (
        f"{_BESIDE}__beside__['give_pytest']()\n{module.imports}\n"
        f"__setup__ = {module.source!r}\n__tests__ = __beside__['TestModule'](__setup__, globals())\n"
    )
    tests = tuple(f"__tests__.run({name!r})" for name in module.tests)
    return CallTests(setup, module.names, tests or (module.source,))


def _text(meta: Mapping[str, Any], key: str) -> str:
    """Returns a field that must be text."""
    value = meta.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} is not text")
    return value


def _assert_tests(meta: Mapping[str, Any]) -> CallTests:
    """Returns MBPP's asserts, or MBPP+'s script in their place.

    Names that neither the asserts nor their setup define are the program's functions.
    """
    tests, imports = meta["test_list"], meta.get("test_imports") or []
    if not _texts(tests) or not tests or not _texts(imports):
        raise ValueError("test_list or test_imports is not a list of texts")
    setup = "\n".join([*imports, _text(meta, "test_setup_code")])
    try:
        used = _used_names(tests) - _defined_names([setup, *tests])
    except SyntaxError as error:
        raise ValueError(f"a test is not Python ({error.msg})") from None
    names = used - set(dir(builtins)) or used  # a program may define a function called sum
    script = _text(meta, "test")
    if script:
        tests = [script]
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


def _pair_tests(pairs: Pairs, tolerance: float, checker: str) -> CallTests | ScriptTests:
    """Returns the tests of inputs and outputs."""
    both = list(zip(pairs.inputs, pairs.outputs, strict=True))
    if pairs.name is None:
        return ScriptTests(
            tuple((_lines(given), Expected(_lines(wanted), tolerance)) for given, wanted in both), checker
        )
    setup = _AGREE
    if checker:
        setup = f"{_BESIDE}__passes__ = __beside__['passes']\n__checker__ = {{}}\nexec({checker!r}, __checker__)\n"
    name = pairs.name
    tests = [
        _checked_call(name, *_call(*pair)) if checker else _compared_call(name, *_call(*pair), tolerance)
        for pair in both
    ]
    return CallTests(setup, (name,), tuple(tests), gives_imports=True)


def _lines(value: object) -> str:
    """Returns a text, given as it is or as a list of lines."""
    if isinstance(value, str):
        return value
    if _texts(value):
        return "\n".join(value)  # type: ignore[arg-type]
    raise ValueError("an input or output is neither text nor a list of lines")


def _call(given: Any, wanted: Any) -> tuple[list[Any], list[Any]]:
    """Returns the arguments of a call, and the results that are right.

    Where arguments and results are not texts, a result may also stand in a list of its own, as APPS writes many.
    """
    if isinstance(given, str):
        return [json.loads(line) for line in given.split("\n") if line.strip()], [json.loads(wanted)]
    if not isinstance(given, Sequence):
        raise ValueError("an input is neither text nor a list of arguments")
    return list(given), [wanted, wanted[0]] if isinstance(wanted, list) and len(wanted) == 1 else [wanted]


def _compared_call(name: str, args: list[Any], results: list[Any], tolerance: float) -> str:
    """Returns the source of a test that compares."""
    near = f", {tolerance!r}, {tolerance!r}" if tolerance else ""
    if len(results) == 1:
        return f"assert __agree__({name}(*{args!r}), {results[0]!r}{near})"
    either = " or ".join(f"__agree__(result, {each!r}{near})" for each in results)
    return f"result = {name}(*{args!r})\nassert {either}"


def _checked_call(name: str, args: list[Any], results: list[Any]) -> str:
    """Returns the source of a test that asks the problem's checker."""
    return f"assert __passes__(__checker__['check']({args!r}, {name}(*{args!r}), {results[0]!r}))"


def program_of(problem: Problem, tests: CallTests | ScriptTests, completion: str) -> tuple[str, ...] | str:
    """Returns the sources of a completion's program, which run one after the other, or one line on why there is none.

    With `entry_point` and `prompt`, a program that defines the entry point runs after the prompt, whose imports and
    helpers it may use; another one goes on from the prompt, up to the first line that starts something new at the left
    margin.
    """
    if len(completion) > MAX_PROGRAM_CHARS:
        return f"{len(completion)} characters, more than {MAX_PROGRAM_CHARS}"
    program = program_text(completion, tests.names if isinstance(tests, CallTests) else ())
    if not program.strip():
        return "no program"
    name, prompt = problem.meta.get("entry_point"), _text(problem.meta, "prompt")
    if isinstance(name, str):
        return _after_prompt(prompt, name, program, completion)
    if isinstance(tests, ScriptTests) or tests.gives_imports:
        return usual_imports(program), program
    return (program,)


def _after_prompt(prompt: str, name: str, program: str, completion: str) -> tuple[str, ...]:
    """Returns a program that stands after the prompt of its problem, or goes on from it."""
    if defines(program, name):
        return prompt, program
    first = next((line for line in completion.split("\n") if line.strip()), "")
    if first[:1].isspace() and not first.lstrip().startswith(("```", "~~~")):
        program = completion
    stop = _STOP_LINE.search(program)
    return (prompt + (program[: stop.start()] if stop else program),)
