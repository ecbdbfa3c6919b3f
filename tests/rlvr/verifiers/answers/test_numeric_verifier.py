r"""The numeric verifier: how numbers are written, percentages, tolerance, hostile text."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems import Problem
from rlvr.verifiers import make_verifier
from rlvr.verifiers.answers.numeric import final_number, read_number
from rlvr.verifiers.verdicts import Outcome


def outcome(completion, gold, spec="numeric") -> Outcome:
    return make_verifier(spec).verify([(Problem("q", gold), completion)])[0].outcome


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", "42"),
        ("-42", "-42"),
        ("\N{MINUS SIGN}42", "-42"),
        ("+4.50", "4.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1,234,567.5", "1234567.5"),
        ("1{,}234", "1234"),
        (r"1\,234", "1234"),
        ("1_000", "1000"),
        ("1e3", "1000"),
        ("1.5E-3", "0.0015"),
        (r"1.2 \times 10^{3}", "1200"),
        (r"$3 \cdot 10^5$", "300000"),
        ("6.02 x 10^23", "602000000000000000000000"),
        ("2 \N{MULTIPLICATION SIGN} 10^-2", "0.02"),
        ("3/4", "3/4"),
        ("-3/4", "-3/4"),
        (r"\frac{3}{4}", "3/4"),
        (r"-\dfrac{3}{4}", "-3/4"),
        (r"2\frac{1}{2}", "5/2"),
        ("1 1/2", "3/2"),
        ("-1 1/2", "-3/2"),
        ("$12.50", "12.5"),
        ("€7", "7"),
        ("5 km", "5"),
        ("5km", "5"),
        ("5 m^2", "5"),
        (r"5\text{ cm}", "5"),
        ("90°", "90"),
        ("12 dollars", "12"),
        ("x = 7", "7"),
        ("3 + 4 = 7", "7"),
    ],
)
def test_numbers_as_they_are_written(text, value):
    number = read_number(text)
    assert number is not None
    assert (number.value, number.is_percent) == (Fraction(value), False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no",
        "x",
        "2^{10}",
        "3 + 4",
        "5 to 7",
        "1/0",
        "5 and 6",
        "1,23",
        "1.2.3",
        r"3\pm 1",
        "2x3",
        "1e9999",
        "9" * 500,
        "--3",
        "10 min 30 s",
    ],
)
def test_what_is_no_single_number(text):
    assert read_number(text) is None
    assert outcome(rf"\boxed{{{text}}} apples", "3") in (Outcome.UNPARSED, Outcome.WRONG)


@pytest.mark.parametrize(
    ("completion", "value"),
    [
        (r"7 and \boxed{1.5e3}", 1500),
        ("The answer is 3 \N{MULTIPLICATION SIGN} 10^5 km.", 300_000),
        ("The answer is therefore 42 apples.", 42),
        ("The answer is 3 + 4 = 7.", 7),
        ("He pays 5.\n#### 1,018", 1018),
        ("It is 17 or so.\nSo 12 remain", 12),
        ("The total was 12 in 1990.\nAnswer: 12", 12),
        ("The answer is 5. Check: 2 + 3.", 5),
    ],
)
def test_the_number_that_a_completion_ends_with(completion, value):
    number = final_number(completion)
    assert number is not None
    assert number.value == value


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("50%", "0.5", True),
        ("50%", "50", True),
        ("50", "50%", True),
        ("0.5", r"50\%", True),
        ("50%", "50 percent", True),
        ("50%", "0.5%", False),
        ("0.5", "50", False),
        ("50%", "51%", False),
    ],
)
def test_percentages(gold, answer, expected):
    assert (outcome(rf"\boxed{{{answer}}}", gold) is Outcome.CORRECT) == expected


@pytest.mark.parametrize(
    ("spec", "answer", "expected"),
    [
        ("numeric", "1000.0005", True),
        ("numeric", "1000.01", False),
        ("numeric?tolerance=0", "1000.0000001", False),
        ("numeric?tolerance=0", "1000.0", True),
        ("numeric?tolerance=0.1", "1100", True),
        ("numeric?tolerance=0.1", "1101", False),
        ("numeric?tolerance=0.5&kind=absolute", "1000.5", True),
        ("numeric?tolerance=0.5&kind=absolute", "1000.51", False),
        ("numeric?tolerance=1e+1&kind=absolute", "1010", True),
    ],
)
def test_tolerance(spec, answer, expected):
    assert (outcome(rf"\boxed{{{answer}}}", "1000", spec) is Outcome.CORRECT) == expected


def test_zero_is_only_zero_unless_the_tolerance_is_absolute():
    assert outcome("#### 0.0000001", "0") is Outcome.WRONG
    assert outcome("#### 0.0000001", "0", "numeric?kind=absolute") is Outcome.CORRECT


def test_the_id_names_every_option():
    assert make_verifier("numeric").verifier_id == "numeric@2?tolerance=1e-06&kind=relative"
    assert make_verifier("numeric?tolerance=0.5&kind=absolute").verifier_id == "numeric@2?tolerance=0.5&kind=absolute"
    close = [make_verifier(f"numeric?tolerance={value}").verifier_id for value in ("0.12345678", "0.12345679")]
    assert len(set(close)) == 2


@pytest.mark.parametrize("value", ["abc", "-1", "nan", "inf"])
def test_a_bad_tolerance_is_one_clear_error(value):
    with pytest.raises(RecipeError, match=f"tolerance is '{value}'; expected a number of at least 0"):
        make_verifier(f"numeric?tolerance={value}")


def test_a_gold_answer_without_a_number_is_named():
    with pytest.raises(ProblemError, match="'Paris' \\(not one number\\)"):
        make_verifier("numeric").check_problems([Problem("q", "3"), Problem("r", "Paris")])


@given(st.integers(-(10**30), 10**30), st.integers(-5, 5))
def test_integers_are_correct_exactly_when_they_are_equal(gold, off):
    for written in (f"{gold + off}", f"{gold + off:,}"):
        assert outcome(rf"\boxed{{{written}}}", str(gold), "numeric?tolerance=0").value == (
            "wrong" if off else "correct"
        )


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300))
def test_a_float_equals_its_own_text(value):
    number = read_number(repr(value))
    assert number is not None
    assert float(number.value) == value


@given(st.text(max_size=300))
def test_any_text_has_a_verdict(completion):
    assert outcome(completion, "3") in (Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED)


@pytest.mark.parametrize(
    "text",
    ["1," * 100_000, "9" * 200_000, r"\frac{1" * 30_000, "1 " * 100_000, "1e" * 50_000, "=" * 100_000, "a = " * 50_000],
)
def test_hostile_text_is_judged_at_once(text):
    started = time.process_time()
    for completion in (text, rf"\boxed{{{text}}}", f"answer is {text}"):
        outcome(completion, "3")
    assert time.process_time() - started < 20, "a pattern that takes quadratic time would need minutes"
