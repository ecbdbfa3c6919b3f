"""What counts as the expected output or result: numbers, tolerance, checkers, and partial credit."""

import pytest

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems import Problem
from rlvr.training.rewards import reward_of
from rlvr.verifiers import make_verifier
from rlvr.verifiers.code.beside_tests import Approx, agree
from rlvr.verifiers.code.compare import Expected
from rlvr.verifiers.code.verifier import CodeVerifier
from rlvr.verifiers.verdicts import Outcome


def verifier_of(**options) -> CodeVerifier:
    return CodeVerifier(isolation="none", deadline_s=20.0, num_workers=2, **options)


@pytest.fixture(scope="module")
def plain():
    return verifier_of()


@pytest.fixture(scope="module")
def graded():
    return verifier_of(credit="fraction")


# --- outputs of scripts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "output", "tolerance", "is_same"),
    [
        ("1 2\n3", "1 2\n3\n", 0, True),
        ("1 2\n3", "  1  2 \r\n3  \n\n", 0, True),
        ("1 2\n3", "1 2 3", 0, False),
        ("1\n\n2", "1\n2", 0, False),
        ("1", "1.0", 0, True),
        ("1.50 2", "1.5 2.000", 0, True),
        ("100", "1e2", 0, True),
        ("-0", "0", 0, True),
        ("50000000000000001", "50000000000000000", 0, False),
        ("0.1", "0.10000000001", 0, False),
        ("0.1", "0.10000000001", 1e-6, True),
        ("1000000", "1000000.5", 1e-6, True),
        ("1000000", "1000002", 1e-6, False),
        ("x 0.5", "x 0.50", 0, False),
        ("x 0.5", "x 0.50", 1e-9, True),
        ("x 0.5", "y 0.5", 1e-9, False),
        ("007", "7", 0, False),
        ("007", "7", 1e-9, False),
        ("1_000", "1000", 0, False),
        ("nan", "nan", 1e-6, True),
        ("nan", "NaN", 1e-6, False),
        ("inf", "1e999", 1e-6, False),
        ("1e999", "2e999", 1e-6, False),
        ("1", "sNaN", 0, False),
        ("1", "\u0661", 0, False),
        ("YES", "Yes", 0, False),
        ("", "\n", 0, True),
        ("", "0", 0, False),
    ],
)
def test_outputs(expected, output, tolerance, is_same):
    outcome, reason = Expected(expected, tolerance).compare(output)
    assert outcome is (Outcome.CORRECT if is_same else Outcome.WRONG)
    assert bool(reason) != is_same


@pytest.mark.parametrize("word", ["9" * 10**6, "1e999999", "1e-999999", "0." + "0" * 10**6 + "1", "1e9999999999"])
def test_hostile_numbers_are_compared(word):
    for tolerance in (0.0, 1e-6):
        assert Expected("1", tolerance).compare(word)[0] is Outcome.WRONG
        assert Expected(word, tolerance).compare(word)[0] is Outcome.CORRECT


# --- results of functions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "expected", "tolerance", "is_same"),
    [
        ((1, (2, [3])), [1, [2, [3]]], 0, True),
        ([1, 2], [2, 1], 0, False),
        ([1], [1, 2], 0, False),
        (0.1 + 0.2, 0.3, 0, False),
        (0.1 + 0.2, 0.3, 1e-9, True),
        ({"a": (0.1 + 0.2,)}, {"a": [0.3]}, 1e-9, True),
        ({"a": 1}, {"a": 1, "b": 2}, 1e-9, False),
        (10**17 + 1, 10**17, 1e-6, False),
        (1, 1.0000001, 1e-6, True),
        (True, 1.0000001, 1e-6, False),
        ("1.0", 1.0, 1e-6, False),
        (float("nan"), float("nan"), 1e-6, False),
        (float("inf"), 1.0, 1e-6, False),
        (1.0, float("inf"), 1e-6, False),
        (float("inf"), float("inf"), 0, True),
        (None, 0, 1e-6, False),
    ],
)
def test_results(result, expected, tolerance, is_same):
    assert agree(result, expected, tolerance, tolerance) is is_same


def test_results_that_are_arrays():
    import numpy as np

    assert agree(np.array([[1, 2]]), [[1, 2]])
    assert agree([np.float64(0.1) + 0.2], [0.3], 1e-9)
    assert not agree(np.array([1, 2]), [1, 3])


