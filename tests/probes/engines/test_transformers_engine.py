"""The transformers engine on real tiny models: the contract, mixed batches, what a draw depends on, scarce memory."""

import logging
import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Lfm2Config, LlamaConfig, MistralConfig

from probes.engines import Request, consecutive_runs, uniforms
from probes.engines import transformers as engine_module
from probes.engines.transformers import TransformersEngine, make_warpers, pick
from probes.store.arm import Arm, Sampling, arm_of
from rlvr.errors import EngineError
from rlvr.problems.countdown import countdown_problems
from rlvr.problems.prompts import Prompt, PromptFormat
from tests.probes.engines.contract import EngineContract, Subject, contract_arm

# Two, three and four numbers: prompts of many lengths.
PROBLEMS = [problem for num in (4, 2, 3) for problem in countdown_problems("probe", num=4, num_numbers=num)]


class TestContract(EngineContract):
    num_draws = 2000

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


def greedy_texts(model, tokenizer, requests, max_new_tokens=12) -> dict[str, str]:
    """What `generate` says to each prompt, one prompt at a time."""
    texts = {}
    for request in requests:
        prompt = torch.tensor([request.prompt.token_ids])
        output = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        texts[request.problem_id] = tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True)
    return texts


def assert_greedy_equals_generate(model, tokenizer, requests, max_new_tokens=12, **options):
    sampling = Sampling(temperature=0.0, max_new_tokens=max_new_tokens)
    greedy = arm_of(model, tokenizer, PromptFormat(), sampling)
    expected = greedy_texts(model, tokenizer, requests, max_new_tokens)
    for (problem_id, _), draw in sample(model, tokenizer, greedy, *requests, **options).items():
        assert draw.completion == expected[problem_id]
    assert len(set(expected.values())) > 1


def tiny_random_model(config_class, tokenizer, **options):
    """A model with random weights, large enough that its greedy tokens differ from prompt to prompt."""
    torch.manual_seed(0)
    config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **options,
    )
    return AutoModelForCausalLM.from_config(config).eval()


@contextmanager
def forward_hook(model, hook):
    """Calls `hook(input_ids)` before each forward pass."""
    handle = model.register_forward_pre_hook(lambda _, args, kwargs: hook(kwargs["input_ids"]), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


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


def test_temperature_zero_equals_generate_in_mixed_batches_of_any_size(tiny_model, tiny_tokenizer):
    requests = [request_for(tiny_tokenizer, problem, range(3)) for problem in range(len(PROBLEMS))]
    assert len({len(request.prompt.token_ids) for request in requests}) > 2
    for max_rows in (1, 2, 5, 512):
        assert_greedy_equals_generate(tiny_model, tiny_tokenizer, requests, max_rows=max_rows)


def test_prompts_of_one_token_mix_with_long_ones(tiny_model, tiny_tokenizer):
    ids = request_for(tiny_tokenizer).prompt.token_ids
    requests = [Request(f"first {num}", Prompt("", ids[:num]), (0, 1)) for num in (1, 2, 5, len(ids))]
    assert_greedy_equals_generate(tiny_model, tiny_tokenizer, requests, max_rows=3)


def test_a_prompt_without_tokens_is_refused(tiny_model, tiny_tokenizer, arm):
    engine = TransformersEngine(tiny_model, tiny_tokenizer, arm)
    with pytest.raises(EngineError, match="empty: the prompt has no tokens"):
        list(engine.sample([Request("empty", Prompt("", ()), (0,))]))


# Full batches


def test_a_batch_stays_full_while_draws_wait(tiny_model, tiny_tokenizer, arm):
    requests = [request_for(tiny_tokenizer, problem, range(40)) for problem in range(len(PROBLEMS))]
    rows: list[int] = []
    with forward_hook(tiny_model, lambda ids: rows.append(len(ids)) if ids.shape[1] == 1 else None):
        draws = sample(tiny_model, tiny_tokenizer, arm, *requests, max_rows=32)
    decoded = sum(draw.num_tokens for draw in draws.values()) - len(draws)  # first tokens come from the prompt's pass
    assert max(rows) == 32
    assert decoded / (32 * len(rows)) >= 0.8


def test_a_prompt_is_read_once_however_many_batches_its_draws_need(tiny_model, tiny_tokenizer, arm):
    requests = [request_for(tiny_tokenizer, problem, range(40)) for problem in range(len(PROBLEMS))]
    read: list[int] = []
    with forward_hook(tiny_model, lambda ids: read.append(len(ids)) if ids.shape[1] > 1 else None):
        sample(tiny_model, tiny_tokenizer, arm, *requests, max_rows=32)
    assert sum(read) == len(requests)


def test_prompts_are_read_in_groups_of_bounded_size(tiny_model, tiny_tokenizer, monkeypatch):
    monkeypatch.setattr(engine_module, "PREFILL_TOKENS", 64)
    requests = [request_for(tiny_tokenizer, problem, range(2)) for problem in range(len(PROBLEMS))]
    shapes: list[tuple[int, ...]] = []
    with forward_hook(tiny_model, lambda ids: shapes.append(tuple(ids.shape))):
        assert_greedy_equals_generate(tiny_model, tiny_tokenizer, requests)
    assert all(rows * tokens <= 64 for rows, tokens in shapes if tokens > 1)


# Memory


@contextmanager
def memory_for(model, rows: int, message="DefaultCPUAllocator: can't allocate memory", error=RuntimeError):
    """Any forward pass of more rows fails as an allocator does; yields the shapes that were tried."""
    tried: list[int] = []

    def check(input_ids):
        tried.append(len(input_ids))
        if len(input_ids) > rows:
            raise error(message)

    with forward_hook(model, check):
        yield tried


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB"),
        (RuntimeError, "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        (RuntimeError, "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        (MemoryError, ""),
    ],
)
def test_running_out_of_memory_halves_the_batch_and_loses_nothing(
    tiny_model, tiny_tokenizer, arm, caplog, error, message
):
    requests = [request_for(tiny_tokenizer, problem, range(30)) for problem in range(4)]
    expected = sample(tiny_model, tiny_tokenizer, arm, *requests)
    with memory_for(tiny_model, 20, message, error) as tried, caplog.at_level(logging.WARNING):
        draws = sample(tiny_model, tiny_tokenizer, arm, *requests, max_rows=64)
    assert np.mean([expected[key] == draw for key, draw in draws.items()]) >= 0.99
    assert max(tried) == 64
    assert [record.getMessage() for record in caplog.records] == [
        "Out of memory with 64 rows at once; going on with at most 32.",
        "Out of memory with 32 rows at once; going on with at most 16.",
    ]


