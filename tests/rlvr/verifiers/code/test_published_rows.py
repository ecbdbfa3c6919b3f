"""Rows in the schemas that data sets publish, written by hand: they load as they are, and the right programs pass."""

import base64
import json
import pickle
import zlib

import pytest

from rlvr.errors import ProblemError
from rlvr.problems import Problem, load_problems
from rlvr.verifiers import rows as verify_command
from rlvr.verifiers.code.published import unpacked
from rlvr.verifiers.code.verifier import CodeVerifier
from rlvr.verifiers.mixture import MixtureVerifier
from rlvr.verifiers.verdicts import Outcome


@pytest.fixture(scope="module")
def plain():
    return CodeVerifier(isolation="none", deadline_s=30.0, num_workers=2)


def packed(cases: object) -> str:
    """As LiveCodeBench packs its private tests."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()


# As in EvalPlus's files on the Hub: a script with inputs, results, and a comparison through numpy.
ASSERTION = """import numpy as np
from math import inf

def is_floats(x) -> bool:
    if isinstance(x, float):
        return True
    if isinstance(x, (list, tuple)):
        return all(isinstance(i, float) for i in x)
    if isinstance(x, np.ndarray):
        return x.dtype == np.float64 or x.dtype == np.float32
    return False

def assertion(out, exp, atol):
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if out != exp and atol != 0:
        np.testing.assert_allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert out == exp, f"out: {out}, exp: {exp}"
"""
KODCODE = """import pytest
from solution import halve, Box as B

EXPECTED = [0.5, 1.5]

def test_numbers():
    assert halve(1) == pytest.approx(EXPECTED[0])
    assert [halve(1), halve(3)] == pytest.approx(EXPECTED)

@pytest.mark.parametrize("x, half", [(2, 1), pytest.param(5, 2.5, id="odd")])
def test_cases(x, half):
    assert halve(x) == half

def test_refuses():
    with pytest.raises(ValueError, match="text"):
        halve("text")

class TestMore:
    def setup_method(self):
        self.x = 8

    @pytest.mark.slow
    @pytest.mark.parametrize("y", [4])
    def test_it(self, y):
        assert halve(self.x) == y

if __name__ == "__main__":
    pytest.main()
