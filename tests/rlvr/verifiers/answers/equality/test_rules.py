r"""The rules of notation: each on generated cases that it is for, and on those that it must leave alone.

`same` stands for all rules again, as in the verifier; what they leave to mathematics is `None` here.
"""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rlvr.verifiers.answers.equality.rules import RULES, Pair, decide, is_product
from rlvr.verifiers.answers.equality.units import NAMES
from rlvr.verifiers.answers.notation import tidy


class Undecided(Exception):
    """No rule decides."""


def judged(gold: str, answer: str, percent_asked: bool = False) -> bool | None:
    def same(a: str, b: str) -> bool:
        verdict = decide(Pair(a, b, percent_asked), same)
        if verdict is None:
            raise Undecided
        return verdict

    try:
        return same(tidy(gold), tidy(answer))
    except Undecided:
        return None


NUMBERS = st.integers(2, 9999)
DECIMALS = st.decimals("0.01", "999", places=2).map(str)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=9).filter(lambda word: set(word) & set("eio"))
UNITS = ("cm", "km", "kg", "hours", "minutes", "dollars", "degrees", "apples", "mph", "liters", "pounds", "inches")
LISTS = st.lists(st.integers(-99, 99), min_size=2, max_size=5, unique=True)


def test_each_rule_says_what_it_is_for_and_what_it_leaves_alone():
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.purpose and rule.leaves_alone for rule in RULES)


@given(DECIMALS, st.sampled_from(["10", "100", "1000", "0.1"]))
def test_a_percentage_is_itself_and_its_hundredth_and_no_other_number(number, factor):
    from fractions import Fraction

    value = Fraction(number)
    other = value * Fraction(factor)
    assert judged(rf"{number}\%", number)
    assert judged(rf"{number}\%", rf"{number} \%")
    assert judged(rf"{number}\%", rf"{number} percent")
    assert judged(rf"{number}\%", rf"\frac{{{value.numerator}}}{{{value.denominator * 100}}}")
    assert judged(rf"{number}\%", rf"\frac{{{other.numerator}}}{{{other.denominator}}}\%") is False
    if factor != "0.1":
        assert judged(rf"{number}\%", rf"\frac{{{other.numerator}}}{{{other.denominator}}}") is False


@given(st.integers(1, 99))
def test_a_sign_of_percent_may_be_added_where_the_number_is_a_percentage(number):
    gold = f"0.{number:02}"
    assert judged(gold, rf"{number}\%")
    assert judged(gold, rf"{gold}\%") is False
    assert judged(gold, rf"{gold}\%", percent_asked=True)
    assert judged(str(number + 1), rf"{number + 1}\%")
    assert judged(str(number + 1), f"0.{number:02}") is False


@given(NUMBERS, st.permutations(UNITS))
def test_another_unit_is_wrong_and_an_absent_one_is_not(number, units):
    unit, other, *_ = units
    forms = [rf"{number} \text{{ {unit}}}", rf"{number}\,\mathrm{{{unit}}}", f"{number} {unit}"]
    for form in forms:
        assert judged(form, f"{number}"), form
        assert judged(f"{number}", form), form
        assert judged(form, rf"{number} \text{{ {other}}}") is False, form
        assert judged(form, rf"{number + 1} \text{{ {unit}}}") is False, form
        assert all(judged(form, again) for again in forms)


@given(NUMBERS, st.sampled_from(["cm", "m", "ft", "km"]), st.permutations([1, 2, 3]))
def test_another_power_of_a_unit_is_wrong(number, unit, powers):
    one, other, _ = (rf"{number} \text{{ {unit}}}^{power}" for power in powers)
    assert judged(one, one)
    assert judged(one, other) is False


@pytest.mark.parametrize(("name", "short"), sorted(NAMES.items()))
def test_names_of_one_unit_are_one_unit(name, short):
    assert judged(rf"7 \text{{ {name}}}", rf"7 \text{{ {short}}}")