def test_draws_that_were_delivered_before_memory_ran_out_are_not_made_again(tiny_model, tiny_tokenizer, arm):
    """Memory becomes scarce after 10 passes, when some draws are out."""
    passes: list[int] = []

    def scarce_later(input_ids):
        passes.append(len(input_ids))
        if len(passes) > 10 and len(input_ids) > 8:
            raise RuntimeError("out of memory")

    requests = [request_for(tiny_tokenizer, problem, range(30)) for problem in range(4)]
    with forward_hook(tiny_model, scarce_later):
        draws = sample(tiny_model, tiny_tokenizer, arm, *requests, max_rows=16)
    assert len(draws) == 120
    assert max(passes[:10]) == 16
    assert max(passes[11:]) == 8


def test_one_row_that_does_not_fit_is_an_error_that_says_what_to_do(tiny_model, tiny_tokenizer, arm):
    with (
        memory_for(tiny_model, 0),
        pytest.raises(EngineError, match=r"single row \(DefaultCPUAllocator: can't .*\); lower max_new_tokens"),
    ):
        sample(tiny_model, tiny_tokenizer, arm, request_for(tiny_tokenizer), max_rows=4)


def test_other_errors_of_the_model_pass_through(tiny_model, tiny_tokenizer, arm):
    with memory_for(tiny_model, 0, "shapes do not match"), pytest.raises(RuntimeError, match="shapes do not match"):
        sample(tiny_model, tiny_tokenizer, arm, request_for(tiny_tokenizer))


def test_the_memory_budget_bounds_the_rows(tiny_model, tiny_tokenizer, arm, monkeypatch):
    engine = TransformersEngine(tiny_model, tiny_tokenizer, arm)
    row = 2 * (2 * 2 * 64 * (20 + 12) * 4) + 16 * tiny_model.config.vocab_size
    monkeypatch.setattr(engine, "budget_bytes", 10 * row)
    rows: list[int] = []
    with forward_hook(tiny_model, lambda ids: rows.append(len(ids))):
        draws = [
            d for batch in engine.sample([Request("p", Prompt("", tuple([5] * 20)), tuple(range(64)))]) for d in batch
        ]
    assert len(draws) == 64
    assert max(rows) == 10


# Kinds of models


def test_a_sliding_window_model_decodes_one_prompt_at_a_time(tiny_tokenizer):
    model = tiny_random_model(MistralConfig, tiny_tokenizer, sliding_window=6, num_key_value_heads=2)
    requests = [request_for(tiny_tokenizer, problem, range(5)) for problem in range(len(PROBLEMS))]
    assert not TransformersEngine(model, tiny_tokenizer, contract_arm(model, tiny_tokenizer)).mixes
    for max_rows in (2, 512):
        assert_greedy_equals_generate(model, tiny_tokenizer, requests, max_rows=max_rows)


def test_a_model_with_recurrent_states_decodes_one_prompt_at_a_time(tiny_tokenizer):
    model = tiny_random_model(
        Lfm2Config, tiny_tokenizer, num_key_value_heads=2, layer_types=["conv", "full_attention"], block_ff_dim=48
    )
    requests = [request_for(tiny_tokenizer, problem, range(5)) for problem in range(len(PROBLEMS))]
    assert_greedy_equals_generate(model, tiny_tokenizer, requests, max_rows=4)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_grouped_queries_mix(tiny_tokenizer, attention):
    model = tiny_random_model(LlamaConfig, tiny_tokenizer, num_key_value_heads=2, attn_implementation=attention)
    requests = [request_for(tiny_tokenizer, problem, range(5)) for problem in range(len(PROBLEMS))]
    assert_greedy_equals_generate(model, tiny_tokenizer, requests, max_new_tokens=60, max_rows=7)


def test_a_model_wrapped_by_lora_mixes(tiny_base, tiny_tokenizer):
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_base),
        LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
    ).eval()
    requests = [request_for(tiny_tokenizer, problem, range(3)) for problem in range(len(PROBLEMS))]
    assert_greedy_equals_generate(model, tiny_tokenizer, requests, max_rows=5)


def test_a_model_in_bfloat16_mixes(tiny_base, tiny_tokenizer):
    """Its frequent completions come as often in mixed batches as alone; single draws may differ in the last bits."""
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.bfloat16).eval()
    arm = contract_arm(model, tiny_tokenizer)
    requests = [request_for(tiny_tokenizer, problem, range(200)) for problem in range(len(PROBLEMS))]
    mixed = sample(model, tiny_tokenizer, arm, *requests, max_rows=64)
    alone = sample(model, tiny_tokenizer, arm, requests[0])
    assert np.mean([mixed[key] == draw for key, draw in alone.items()]) >= 0.8


# The choice of tokens


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