"""

HALVE = "def halve(x):\n    if isinstance(x, str):\n        raise ValueError('a text')\n    return x / 2"

# name: row, a right program (None: the row's own), a wrong one
ROWS = {
    "LiveCodeBench, stdin": (
        {
            "question_title": "A",
            "question_content": "Double each.",
            "platform": "atcoder",
            "question_id": "abc1_a",
            "contest_date": "2024-01-01T00:00:00",
            "starter_code": "",
            "difficulty": "easy",
            "public_test_cases": json.dumps([{"input": "1 2\n", "output": "2 4", "testtype": "stdin"}]),
            "private_test_cases": packed([{"input": "0.5\n", "output": "1\n", "testtype": "stdin"}]),
            "metadata": "{}",
        },
        "print(*(2 * float(x) for x in stdin.readline().split()))",
        "print(2, 4)",
    ),
    "LiveCodeBench, functional": (
        {
            "question_content": "Double and say.",
            "question_id": "1",
            "starter_code": "class Solution:\n    def double(self, xs: List[int], s: str) -> List[int]:\n        ",
            "public_test_cases": json.dumps([{"input": '[1, 2]\n"a"', "output": "[2, 4]", "testtype": "functional"}]),
            "private_test_cases": json.dumps([{"input": '[]\n"a"', "output": "[]", "testtype": "functional"}]),
            "metadata": json.dumps({"func_name": "double"}),
        },
        "class Solution:\n    def double(self, xs: List[int], s: str):\n        return tuple(2 * x for x in xs)",
        "class Solution:\n    def double(self, xs: List[int], s: str):\n        return [2, 4]",
    ),
    "APPS, scripts": (
        {
            "problem_id": 0,
            "question": "Double.",
            "solutions": json.dumps(["n = int(input())\nprint(2 * n)\n", "x"]),
            "input_output": json.dumps({"inputs": ["3\n", "4\n"], "outputs": ["6\n", "8\n"]}),
            "difficulty": "interview",
            "url": "u",
            "starter_code": "",
        },
        None,
        "print(6)",
    ),
    "TACO, function": (
        {
            "question": "Count.",
            "starter_code": "",
            "solutions": ["def counts(xs):\n\treturn {x: xs.count(x) for x in xs}"],
            "input_output": {"fn_name": "counts", "inputs": [[[1, 2, 1]]], "outputs": [[{"1": 2, "2": 1}]]},
        },
        None,
        "def counts(xs): return {}",
    ),
    "HumanEval+": (
        {
            "task_id": "HumanEval/0",
            "prompt": "def third(x: float) -> float:\n    \"\"\"A third.\"\"\"\n",
            "canonical_solution": "\n    return x / 3\n",
            "entry_point": "third",
            "test": f"\n\n{ASSERTION}\n\ndef check(candidate):\n    inputs = [[1], [9.0]]\n"
            "    results = [0.33333333, 3.0]\n    for i, (inp, exp) in enumerate(zip(inputs, results)):\n"
            "        assertion(candidate(*inp), exp, 0)\n",
        },
        None,
        "def third(x): return 0.3333 if x == 1 else 3.0",
    ),
    "MBPP+": (
        {
            "task_id": 2,
            "code": "def common(a, b):\n    return tuple(set(a) & set(b))",
            "prompt": "Write a function to find the common ones.",
            "source_file": "x",
            "test_imports": [],
            "test_list": ["assert set(common((1, 2), (2, 3))) == set((2,))"],
            "test": f"{ASSERTION}\ninputs = [[(1, 2), (2, 3)], [(), ()]]\nresults = [(2,), ()]\n"
            "for i, (inp, exp) in enumerate(zip(inputs, results)):\n    assertion(common(*inp), exp, 0)\n",
        },
        None,
        "def common(a, b): return (2,)",
    ),
    "MBPP": (
        {
            "task_id": 3,
            "text": "Write a function to double.",
            "code": "def double(x):\r\n  return 2 * x",
            "test_list": ["assert double(1) == 2", "assert double(2) == 4"],
            "test_setup_code": "",
            "challenge_test_list": [],
        },
        None,
        "def double(x): return 2",
    ),
    "EvalPlus": (
        {
            "task_id": "HumanEval/1",
            "prompt": "import math\ndef root(x: list):\n    \"\"\"Root of the sum.\"\"\"\n",
            "contract": "\n    assert sum(x) >= 0\n",
            "canonical_solution": "    x.append(0)\n    return math.sqrt(sum(x))\n",
            "entry_point": "root",
            "base_input": [[[1, 1]]],
            "plus_input": [[[2, 3]], [[]]],
            "atol": 0,
        },
        "def root(x): return sum(x) ** 0.5 + 1e-9",
        "def root(x): return [1.4142135, 0][not x]",
    ),
    "KodCode": (
        {
            "version": "v1.0",
            "style": "instruct",
            "question_id": "Leetcode_1",
            "question": "Halve a number.",
            "solution": HALVE,
            "test": KODCODE,
            "test_info": [{"function_name": "halve", "function_declaration": "def halve(x):", "docstring": "d"}],
        },
        None,
        HALVE.replace("a text", "other"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_rows_load_as_they_are_published(plain, tmp_path, name):
    row, right, wrong = ROWS[name]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (problem,) = load_problems(str(path))
    plain.check_problems([problem])
    right = right or problem.answer
    verdicts = plain.verify([(problem, f"```python\n{program}\n```") for program in (right, wrong)])
    assert [verdict.outcome for verdict in verdicts] == [Outcome.CORRECT, Outcome.WRONG], verdicts


@pytest.mark.parametrize("name", ["LiveCodeBench, stdin", "KodCode"])
def test_rlvr_verify_takes_them_with_completions(plain, tmp_path, name):
    row, right, wrong = ROWS[name]
    path = tmp_path / "rows.jsonl"
    programs = [right or row["solution"], wrong]
    path.write_text("".join(json.dumps(row | {"id": n, "completion": p}) + "\n" for n, p in enumerate(programs)))
    (judged,) = verify_command.judge(MixtureVerifier.around("code", plain), str(path))
    assert [verdict.outcome for _, verdict in judged] == [Outcome.CORRECT, Outcome.WRONG]


def test_a_program_does_not_change_what_is_expected(plain, tmp_path):
    """One that empties its argument in place would be compared with the canonical solution's result for that."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS["EvalPlus"][0]) + "\n")
    (problem,) = load_problems(str(path))
    assert plain.verify([(problem, "def root(x):\n    x.clear()\n    return 0.0")])[0].outcome is Outcome.WRONG


