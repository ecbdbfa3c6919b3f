"""The scripted engine: what the contract asks of every engine, with known rates in the place of a model."""

import math

import pytest

from probes.engines import Request
from probes.engines.scripted import ScriptedEngine
from rlvr.problems.prompts import Prompt

RATES = {"p": 0.1, "q": 0.5, "r": 1.0}
PROMPT = Prompt("say it")


def draw_all(indices, problems=tuple(RATES), answers=None):
    engine = ScriptedEngine(RATES, "arm", answers)
    draws = [
        draw for batch in engine.sample([Request(key, PROMPT, tuple(indices)) for key in problems]) for draw in batch
    ]
    keyed = {(draw.problem_id, draw.draw_index): draw for draw in draws}
    assert len(keyed) == len(draws) == len(problems) * len(tuple(indices))
    return keyed


@pytest.mark.parametrize("problem", RATES)
def test_success_rates_within_binomial_error(problem):
    draws = draw_all(range(4000), (problem,)).values()
    p = RATES[problem]
    seen = sum(draw.completion == "right" for draw in draws) / 4000
    assert seen == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 4000) + 1e-12)


def test_no_chunk_repeats_another_and_chunks_do_not_matter():
    whole = [draw.completion for draw in draw_all(range(256), ("q",)).values()]
    chunks = [tuple(whole[at : at + 64]) for at in range(0, 256, 64)]
    assert len(set(chunks)) == 4
    assert draw_all([3, 77], ("q",))["q", 77].completion == whole[77]
    other = [draw.completion for draw in draw_all(range(256), ("r",)).values()]
    assert other != whole


def test_stop_truncation_and_token_counts():
    assert all(not draw.truncated and draw.num_tokens == 1 for draw in draw_all(range(8)).values())


def test_it_says_what_it_is_and_can_say_the_gold_answer():
    assert {draw.engine for draw in draw_all(range(3)).values()} == {"scripted"}
    assert draw_all(range(3), ("r",), {"r": "42"})["r", 0].completion == "42"
