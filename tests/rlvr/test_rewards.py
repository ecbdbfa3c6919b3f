"""Rewards: outcomes, truncation, conversations, and a verifier that fails."""

import logging

from rlvr.problems import Problem, ProblemSet
from rlvr.rewards import make_reward_function
from rlvr.verdicts import Outcome, Verdict, account_for_truncation
from rlvr.verifiers import make_verifier

PROBLEMS = ProblemSet.of("p", [Problem("q", "22", {"numbers": [3, 5, 7], "target": 22})])
ID = PROBLEMS[0].problem_id
EOS = 1


class Broken:
    verifier_id = "broken@1"

    def verify(self, items):
        raise RuntimeError("broken")


class Unsure:
    verifier_id = "unsure@1"

    def verify(self, items):
        return [Verdict(Outcome.ERROR), Verdict(Outcome.TIMEOUT)][: len(items)]


def reward(completions, verifier=None, ids=None, **kwargs):
    function = make_reward_function(verifier or make_verifier("countdown"), PROBLEMS, frozenset({EOS}))
    ids = ids or [[5, EOS]] * len(completions)
    return function(["p"] * len(completions), completions, ids, problem_id=[ID] * len(completions), **kwargs)


def test_correct_is_one_and_the_rest_is_zero():
    assert reward(["3*5+7", "3+5+7", "nonsense"]) == [1.0, 0.0, 0.0]


def test_conversations_are_judged_by_the_assistants_message():
    assert reward([[{"role": "assistant", "content": "3*5+7"}]]) == [1.0]


def test_an_error_is_not_learned_from_and_a_timeout_is_a_zero():
    assert reward(["a", "b"], Unsure()) == [None, 0.0]


def test_a_verifier_that_crashes_does_not_end_training(caplog):
    with caplog.at_level(logging.WARNING):
        assert reward(["a", "b"], Broken()) == [None, None]
    assert "broken@1 failed" in caplog.text


def test_rates_are_logged_through_the_trainer():
    logged = {}
    reward(["3*5+7", "nonsense"], log_metric=logged.__setitem__, log_extra=lambda *_: None)
    assert logged["verifier/no_answer_rate"] == 0.5
    assert logged["verifier/error_rate"] == 0.0


def test_truncation_changes_only_what_is_not_correct():
    assert reward(["3*5+7"], ids=[[5, 6]]) == [1.0]
    for before, after in [
        (Outcome.CORRECT, Outcome.CORRECT),
        (Outcome.WRONG, Outcome.TRUNCATED),
        (Outcome.UNPARSED, Outcome.TRUNCATED),
        (Outcome.ERROR, Outcome.ERROR),
        (Outcome.TIMEOUT, Outcome.TIMEOUT),
    ]:
        assert account_for_truncation(Verdict(before), truncated=True).outcome is after
        assert account_for_truncation(Verdict(before), truncated=False).outcome is before
