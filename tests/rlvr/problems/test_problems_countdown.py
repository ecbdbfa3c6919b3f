"""The Countdown generator and its split."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.errors import ProblemError
from rlvr.problems.countdown import SPLITS, countdown_problems, half_of, random_expression, worked_examples


def numbers_of(split, **options):
    return {tuple(sorted(problem.meta["numbers"])) for problem in countdown_problems(split, **options)}


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_train_and_probe_share_no_set_of_numbers_after_sorting(seed):
    assert not numbers_of("train", num=3000, seed=seed) & numbers_of("probe", num=300, seed=seed + 1)


@given(st.lists(st.integers(1, 20), min_size=3, max_size=4), st.randoms())
def test_the_half_does_not_depend_on_the_order_of_the_numbers(numbers, rng):
    shuffled = list(numbers)
    rng.shuffle(shuffled)
    assert half_of(tuple(numbers)) == half_of(tuple(shuffled))


def test_both_halves_occur_in_the_stated_share():
    halves = [half_of((a, b, c)) for a in range(1, 21) for b in range(a, 21) for c in range(b, 21)]
    assert halves.count("probe") / len(halves) == pytest.approx(0.1, abs=0.02)


def test_pre_training_never_sees_a_probe_set():
    examples = worked_examples("train", num_numbers=3, max_number=20, seed=1)
    seen = {tuple(sorted(problem.meta["numbers"])) for _, (problem, _) in zip(range(20_000), examples, strict=False)}
    assert not seen & numbers_of("probe", num=300)


@given(st.lists(st.integers(1, 20), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_an_expression_has_the_value_it_claims_and_uses_each_number_once(numbers, rng):
    text, value = random_expression(rng, tuple(numbers))
    assert eval(text) == value
    used = [int(part) for part in "".join(c if c.isdigit() else " " for c in text).split()]
    assert sorted(used) == sorted(numbers)


def test_the_same_seed_gives_the_same_problems():
    assert countdown_problems("probe").content_id == countdown_problems("probe").content_id
    assert countdown_problems("probe", seed=1).content_id != countdown_problems("probe").content_id


def test_the_sets_have_their_stated_sizes_and_are_solvable_by_construction():
    for name, split in SPLITS.items():
        problems = countdown_problems(name, num=50)
        assert len(problems) == 50
        assert problems.num_duplicates == 0
        assert {len(problem.meta["numbers"]) for problem in problems} == {split.num_numbers}
        assert all(1 <= Fraction(problem.answer) <= 99 for problem in problems)


def test_an_unknown_split_is_named():
    with pytest.raises(ProblemError, match="countdown:trian: the split is not known; use one of train, probe, beyond"):
        countdown_problems("trian")


def test_too_many_problems_are_refused():
    with pytest.raises(ProblemError, match=r"only .* distinct problems"):
        countdown_problems("probe", num=50, num_numbers=1, max_number=20)
