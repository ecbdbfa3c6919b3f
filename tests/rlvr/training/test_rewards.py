"""Rewards: outcomes, truncation, conversations, and a verifier that fails."""

import logging

from rlvr.problems import Problem, ProblemSet
from rlvr.training.rewards import alarm_notes, make_format_reward, make_reward_function
from rlvr.verifiers import make_verifier
from rlvr.verifiers.verdicts import Outcome, Verdict, account_for_truncation

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


class Grades:
    verifier_id = "grades@1"

    def verify(self, items):
        outcomes = (Outcome.WRONG, Outcome.CORRECT, Outcome.ERROR, Outcome.TIMEOUT, Outcome.CORRECT)
        return [Verdict(outcome, score=0.75) for outcome in outcomes]


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


def test_a_score_is_the_reward_of_an_answer_that_was_judged_and_finished():
    ids = [[5, EOS]] * 5
    assert reward([*"abcde"], Grades(), ids) == [0.75, 0.75, None, 0.0, 0.75]
    ids = [[5]] * 5
    assert reward([*"abcde"], Grades(), ids) == [0.0, 0.75, None, 0.0, 0.75], "what is wrong and cut off is truncated"


def test_a_verifier_that_crashes_does_not_end_training(caplog):
    with caplog.at_level(logging.WARNING):
        assert reward(["a", "b"], Broken()) == [None, None]
    assert "broken@1 failed" in caplog.text


def test_rates_are_logged_through_the_trainer():
    logged = {}
    reward(["3*5+7", "nonsense"], log_metric=logged.__setitem__, log_extra=lambda *_: None)
    assert logged["verifier/no_answer_rate"] == 0.5
    assert logged["verifier/error_rate"] == 0.0


class Scripted:
    """Gives the outcomes that it is told."""

    verifier_id = "scripted@1"

    def __init__(self, outcomes):
        self.outcomes = outcomes

    def verify(self, items):
        return [Verdict(outcome, reason="because") for outcome in self.outcomes]


def warnings_of(caplog, *batches):
    """The warnings while these batches of outcomes are judged."""
    verifier = Scripted([])
    function = make_reward_function(verifier, PROBLEMS, frozenset({EOS}))
    caplog.clear()
    for outcomes in batches:
        verifier.outcomes = outcomes
        function(["p"] * len(outcomes), ["x"] * len(outcomes), [[EOS]] * len(outcomes), [ID] * len(outcomes))
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_too_many_errors_or_timeouts_are_said_once(caplog):
    fine = [Outcome.WRONG] * 20
    assert warnings_of(caplog, [Outcome.ERROR, *fine[1:]], [Outcome.TIMEOUT] * 4 + fine[4:]) == []
    bad = [Outcome.ERROR] * 2 + fine[2:]
    (said,) = warnings_of(caplog, fine, bad, bad)
    assert said.startswith("verifier/error_rate is 10.0%, above 5%: ")
    assert "rlvr verify --explain" in said
    assert "First reason: because." in said
    slow = [Outcome.TIMEOUT] * 5 + fine[5:]
    (said,) = warnings_of(caplog, slow, slow)
    assert said.startswith("verifier/timeout_rate is 25.0%, above 20%: ")


def test_the_summary_says_where_the_share_was_largest():
    log = [
        {"step": 1, "verifier/error_rate": 0.05, "verifier/timeout_rate": 0.0},
        {"step": 2, "verifier/error_rate": 0.06},
        {"step": 3, "verifier/error_rate": 0.5},
        {"step": 3, "probe/narrowed": 0},
    ]
    (note,) = alarm_notes(log)
    assert note.startswith("In training, at step 3, verifier/error_rate is 50.0%")
    assert alarm_notes(log[:1]) == []


def test_the_bonus_is_for_an_answer_in_a_box():
    bonus = make_format_reward(0.25)
    assert bonus.__name__ == "format"
    message = [{"role": "assistant", "content": r"\boxed{3}"}]
    completions = [r"It is \boxed{3}", "3", r"\boxed{}", r"\boxed{3", message]
    assert bonus(prompts=["p"] * 5, completions=completions, completion_ids=[[EOS]] * 5) == [0.25, 0, 0, 0, 0.25]


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
