"""Rows of code problems as data sets publish them: which columns are question, answer and tests.

Owns: the schemas of LiveCodeBench, APPS, TACO, HumanEval+, MBPP, MBPP+, EvalPlus's own files, and KodCode.
Does not own: reading the tests (`rlvr.verifiers.code`), files and the Hub (`rlvr.problems.loaders`).

A schema is told by its columns. The columns of the tests go into `meta` as they are. Where a data set leaves to its
harness what a model has to be told (the function's name, the starter code), the question says it in words of its own.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rlvr.problems.types import Problem

Row = Mapping[str, Any]
_SCRIPT = "Read from standard input and write to standard output."


@dataclass(frozen=True)
class Schema:
    """How the rows of a data set become problems.

    Attributes:
        name: of the data set.
        has: columns by which its rows are known.
        kept: columns that go into `meta`, where the row has them.
        question: the text that a model is asked.
        answer: a solution, or an empty text where none is published.
    """

    name: str
    has: frozenset[str]
    kept: tuple[str, ...]
    question: Callable[[Row], str]
    answer: Callable[[Row], str]


def published_problem(row: Row) -> Problem | None:
    """Returns the problem of a row in one of the schemas, or None.

    Raises:
        ValueError: the row has a schema's columns, and what stands in them is of another form.
    """
    filled = {name for name, value in row.items() if value is not None}
    schema = next((each for each in SCHEMAS if each.has <= filled), None)
    if schema is None or "answer" in filled:
        return None
    meta = {name: row[name] for name in schema.kept if name in filled}
    return Problem(schema.question(row), schema.answer(row), meta)


def _text(row: Row, column: str) -> str:
    """Returns a column of text; one that is absent or null is empty."""
    value = row.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"`{column}` is {type(value).__name__}, expected text")
    return value


def _asked(row: Row, *columns: str) -> str:
    """Returns the first of some columns that is filled."""
    text = next(filter(str.strip, (_text(row, column) for column in columns)), "")
    if not text:
        raise ValueError(f"`{columns[0]}` is empty, expected the question")
    return text


def _with_starter(row: Row, question: str) -> str:
    """Returns a question with the code that a solution starts from, or where input and output are."""
    starter = _text(row, "starter_code")
    if starter.strip():
        return f"{question}\n\nStart from this code:\n```python\n{starter.rstrip()}\n```"
    name = _function_name(row.get("input_output"))
    return f"{question}\n\n{f'Define the function {name}.' if name else _SCRIPT}"


def _function_name(tests: object) -> str:
    """Returns the function that APPS's tests call, or an empty text; tests that cannot be read are the verifier's."""
    if isinstance(tests, str):
        try:
            tests = json.loads(tests)
        except ValueError:
            return ""
    return str(tests.get("fn_name") or "") if isinstance(tests, Mapping) else ""


def _first_solution(row: Row) -> str:
    """Returns the first of the solutions, which are a list or its JSON."""
    value = row.get("solutions")
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else []
        except ValueError as error:
            raise ValueError(f"`solutions` is not JSON ({error})") from None
    return str(value[0]) if isinstance(value, list) and value else ""


def _mbpp_question(row: Row) -> str:
    """Returns MBPP's question with tests, which alone say the function's name: all of them, of MBPP+ the first."""
    tests = row["test_list"]
    if not isinstance(tests, list) or not all(isinstance(each, str) for each in tests):
        raise ValueError("`test_list` is not a list of texts")
    shown = tests[:1] if row.get("test") else tests
    return f"{_asked(row, 'prompt', 'text')}\n\nYour code has to pass:\n" + "\n".join(shown)


def _kodcode_question(row: Row) -> str:
    """Returns KodCode's question, with the declarations that it does not name."""
    question, info = _asked(row, "question"), row.get("test_info") or []
    lacking = [
        each["function_declaration"]
        for each in info
        if isinstance(each, Mapping)
        and each.get("function_declaration")
        and str(each.get("function_name")) not in question
    ]
    return f"{question}\n\nDefine:\n```python\n" + "\n".join(lacking) + "\n```" if lacking else question


SCHEMAS = (
    Schema(
        name="LiveCodeBench",
        has=frozenset({"question_content", "public_test_cases"}),
        kept=("question_id", "public_test_cases", "private_test_cases", "metadata"),
        question=lambda row: _with_starter(row, _asked(row, "question_content")),
        answer=lambda _: "",
    ),
    Schema(
        name="EvalPlus",
        has=frozenset({"prompt", "canonical_solution", "entry_point", "base_input"}),
        kept=("task_id", "prompt", "entry_point", "canonical_solution", "base_input", "plus_input", "atol"),
        question=lambda row: _asked(row, "prompt"),
        answer=lambda row: _text(row, "canonical_solution"),
    ),
    Schema(
        name="HumanEval",
        has=frozenset({"prompt", "canonical_solution", "entry_point", "test"}),
        kept=("task_id", "prompt", "entry_point", "test"),
        question=lambda row: _asked(row, "prompt"),
        answer=lambda row: _text(row, "canonical_solution"),
    ),
    Schema(
        name="MBPP",
        has=frozenset({"test_list", "code"}),
        kept=("task_id", "test_list", "test_imports", "test_setup_code", "test"),
        question=_mbpp_question,
        answer=lambda row: _text(row, "code"),
    ),
    Schema(
        name="APPS",
        has=frozenset({"question", "input_output"}),
        kept=("input_output",),
        question=lambda row: _with_starter(row, _asked(row, "question")),
        answer=_first_solution,
    ),
    Schema(
        name="KodCode",
        has=frozenset({"question", "solution", "test"}),
        kept=("test",),
        question=_kodcode_question,
        answer=lambda row: _text(row, "solution"),
    ),
)