@given(LISTS, st.randoms())
def test_order_counts_in_tuples_and_not_in_sets_and_lists(items, rng):
    shuffled = rng.sample(items, len(items))
    assume(shuffled != items)
    gold, answer = (", ".join(map(str, each)) for each in (items, shuffled))
    assert judged(gold, answer)
    assert judged(rf"\{{{gold}\}}", rf"\{{{answer}\}}")
    assert judged(rf"\{{{gold}\}}", answer)
    assert judged(f"({gold})", f"({answer})") is False
    assert judged(f"({gold})", gold)
    assert judged(f"({gold})", answer) is False


@given(LISTS)
def test_another_kind_is_wrong(items):
    text = ", ".join(map(str, items))
    assert judged(rf"\{{{text}\}}", f"({text})") is False
    assert judged(f"({text})", rf"\{{{text}\}}") is False
    assert judged(f"[{text}]", rf"\{{{text}\}}") is False
    if len(items) == 2:
        kinds = [left + text + right for left in "([" for right in ")]"]
        assert all(judged(a, b) is (a == b) for a in kinds for b in kinds)


@given(LISTS, st.integers(100, 200))
def test_one_more_and_one_less_is_wrong(items, extra):
    for left, right in (("", ""), (r"\{", r"\}"), ("(", ")")):
        gold, more, less = (
            left + ", ".join(map(str, each)) + right for each in (items, [*items, extra], [*items[1:], items[1]])
        )
        assert judged(gold, gold)
        assert judged(gold, more) is False
        assert judged(more, gold) is False
        assert judged(gold, less) is False


@given(st.integers(1, 999), st.integers(100, 999))
def test_digit_groups_are_no_list_and_lists_are_no_number(a, b):
    assert judged(f"{a}{b}", f"{a},{b}")
    assert judged(f"{a},{b}", f"{a}{b}")
    assert judged(f"{a}{b}", rf"{a},\!{b}")
    assert judged(f"{a}, {b}", f"{b}, {a}")
    assert judged(f"{a}, {b}", f"{a}{b}") is False
    assert judged(f"{a}{b}", f"{a}, {b}") is False


@given(WORDS, st.randoms())
def test_words_are_equal_as_words_and_never_as_products(word, rng):
    shuffled = "".join(rng.sample(word, len(word)))
    for gold in (word, rf"\text{{{word}}}", rf"\textbf{{{word.capitalize()}}}"):
        assert judged(gold, word.upper())
        assert judged(gold, rf"\text{{{word}.}}")
        assert judged(gold, shuffled) is (shuffled == word)
        assert judged(gold, rf"\text{{not {word}}}") is False


@pytest.mark.parametrize("letters", ["ab", "xy", "mn", "pq", "abc", "xyz", "kx", "AB", "bcd", "uv", "ax"])
def test_products_of_variables_are_left_to_mathematics(letters):
    assert is_product(letters)
    assert judged(letters, letters[::-1]) is None


@given(st.integers(2, 9), st.integers(2, 9), st.text("01", min_size=3, max_size=8))
def test_another_base_is_wrong(base, other, digits):
    assert judged(f"1{digits}_{base}", f"1{digits}_{{{other}}}") is (base == other)
    assert judged(f"1{digits}_{base}", f"1{digits}")
    assert judged(f"1{digits}_{base}", f"1{digits}0") is False
    assert judged(f"1{digits}_{base}", rf"(1{digits})_{{\text{{{base}}}}}")


@given(st.integers(11, 99), st.integers(-300, 300), st.integers(-300, 300))
def test_another_exponent_is_wrong_however_small_the_number(digits, exponent, other):
    gold = rf"{digits / 10} \times 10^{{{exponent}}}"
    assert judged(gold, rf"{digits / 10} \cdot 10^{{{other}}}") is (exponent == other)
    assert judged(gold, f"{digits / 10}e{exponent}")
    assert judged(gold, rf"-{gold}") is False
    assert judged(gold, rf"{digits / 10 + 0.01:.2f} \times 10^{{{exponent}}}") is False


SIGNS = ("=", r"\neq", "<", ">", r"\le", r"\ge")