def test_the_stand_in_for_pytest_agrees_with_it():
    """Pairs that pytest itself judges."""
    values = [0, 1, 1.0 + 1e-9, 1.0 + 1e-6, 1.1, -1.0, [1.0, 2.0], [1.0, 2.0 + 1e-8], [[1.0], [2.0]], float("inf")]
    for a in values:
        for b in values:
            assert (a == Approx(b)) == (a == pytest.approx(b) if not _is_nested(b) else a == b), (a, b)


def _is_nested(value: object) -> bool:
    return isinstance(value, list) and isinstance(value[0], list)


NEAR = {"fn_name": "f", "inputs": [[1]], "outputs": [0.3333333]}


@pytest.mark.parametrize(
    ("tolerance", "atol", "outcome"),
    [(0.0, None, Outcome.WRONG), (1e-6, None, Outcome.CORRECT), (0.0, 1e-6, Outcome.CORRECT), (1e-6, 0, Outcome.WRONG)],
)
def test_a_rows_own_tolerance_goes_before(tolerance, atol, outcome):
    meta = NEAR if atol is None else NEAR | {"atol": atol}
    script = {"inputs": ["1"], "outputs": ["0.3333333"]} | ({} if atol is None else {"atol": atol})
    verifier = verifier_of(tolerance=tolerance)
    items = [(Problem("q", "a", meta), "def f(x): return x / 3"), (Problem("q", "a", script), "print(1 / 3)")]
    assert [verdict.outcome for verdict in verifier.verify(items)] == [outcome] * 2


def test_options_are_part_of_the_id():
    verifier = make_verifier("code?isolation=none&tolerance=1e-6&credit=fraction")
    assert verifier.verifier_id.startswith("code@4?isolation=none&")
    assert verifier.verifier_id.endswith("&tolerance=1e-06&credit=fraction")
    assert "tolerance" not in make_verifier("code?isolation=none").verifier_id
    for spec in ("code?isolation=none&credit=half", "code?isolation=none&tolerance=2"):
        with pytest.raises(RecipeError, match="expected"):
            make_verifier(spec)


# --- checkers -----------------------------------------------------------------------------------------------------

FACTORS = """
def check(given, output, expected):
    a, b = map(int, output.split())
    return a * b == int(given) and 1 < a < int(given)
"""
SCRIPT = {"inputs": ["15\n", "21\n"], "outputs": ["3 5", "3 7"]}


def judged(verifier, meta, program):
    return verifier.verify([(Problem("q", "a", meta), f"```python\n{program}\n```")])[0]


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("n = int(input())\nprint(n // 3, 3)", Outcome.CORRECT),
        ("n = int(input())\nprint(1, n)", Outcome.WRONG),
        ("print(5, 3)", Outcome.WRONG),
        ("print('none')", Outcome.WRONG),  # the checker raises
        ("print(5, 3)\nraise SystemExit(3)", Outcome.WRONG),
        ("print((", Outcome.UNPARSED),
    ],
)
def test_a_checker_judges_outputs(plain, program, outcome):
    assert judged(plain, SCRIPT | {"checker": FACTORS}, program).outcome is outcome


def test_a_checker_judges_results(plain):
    checker = "def check(given, output, expected):\n    return sorted(output) == sorted(expected) and given == [[1, 2]]"
    meta = {"fn_name": "f", "inputs": [[[1, 2]]], "outputs": [[1, 2]], "checker": checker}
    assert judged(plain, meta, "def f(x): return x[::-1]").outcome is Outcome.CORRECT
    assert judged(plain, meta, "def f(x): return [x[0]]").outcome is Outcome.WRONG
    assert judged(plain, meta, "def f(x): return 3").outcome is Outcome.WRONG


@pytest.mark.parametrize(
    ("body", "outcome", "says"),
    [
        ("return 2", Outcome.ERROR, "expected a bool or a number from 0 to 1"),
        ("return float('nan')", Outcome.ERROR, "expected a bool or a number"),
        ("return 'yes'", Outcome.ERROR, "expected a bool or a number"),
        ("return object()", Outcome.ERROR, "returned object"),
        ("print('[1, 1]'); return False", Outcome.WRONG, "gives 0"),
        ("raise SystemExit(0)", Outcome.WRONG, "gives 0"),
        ("return 0.5", Outcome.WRONG, "test 1 of 2: the checker gives 0.5 to '1'"),
        ("return 1.0", Outcome.CORRECT, ""),
        ("import os; os._exit(0)", Outcome.ERROR, "the checker ended"),
        ("import os; os.kill(os.getpid(), 9)", Outcome.TIMEOUT, "the checker was killed"),
    ],
)
def test_what_checkers_return(plain, body, outcome, says):
    checker = f"def check(given, output, expected):\n    {body}"
    verdict = judged(plain, SCRIPT | {"checker": checker}, "print(1)")
    assert verdict.outcome is outcome, verdict
    assert says in verdict.reason