def test_what_a_model_is_told(tmp_path):
    """Where the harness of a data set tells a model more than the row's text, the question does."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row, _, _ in ROWS.values()))
    asked = dict(zip(ROWS, load_problems(str(path)), strict=True))
    assert asked["LiveCodeBench, stdin"].question.endswith("\n\nRead from standard input and write to standard output.")
    assert "```python\nclass Solution:" in asked["LiveCodeBench, functional"].question
    assert asked["TACO, function"].question.endswith("Define the function counts.")
    assert asked["MBPP"].question.count("assert") == 2
    assert asked["KodCode"].question.endswith("```python\ndef halve(x):\n```")
    assert asked["LiveCodeBench, stdin"].answer == ""


def test_a_row_with_an_answer_is_a_row_of_ones_own(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"question": "q", "answer": "7", "solution": "s", "test": "t"}) + "\n")
    assert load_problems(str(path))[0].answer == "7"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q", "input_output": "{}", "solutions": "["}, "not JSON"),
        ({"question": 3, "input_output": "{}"}, "expected text"),
        ({"question_content": " ", "public_test_cases": "[]", "starter_code": "x"}, "is empty"),
        ({"code": "x", "test_list": "assert 1"}, "not a list of texts"),
        ({"question": "q"}, "or the columns of LiveCodeBench"),
    ],
)
def test_rows_of_another_form_are_named(tmp_path, row, message):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(ProblemError, match=r"rows\.jsonl:1") as caught:
        load_problems(str(path))
    assert message in str(caught.value)


def fault(plain, meta) -> str:
    with pytest.raises(ProblemError) as caught:
        plain.check_problems([Problem("q", "a", meta)])
    return str(caught.value)


def test_rows_whose_tests_cannot_be_used_are_named(plain):
    assert "there is no test" in fault(plain, {"input_output": ""})
    assert "there is no test" in fault(plain, {"public_test_cases": "[]", "private_test_cases": "[]"})
    cases = [{"input": "1", "output": "1", "testtype": "functional"}]
    assert "func_name is None" in fault(plain, {"public_test_cases": json.dumps(cases)})
    mbpp = {"task_id": "Mbpp/2", "base_input": [[1]], "prompt": "", "canonical_solution": "", "entry_point": "f"}
    assert "evalplus/mbppplus" in fault(plain, mbpp)


@pytest.mark.parametrize(
    ("test", "named"),
    [
        ("from solution import f\ndef test_a(capsys):\n    f()", "the fixture capsys"),
        ("import pytest\nfrom solution import f\n@pytest.fixture\ndef x(): return 1\ndef test_a(x): f(x)",
         "pytest.fixture"),
        ("import pytest\nfrom solution import f\n@pytest.mark.skipif(True)\ndef test_a(): f()", "pytest.mark.skipif"),
        ("from solution import f\nasync def test_a(): f()", "test_a is async"),
        ("import pytest\nfrom solution import f\n@pytest.mark.parametrize('x', [1], indirect=True)\n"
         "def test_a(x): f(x)", "indirect"),
        ("from pytest import warns\nfrom solution import f\ndef test_a(): f()", "pytest.warns"),
        ("def test_a(): pass", "no name of the program"),
        ("from solution import (", "not Python"),
    ],
)  # fmt: skip
def test_modules_that_need_a_runner_are_refused_by_name(plain, test, named):
    assert named in fault(plain, {"test": test})


@pytest.mark.parametrize(
    ("test", "right", "wrong"),
    [
        ("import solution\ndef test_a():\n    assert solution.f(1) == 2", "def f(x): return 2", "def f(x): return 1"),
        ("import solution as s\nassert s.f(1) == 2", "def f(x): return 2", "def f(x): return 1"),
        ("from solution import *\ndef helper(): return f(1)\ndef test_a():\n    assert helper() == 2",
         "def f(x): return 2", "def f(x): return 1"),
        ("from solution import f as g\ndef test_a():\n    assert list(map(g, [1])) == [2]", "def f(x): return 2",
         "def f(x): return 1"),
        ("import unittest\nfrom solution import f\nclass Cases(unittest.TestCase):\n  def setUp(self): self.x = 1\n"
         "  def test_a(self): self.assertEqual(f(self.x), 2)", "def f(x): return 2", "def f(x): return 1"),
        ("import pytest\nfrom solution import f\n@pytest.mark.parametrize('a', [1, 2])\n"
         "@pytest.mark.parametrize(('b', 'c'), [(3, 4)])\ndef test_a(a, b, c):\n    assert f(a, b, c) == a",
         "def f(a, b, c): return a", "def f(a, b, c): return 1"),
        ("import pytest\nfrom solution import f\ndef test_a():\n    pytest.raises(KeyError, f, 1)",
         "def f(x): raise KeyError(1)", "def f(x): return 1"),
    ],
)  # fmt: skip
def test_modules_run_without_a_runner(plain, test, right, wrong):
    problem = Problem("q", "a", {"test": test})
    plain.check_problems([problem])
    outcomes = [each.outcome for each in plain.verify([(problem, right), (problem, wrong)])]
    assert outcomes == [Outcome.CORRECT, Outcome.WRONG]


def test_a_module_that_needs_a_package_is_an_error_and_no_zero(plain):
    problem = Problem("q", "a", {"test": "import no_such_package\nfrom solution import f\ndef test_a(): f()"})
    assert plain.verify([(problem, "def f(): pass")])[0].outcome is Outcome.ERROR


# --- packed tests -------------------------------------------------------------------------------------------------


class Boom:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize(
    ("value", "message"),
    [(Boom(), "expected one text"), (["[]", "[]"], "expected one text"), (b"[]", "expected one text"),
     ({"a": "b"}, "expected one text")],
)  # fmt: skip
def test_no_pickle_but_one_of_a_text_is_read(value, message):
    """Nothing is unpickled, whatever stands in the column."""
    text = base64.b64encode(zlib.compress(pickle.dumps(value))).decode()
    with pytest.raises(ValueError, match=message):
        unpacked(text)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("text", ["[]", "é\u2028\n\\" * 100, "x" * 70_000])
def test_a_packed_text_is_read(protocol, text):
    assert unpacked(base64.b64encode(zlib.compress(pickle.dumps(text, protocol))).decode()) == text


@pytest.mark.parametrize("data", [b"", b"x", pickle.dumps("[]")[:-3], pickle.dumps("[]") + b"\x00"])
def test_torn_packed_tests_are_refused(data):
    if data.startswith(pickle.dumps("[]")):
        assert unpacked(base64.b64encode(zlib.compress(data)).decode()) == "[]"  # after the end nothing counts
        return
    with pytest.raises(ValueError, match="private_test_cases cannot be read"):
        unpacked(base64.b64encode(zlib.compress(data)).decode())
    with pytest.raises(ValueError, match="private_test_cases cannot be read"):
        unpacked(base64.b64encode(data).decode() + "?")


def test_packed_tests_that_unfold_without_end_are_refused(monkeypatch):
    monkeypatch.setattr("rlvr.verifiers.code.published.MAX_UNPACKED_BYTES", 10_000)
    with pytest.raises(ValueError, match="more than 10000 bytes"):
        unpacked(base64.b64encode(zlib.compress(pickle.dumps("x" * 100_000))).decode())