@given(st.integers(-99, 99), st.permutations(SIGNS))
def test_another_relation_is_wrong(number, signs):
    sign, other, *_ = signs
    gold = f"x {sign} {number}"
    assert judged(gold, gold.replace(r"\le", r"\leqslant").replace(r"\neq", r"\not="))
    assert not judged(gold, f"x {other} {number}")
    assert not judged(gold, f"x {sign} {number + 1}")
    assert not judged(gold, f"y {sign} {number}")
    turned = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}.get(sign)
    if turned:
        assert judged(gold, f"{number} {turned} x")


@given(st.integers(-99, 99), st.integers(-99, 99))
def test_only_an_equation_gives_a_value_and_no_false_one(a, b):
    assert judged(f"{a}", f"x = {a}")
    assert judged(f"{a}", f"{a} = x")
    assert judged(f"x = {a}", f"{a}")
    assert judged(f"{a}", f"{b} = {a}") is (a == b)
    assert judged(f"{a}", f"x = {b} = {a}") is (a == b)
    for sign in SIGNS[1:]:
        assert judged(f"{a}", f"x {sign} {a}") is False, sign
        assert judged(f"x {sign} {a}", f"{a}") is False, sign


@given(st.integers(-50, 0), st.integers(1, 50))
def test_inequalities_are_their_intervals(a, b):
    assert judged(f"({a}, {b}]", rf"{a} < x \le {b}")
    assert judged(rf"{a} < x \le {b}", f"({a}, {b}]")
    assert judged(f"({a}, {b}]", rf"{a} \le x \le {b}") is False
    assert judged(rf"[{b}, \infty)", rf"x \ge {b}")
    assert judged(rf"[{b}, \infty)", rf"x > {b}") is False
    outside = rf"(-\infty, {a}) \cup ({b}, \infty)"
    assert judged(outside, rf"x < {a} \text{{ or }} x > {b}")
    assert judged(rf"x > {b} \text{{ or }} x < {a}", outside)


@pytest.mark.parametrize("answer", [r"x < \infty", r"x > 0", "0", r"\mathbb{R}", r"\{0\}", r"\{\emptyset\}"])
def test_nothing_but_an_empty_set_is_empty(answer):
    assert judged(r"\emptyset", answer) in (False, None)
    assert judged(r"\emptyset", r"\varnothing")
    assert judged(r"\emptyset", r"\{\}")


@given(st.integers(1, 12), st.integers(0, 59), st.integers(0, 59))
def test_times_are_no_ratios(hour, minute, other):
    assert judged(f"{hour}:{minute:02}", f"{hour}:{other:02}") is (minute == other)
    assert judged(rf"{hour}:{minute:02} \text{{ a.m.}}", rf"{hour}:{minute:02} \text{{ PM}}") is False
    assert judged(rf"{hour}:{minute:02} \text{{ a.m.}}", f"{hour}:{minute:02}")


@given(NUMBERS, st.sampled_from([r"\neg {}", r"\text{{not }} {}", r"\text{{not equal to }} {}", "not {}"]))
def test_what_is_denied_is_no_answer(number, form):
    assert judged(str(number), form.format(number)) is False


@given(st.text("0123456789abcxy+-*/=<>^_(){}[],;:.% \\$&~|!", max_size=40), st.sampled_from(["3, 4", "x=5", "(1,2)"]))
def test_rules_take_any_text(answer, gold):
    assert judged(gold, answer) in (True, False, None)
    assert judged(answer, answer) in (True, False, None)
    if not re.search(r"[^0-9]", answer) and answer:
        assert judged(answer, answer)


@pytest.mark.parametrize(
    "repeated", [*"x'1 ,;(){}[]\\^_-=<%.|$!", "x=", r"\text{", r"\{", "1,", "a ", " and ", r"\pm", r"\frac"]
)
def test_long_runs_end(repeated):
    for gold in ("x=1", "1, 2", "(1, 2)", r"5 \text{ cm}", r"\text{even}", "3:15", "11_2", r"\{1\}"):
        judged(gold, "x" + repeated * (900 // len(repeated)))
        judged(gold, repeated * (900 // len(repeated)) + "?")
