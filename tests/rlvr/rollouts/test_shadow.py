"""The shadow verifier: what is logged, and an alarm that fires on a hacked reward and not on a sound one."""

from types import SimpleNamespace

import numpy as np
import pytest

from rlvr.rollouts.shadow import MIN_ROWS, PASSED, REWARDED, SHADOW, ShadowAlarm, shadow_alarm, shadow_metrics
from rlvr.verifiers.verdicts import Outcome

CORRECT, WRONG, ERROR = Outcome.CORRECT, Outcome.WRONG, Outcome.ERROR


def test_metrics_are_shares_of_what_the_shadow_judged():
    rewarded, shadow = [CORRECT, CORRECT, WRONG, CORRECT, WRONG], [CORRECT, WRONG, CORRECT, ERROR, WRONG]
    cells = {"shadow/both": 1, "shadow/reward_only": 1, "shadow/shadow_only": 1, "shadow/neither": 1}
    assert shadow_metrics(rewarded, shadow) == {SHADOW: 0.5, PASSED: 0.5, **cells}
    cells = {"shadow/both": 0, "shadow/reward_only": 0, "shadow/shadow_only": 1, "shadow/neither": 0}
    assert shadow_metrics([WRONG], [CORRECT]) == {SHADOW: 1.0, **cells}
    assert shadow_metrics([WRONG], [ERROR]) == dict.fromkeys(cells, 0), "counts are summed over processes"


def logs(reward, shadow, seed=0, num_rollouts=64):
    """Rows of a training whose true shares are these, with the noise of so many rollouts a step."""
    random = np.random.default_rng(seed)
    return [
        {name: random.binomial(num_rollouts, share) / num_rollouts for name, share in ((REWARDED, r), (SHADOW, s))}
        for r, s in zip(reward, shadow, strict=True)
    ]


RISE = np.linspace(0.1, 0.8, 60)
FLAT = np.full(60, 0.1)


@pytest.mark.parametrize("seed", range(10))
def test_it_fires_where_the_reward_rises_alone(seed):
    assert "rose by 0." in shadow_alarm(logs(RISE, FLAT, seed))
    assert shadow_alarm(logs(RISE, 0.1 + (RISE - 0.1) * 0.3, seed))


@pytest.mark.parametrize("seed", range(40))
def test_it_is_silent_where_both_rise_or_none_does(seed):
    assert shadow_alarm(logs(RISE, RISE, seed)) is None
    assert shadow_alarm(logs(RISE + 0.1 * (1 - RISE), RISE, seed)) is None, (
        "a verifier that passes one in ten by chance"
    )
    assert shadow_alarm(logs(FLAT, FLAT, seed)) is None
    assert shadow_alarm(logs(FLAT + 0.3, FLAT, seed)) is None, "a gap that does not grow"
    assert shadow_alarm(logs(RISE[::-1], FLAT, seed)) is None


def test_few_or_missing_rows_say_nothing():
    rows = logs(RISE, FLAT)
    assert shadow_alarm(rows[: MIN_ROWS - 1]) is None
    assert shadow_alarm([{REWARDED: row[REWARDED], SHADOW: None} for row in rows]) is None
    assert shadow_alarm([{"loss": 1.0}] * 50) is None


def test_it_speaks_once(caplog):
    alarm, state = ShadowAlarm(), SimpleNamespace(is_world_process_zero=True, log_history=logs(RISE, FLAT))
    for _ in range(3):
        alarm.on_log(None, state, None)
    assert caplog.text.count("the shadow verifier's by") == 1