@pytest.mark.parametrize("checker", [3, "def check(", "x = 1", "def check(output): return True"])
def test_checkers_that_are_none_are_named(plain, checker):
    with pytest.raises(ProblemError, match="checker"):
        plain.check_problems([Problem("q", "a", SCRIPT | {"checker": checker})])


def test_a_checker_is_not_beside_the_program(plain):
    """A program that looks for the checker, or prints what its channel carries, sees and moves nothing."""
    program = (
        "import gc, sys\nfound = [o for o in gc.get_objects() if isinstance(o, str) and 'def ' + 'check' in o]\n"
        "print(found, 'check' in globals(), '{\"value\": true}', 'v[\"correct\", \"\"]')"
    )
    checker = "def check(given, output, expected):\n    return output.startswith('[] False')"
    assert judged(plain, SCRIPT | {"checker": checker}, program).outcome is Outcome.CORRECT
    assert judged(plain, SCRIPT | {"checker": FACTORS}, program).outcome is Outcome.WRONG


# --- partial credit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meta", "program", "score"),
    [
        ({"inputs": ["1", "2", "3", "4"], "outputs": ["1", "2", "3", "4"]}, "print(min(3, int(input())))", 0.75),
        ({"test_list": ["assert f(1) == 1", "assert f(2) == 2"]}, "def f(x): return 1", 0.5),
        ({"fn_name": "f", "inputs": [[1], [2], [0]], "outputs": [1, 2, 0]}, "def f(x): return x * x / x", 2 / 3),
        ({"test": "from solution import f\ndef test_a(): assert f(1) == 1\ndef test_b(): assert f(2) == 2"},
         "def f(x): return 2", 0.5),
        ({"test_list": ["assert f(1) == 1", "assert f(2) == 2"]}, "def f(x): raise SystemExit", 0.0),
    ],
)  # fmt: skip
def test_the_share_of_tests_is_the_score(graded, meta, program, score):
    verdict = judged(graded, meta, program)
    assert verdict.outcome is Outcome.WRONG
    assert verdict.score == pytest.approx(score)
    assert reward_of(verdict) == verdict.score
    assert "tests passed alone; " in verdict.reason


def test_tests_that_pass_alone_only_are_not_correct(graded):
    """A function that remembers the call before passes each test by itself; one of two is what it can claim."""
    meta = {"test_list": ["assert f(1) == 1", "assert f(2) == 2"]}
    verdict = judged(graded, meta, "def f(x, seen=[]):\n    seen.append(x)\n    return seen[0]")
    assert (verdict.outcome, verdict.score) == (Outcome.WRONG, 0.5)


def test_full_credit_and_none(graded, plain):
    meta = {"inputs": ["1", "2"], "outputs": ["1", "2"]}
    assert judged(graded, meta, "print(input())").score == 1.0
    assert judged(graded, meta, "print(input())").correct
    assert judged(graded, meta, "print((").outcome is Outcome.UNPARSED
    assert judged(plain, meta, "print(1)").score is None
    broken = {"test_list": ["assert f(object()) == 1", "assert f(1) == 1"]}
    assert judged(graded, broken, "def f(x): return 1").outcome is Outcome.ERROR


def test_a_test_over_a_limit_is_the_last(graded):
    hasty = verifier_of(credit="fraction")
    hasty.sandbox = make_verifier("code?isolation=none&deadline=2").sandbox
    meta = {"inputs": ["1", "2", "3"], "outputs": ["1", "2", "3"]}
    some = judged(hasty, meta, "n = int(input())\nwhile n == 2: pass\nprint(n)")
    assert (some.outcome, some.score) == (Outcome.WRONG, pytest.approx(1 / 3))
    none = judged(hasty, meta, "while True: pass")
    assert (none.outcome, none.score) == (Outcome.TIMEOUT, 0.0)


def test_scores_of_a_checker_are_credit(graded):
    checker = "def check(given, output, expected):\n    return float(output)"
    verdict = judged(graded, {"inputs": ["1", "0.5"], "outputs": ["", ""], "checker": checker}, "print(input())")
    assert (verdict.outcome, verdict.score) == (Outcome.WRONG, 0.75)
