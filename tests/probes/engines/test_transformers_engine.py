"""The transformers engine on a real tiny model: its distribution, its bookkeeping, what a draw depends on."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from probes.arm import Arm, Sampling, arm_of
from probes.engines import Request, consecutive_runs, uniforms
from probes.engines.transformers import TransformersEngine, make_warpers, pick
from rlvr.problems.countdown import countdown_problems
from rlvr.prompts import PromptFormat

PROBLEMS = countdown_problems("probe", num=3)


@pytest.fixture(scope="module")
def arm(tiny_model, tiny_tokenizer) -> Arm:
    return arm_of(tiny_model, tiny_tokenizer, PromptFormat(), Sampling(max_new_tokens=12))


def request_for(tokenizer, problem=0, indices=range(64)) -> Request:
    chosen = PROBLEMS[problem]
    return Request(chosen.problem_id, tuple(PromptFormat().token_ids(chosen, tokenizer)), tuple(indices))


def sample(model, tokenizer, arm, *requests, **options):
    engine = TransformersEngine(model, tokenizer, arm, **options)
    return {(d.problem_id, d.draw_index): d for batch in engine.sample(requests) for d in batch}


def test_the_first_token_follows_the_models_distribution(tiny_model, tiny_tokenizer, arm):
    """2,000 draws of one token against the exact probabilities: every frequency within 5 standard errors."""
    one_token = replace(arm, sampling=Sampling(max_new_tokens=1, temperature=0.7))
    request = request_for(tiny_tokenizer, indices=range(2000))
    draws = sample(tiny_model, tiny_tokenizer, one_token, request).values()
    with torch.inference_mode():
        logits = tiny_model(torch.tensor([request.prompt_token_ids])).logits[0, -1]
    expected = torch.softmax(logits / 0.7, -1).tolist()
    seen = Counter(draw.completion for draw in draws)
    for token, p in enumerate(expected):
        text = tiny_tokenizer.decode([token], skip_special_tokens=True)
        if text:
            assert seen[text] / 2000 == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 2000) + 1e-9)


def test_sequence_probabilities_match_the_model(tiny_model, tiny_tokenizer, arm):
    """The frequency of the most frequent completions equals the product of the model's token probabilities.

    This is what a wrong position, a stale cache row or a mixed-up order after dropping rows would break.
    """
    request = request_for(tiny_tokenizer, indices=range(4000))
    draws = sample(tiny_model, tiny_tokenizer, arm, request).values()
    finished = Counter(draw.completion for draw in draws if not draw.truncated)
    for text, times in finished.most_common(5):
        ids = [*tiny_tokenizer(text, add_special_tokens=False)["input_ids"], tiny_tokenizer.eos_token_id]
        with torch.inference_mode():
            logits = tiny_model(torch.tensor([[*request.prompt_token_ids, *ids]])).logits[0]
        steps = torch.log_softmax(logits[len(request.prompt_token_ids) - 1 : -1], -1)
        p = math.exp(sum(steps[at, token].item() for at, token in enumerate(ids)))
        assert times / 4000 == pytest.approx(p, abs=5 * math.sqrt(p / 4000))


def test_draws_do_not_depend_on_chunks_processes_or_restarts(tiny_model, tiny_tokenizer, arm):
    whole = sample(tiny_model, tiny_tokenizer, arm, request_for(tiny_tokenizer), request_for(tiny_tokenizer, 1))
    chunked = sample(tiny_model, tiny_tokenizer, arm, request_for(tiny_tokenizer, 1), max_rows=7)
    tail = sample(tiny_model, tiny_tokenizer, arm, request_for(tiny_tokenizer, 0, [3, 4, 40, 63]))
    assert all(whole[key] == draw for key, draw in {**chunked, **tail}.items())


def test_two_chunks_or_problems_never_repeat_each_other(tiny_model, tiny_tokenizer, arm):
    draws = sample(tiny_model, tiny_tokenizer, arm, request_for(tiny_tokenizer, indices=range(256)), max_rows=64)
    texts = [draw.completion for _, draw in sorted(draws.items(), key=lambda item: item[0][1])]
    chunks = [tuple(texts[at : at + 64]) for at in range(0, 256, 64)]
    assert len(set(chunks)) == 4


def test_lengths_and_the_truncation_flag(tiny_model, tiny_tokenizer, arm):
    draws = sample(tiny_model, tiny_tokenizer, arm, request_for(tiny_tokenizer, indices=range(512))).values()
    assert any(draw.truncated for draw in draws)
    assert any(not draw.truncated for draw in draws)
    for draw in draws:
        tokens = len(tiny_tokenizer(draw.completion, add_special_tokens=False)["input_ids"])
        assert draw.num_tokens >= tokens + (0 if draw.truncated else 1), "special tokens leave the text, not the count"
        assert draw.num_tokens == 12 or not draw.truncated
        assert draw.engine == "transformers"


def test_temperature_zero_is_greedy_and_equals_generate(tiny_model, tiny_tokenizer, arm):
    greedy = replace(arm, sampling=Sampling(temperature=0.0, max_new_tokens=12))
    request = request_for(tiny_tokenizer, indices=range(4))
    texts = {draw.completion for draw in sample(tiny_model, tiny_tokenizer, greedy, request).values()}
    prompt = torch.tensor([request.prompt_token_ids])
    output = tiny_model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=12)[
        0, len(request.prompt_token_ids) :
    ]
    assert texts == {tiny_tokenizer.decode(output, skip_special_tokens=True)}


def test_top_k_and_top_p_forbid_the_rest():
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    every = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1]
    top_k = make_warpers(Sampling(top_k=2))(None, logits)
    assert set(pick(top_k.expand(1000, -1), every).tolist()) == {2, 3}
    top_p = make_warpers(Sampling(top_p=0.6))(None, logits)
    assert set(pick(top_p.expand(1000, -1), every).tolist()) == {3}


def test_pick_inverts_the_cumulative_distribution():
    """By hand: probabilities 1/4, 0, 1/2, 1/4; a token of probability zero is never picked, not even at its edge."""
    logits = torch.log(torch.tensor([[0.25, 0.0, 0.5, 0.25]]))
    uniform = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75, 0.999999], dtype=torch.float64)
    assert pick(logits.expand(6, -1), uniform).tolist() == [0, 0, 2, 2, 3, 3]


def test_uniforms_depend_on_arm_problem_and_index_alone():
    whole = uniforms("arm", "p", range(10), 7)
    assert whole.shape == (10, 7)
    np.testing.assert_array_equal(uniforms("arm", "p", [2, 3, 9], 7), whole[[2, 3, 9]])
    assert not np.isin(uniforms("arm", "q", range(10), 7), whole).any()
    assert not np.isin(uniforms("other", "p", range(10), 7), whole).any()
    assert len(np.unique(whole)) == whole.size
    assert uniforms("arm", "p", [], 7).shape == (0, 7)


def test_consecutive_runs():
    assert consecutive_runs([0, 1, 2, 5, 7, 8]) == [[0, 1, 2], [5], [7, 8]]
    assert consecutive_runs([]) == []
