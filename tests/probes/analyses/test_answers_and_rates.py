"""Answers and rates over the first draws: by hand, against brute force, and unmoved by what a plan draws later."""

from collections import Counter
from itertools import combinations
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.analyses.answers import answer_entropy, distinct_correct
from probes.analyses.rates import rates
from probes.statistics.outcomes import CODES, NOT_DRAWN, Outcomes
from rlvr.errors import InputError
from rlvr.verifiers.verdicts import Outcome

RIGHT, WRONG, UNPARSED = Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED


def answers_of(problem_id, *answers):
    """Draws of a problem by outcome and answer: answers in upper case are correct, None has no answer."""
    outcome = {True: RIGHT, False: WRONG}
    return Counter(
        (problem_id, UNPARSED if answer is None else outcome[answer.isupper()], answer) for answer in answers
    )


def test_entropy_by_hand():
    found = answer_entropy(answers_of("p", "a", "a", "b", None) + answers_of("q", "c", "c", "c", "c"), 4)
    assert found.per_problem == {"p": pytest.approx(-(2 / 3) * log(2 / 3) - (1 / 3) * log(1 / 3)), "q": 0.0}
    assert found.mean == pytest.approx(found.per_problem["p"] / 2)
    assert (found.num_draws, found.num_without_answer) == (4, 1)


def test_an_answer_that_is_correct_once_and_wrong_once_is_one_answer():
    """A verifier may judge more than the answer."""
    assert answer_entropy({("p", RIGHT, "a"): 1, ("p", WRONG, "a"): 1}, 2).mean == 0.0


def test_entropy_without_an_answer_cannot_tell():
    assert np.isnan(answer_entropy(answers_of("p", None), 1).mean)


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30))
def test_entropy_lies_between_zero_and_the_log_of_the_answers(answers):
    entropy = answer_entropy(answers_of("p", *answers), 30).mean
    assert -1e-12 <= entropy <= log(len(set(answers))) + 1e-12


def test_distinct_correct_by_hand():
    found = distinct_correct(answers_of("p", "A", "A", "B", "c", None), ["p", "q"], 5)
    assert found.per_problem == {"p": 2.0, "q": 0.0}
    assert found.mean == 1.0


@given(st.lists(st.sampled_from("ABCde"), min_size=1, max_size=8), st.data())
def test_rarefaction_is_the_average_over_all_choices_of_draws(answers, data):
    m = data.draw(st.integers(1, len(answers)))
    expected = np.mean([len({a for a in chosen if a.isupper()}) for chosen in combinations(answers, m)])
    assert distinct_correct(answers_of("p", *answers), ["p"], len(answers), m).mean == pytest.approx(expected)


@pytest.mark.parametrize(("num_first", "num_draws"), [(0, None), (4, 5)])
def test_nonsense_is_refused(num_first, num_draws):
    with pytest.raises(InputError, match="is not between 1 and"):
        distinct_correct({}, ["p"], num_first, num_draws)


def test_rates_by_hand_and_over_the_first_draws_only():
    """Outcomes: the third draw of p exists because p was hard: it must not weigh."""
    codes = np.full((2, 3), NOT_DRAWN, dtype=np.int8)
    codes[0] = [CODES[RIGHT], CODES[Outcome.TRUNCATED], CODES[WRONG]]
    codes[1, :2] = [CODES[UNPARSED], CODES[Outcome.ERROR]]
    outcomes = Outcomes(("p", "q"), (None, None), codes)
    found = rates(outcomes, [("p", 2, 1, 2, 10), ("q", 1, 0, 1, 4), ("q", 1, 0, 1, 6), ("unknown", 9, 9, 9, 9)], 2)
    assert found.num_draws == 4
    assert found.outcomes == {"correct": 1, "wrong": 0, "unparsed": 1, "truncated": 1, "timeout": 0, "error": 1}
    assert (found.truncation_rate, found.no_answer_rate, found.mean_tokens) == (1 / 4, 2 / 4, 5.0)


def test_rates_of_no_draws_are_refused():
    outcomes = Outcomes(("p",), (None,), np.full((1, 2), CODES[RIGHT], dtype=np.int8))
    with pytest.raises(InputError, match="num_first: 0 is too small"):
        rates(outcomes, [], 0)


def test_unknown_lengths_are_left_out_of_the_mean():
    outcomes = Outcomes(("p",), (None,), np.full((1, 2), CODES[RIGHT], dtype=np.int8))
    assert rates(outcomes, [("p", 2, 0, 1, 7)], 2).mean_tokens == 7.0
    assert np.isnan(rates(outcomes, [("p", 2, 0, 0, 0)], 2).mean_tokens)
