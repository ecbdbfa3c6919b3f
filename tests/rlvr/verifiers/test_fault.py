"""Faults: the rates that were asked for come out, and nothing else changes."""

import pytest
from scipy.stats import binomtest

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.verifiers import make_verifier, needs_trust
from rlvr.verifiers.verdicts import Outcome

NUM = 4_000
PROBLEMS = [Problem(f"{number}?", "17") for number in range(200)]
FIVE_SIGMA = 5.7e-7


def outcomes(spec, texts):
    """Outcome of each of the texts, all problems in turn."""
    items = [(PROBLEMS[at % len(PROBLEMS)], text) for at, text in enumerate(texts)]
    return [verdict.outcome for verdict in make_verifier(spec).verify(items)]


@pytest.mark.parametrize(("fpr", "fnr"), [(0.05, 0.1), (0.0, 0.5), (0.9, 0.0)])
def test_the_rates_are_those_that_were_asked_for(fpr, fnr):
    spec = f"fault?of=exact&fpr={fpr}&fnr={fnr}"
    passed = outcomes(spec, [f"{number} no" for number in range(NUM)]).count(Outcome.CORRECT)
    items = [(Problem(f"{number}?", "17"), "17") for number in range(NUM)]
    failed = [verdict.outcome for verdict in make_verifier(spec).verify(items)].count(Outcome.WRONG)
    assert binomtest(passed, NUM, fpr).pvalue > FIVE_SIGMA
    assert binomtest(failed, NUM, fnr).pvalue > FIVE_SIGMA


def test_a_verdict_depends_on_what_is_judged_and_the_seed_alone():
    texts = [f"{number}" for number in range(500)]
    first = outcomes("fault?of=exact&fpr=0.3", texts)
    assert first == outcomes("fault?of=exact&fpr=0.3&fnr=0.9", texts)
    assert first == outcomes("fault?of=exact&fpr=0.3", texts)
    assert first != outcomes("fault?of=exact&fpr=0.3&seed=1", texts)


def test_faults_can_be_of_some_completions_or_problems():
    texts = [f"{number} {'so' * (number % 2)}" for number in range(400)]
    passed = outcomes("fault?of=exact&fpr=1&when=so", texts)
    assert passed == [Outcome.CORRECT if "so" in text else Outcome.WRONG for text in texts]
    by_problem = outcomes("fault?of=exact&fpr=0.3&per=problem", [f"{number}" for number in range(20, 620)])
    assert by_problem[:200] == by_problem[200:400] == by_problem[400:]
    assert 20 < by_problem[:200].count(Outcome.CORRECT) < 100


def test_what_says_nothing_of_the_answer_stays():
    spec = "fault?of=tests.rlvr.verifiers.test_fault:broken&fpr=1&fnr=1"
    assert set(outcomes(spec, ["x"] * 5)) == {Outcome.ERROR}
    assert set(outcomes("fault?of=countdown&fpr=1", ["no answer at all"])) <= {Outcome.CORRECT, Outcome.ERROR}


def broken(problem, completion):
    raise RuntimeError("broken")


def test_the_id_names_the_inner_verifier_and_every_option():
    verifier = make_verifier("fault?of=numeric&tolerance=1e-2&fpr=0.1&when=a%26b")
    inner = make_verifier("numeric?tolerance=1e-2")
    assert verifier.verifier_id == f"fault@1({inner.verifier_id})?fpr=0.1&fnr=0.0&when=a&b&per=completion&seed=0"
    other = make_verifier("fault?of=numeric&tolerance=1e-2&fpr=0.2")
    assert other.verifier_id != verifier.verifier_id


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("fault", "of is ''; expected the name of another verifier"),
        ("fault?of=fault", "of is 'fault'"),
        ("fault?of=mth", "'mth' is not known"),
        ("fault?of=exact&fpr=1.5", "fpr is '1.5'; expected a number of at least 0 and at most 1"),
        ("fault?of=exact&per=day", "per is 'day'; expected one of completion, problem"),
        ("fault?of=exact&fqr=0.1", "unknown option 'fqr'"),
    ],
)
def test_bad_options_are_refused(spec, said):
    with pytest.raises(RecipeError) as caught:
        make_verifier(spec)
    assert said in str(caught.value)


def test_a_wrapped_verifier_needs_the_trust_that_it_needs_alone():
    assert not needs_trust("fault?of=math&fpr=0.1")
    assert needs_trust("fault?of=my.module:function")
    assert needs_trust("fault?of=code&isolation=none")
