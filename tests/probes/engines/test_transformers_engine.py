"""The transformers engine on a real tiny model: the contract, and what a draw depends on."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from probes.engines import Request, consecutive_runs, uniforms
from probes.engines.transformers import TransformersEngine
from probes.store.arm import Arm, Sampling
from rlvr.errors import EngineError
from rlvr.problems.countdown import countdown_problems
from rlvr.problems.prompts import Prompt, PromptFormat
from tests.probes.engines.contract import EngineContract, Subject, contract_arm

# Two, three and four numbers: prompts of many lengths.
PROBLEMS = [problem for num in (4, 2, 3) for problem in countdown_problems("probe", num=4, num_numbers=num)]


class TestContract(EngineContract):
    num_draws = 4000

    @pytest.fixture
    def subject(self, tiny_model, tiny_tokenizer) -> Subject:
        arm = contract_arm(tiny_model, tiny_tokenizer)
        return Subject(TransformersEngine(tiny_model, tiny_tokenizer, arm), tiny_model, tiny_tokenizer)


class TestContractInTightBatches(EngineContract):
    """A batch of 48 rows is refilled, repacked and shifted all the time."""

    @pytest.fixture
    def subject(self, tiny_model, tiny_tokenizer) -> Subject:
        arm = contract_arm(tiny_model, tiny_tokenizer)
        return Subject(TransformersEngine(tiny_model, tiny_tokenizer, arm, max_rows=48), tiny_model, tiny_tokenizer)


@pytest.fixture(scope="module")
def arm(tiny_model, tiny_tokenizer) -> Arm:
    return contract_arm(tiny_model, tiny_tokenizer)


def request_for(tokenizer, problem=0, indices=range(64)) -> Request:
    chosen = PROBLEMS[problem]
    return Request(chosen.problem_id, PromptFormat().prompt(chosen, tokenizer), tuple(indices))


def sample(model, tokenizer, arm, *requests, **options):
    engine = TransformersEngine(model, tokenizer, arm, **options)
    draws = [draw for batch in engine.sample(requests) for draw in batch]
    keyed = {(draw.problem_id, draw.draw_index): draw for draw in draws}
    assert len(keyed) == len(draws) == sum(len(request.draw_indices) for request in requests)
    return keyed


# Distribution and identity of draws


def test_the_first_token_follows_the_models_distribution(tiny_model, tiny_tokenizer, arm):
    """2,000 draws of one token against the exact probabilities: every frequency within 5 standard errors."""
    one_token = replace(arm, sampling=Sampling(max_new_tokens=1, temperature=0.7))
    request = request_for(tiny_tokenizer, indices=range(2000))
    draws = sample(tiny_model, tiny_tokenizer, one_token, request).values()
    with torch.inference_mode():
        logits = tiny_model(torch.tensor([request.prompt.token_ids])).logits[0, -1]
    expected = torch.softmax(logits / 0.7, -1).tolist()
    seen = Counter(draw.completion for draw in draws)
    for token, p in enumerate(expected):
        text = tiny_tokenizer.decode([token], skip_special_tokens=True)
        if text:
            assert seen[text] / 2000 == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 2000) + 1e-9)


def test_a_draw_depends_on_neither_its_neighbours_nor_the_batch_size(tiny_model, tiny_tokenizer, arm):
    """At most one draw in a hundred differs: where the last bits of a probability decide."""
    requests = [request_for(tiny_tokenizer, problem) for problem in range(len(PROBLEMS))]
    mixed = sample(tiny_model, tiny_tokenizer, arm, *requests)
    tight = sample(tiny_model, tiny_tokenizer, arm, *reversed(requests), max_rows=7)
    alone = sample(tiny_model, tiny_tokenizer, arm, request_for(tiny_tokenizer, 1))
    tail = sample(tiny_model, tiny_tokenizer, arm, request_for(tiny_tokenizer, 0, [3, 4, 40, 63]))
    for other in (tight, alone, tail):
        assert np.mean([mixed[key] == draw for key, draw in other.items()]) >= 0.99


def test_a_prompt_without_tokens_is_refused(tiny_model, tiny_tokenizer, arm):
    engine = TransformersEngine(tiny_model, tiny_tokenizer, arm)
    with pytest.raises(EngineError, match="empty: the prompt has no tokens"):
        list(engine.sample([Request("empty", Prompt("", ()), (0,))]))


def test_max_rows_bounds_every_forward_pass_and_is_halved_when_memory_runs_out(tiny_model, tiny_tokenizer, arm):
    rows: list[int] = []

    def check(_module, _arguments, named):
        rows.append(len(named["input_ids"]))
        if len(rows) > 10 and rows[-1] > 8:
            raise RuntimeError("out of memory")

    handle = tiny_model.register_forward_pre_hook(check, with_kwargs=True)
    try:
        draws = sample(tiny_model, tiny_tokenizer, arm, request_for(tiny_tokenizer, indices=range(120)), max_rows=16)
    finally:
        handle.remove()
    assert len(draws) == 120
    assert max(rows[:10]) == 16
    assert max(rows[11:]) == 8


# Random numbers


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
