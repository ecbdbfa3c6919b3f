"""The decoder on real tiny models: equality with `generate`, full batches, scarce memory, the choice of tokens."""

import logging
import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Lfm2Config, LlamaConfig, MistralConfig

from rlvr.errors import EngineError
from rlvr.models.batch import DecodeRequest
from rlvr.models.decoder import Decoder, make_warpers, pick
from rlvr.problems.countdown import countdown_problems
from rlvr.problems.prompts import PromptFormat

# Two, three and four numbers: prompts of many lengths.
PROBLEMS = [problem for num in (4, 2, 3) for problem in countdown_problems("probe", num=4, num_numbers=num)]
MAX_NEW_TOKENS = 12


@dataclass(frozen=True)
class Sampling:
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = MAX_NEW_TOKENS


def uniforms(prompt_id, completion_indices, num_tokens=MAX_NEW_TOKENS) -> torch.Tensor:
    """Random numbers that depend on prompt and index alone."""
    key = list(prompt_id.encode())
    return torch.from_numpy(
        np.array([np.random.default_rng([*key, index]).random(num_tokens) for index in completion_indices])
    )


def request_for(tokenizer, problem=0, indices=range(64)) -> DecodeRequest:
    chosen = PROBLEMS[problem]
    return DecodeRequest(chosen.problem_id, PromptFormat().prompt(chosen, tokenizer).token_ids, tuple(indices))


def requests_for(tokenizer, num_completions) -> list[DecodeRequest]:
    return [request_for(tokenizer, problem, range(num_completions)) for problem in range(len(PROBLEMS))]


def decode(decoder, *requests):
    """Token ids and whether a stop token came, by prompt and index; a completion delivered twice fails."""

    def numbers(prompt_id, completion_indices):
        return uniforms(prompt_id, completion_indices, decoder.limit)

    completions = [one for finished in decoder.decode(requests, numbers) for one in finished]
    keyed = {(one.prompt_id, one.completion_index): (one.token_ids, one.stopped) for one in completions}
    assert len(keyed) == len(completions) == sum(len(request.completion_indices) for request in requests)
    return keyed


@pytest.fixture(scope="module")
def decoder_of(tiny_model, tiny_tokenizer):
    """Returns a function (**options) -> a decoder of the tiny model."""
    return lambda **options: Decoder(tiny_model, Sampling(), [tiny_tokenizer.eos_token_id], **options)


def share_equal(ours, theirs) -> float:
    return np.mean([theirs[key] == completion for key, completion in ours.items()])


def generated(model, tokenizer, request, max_new_tokens) -> list[int]:
    """What `generate` says to a prompt alone, the most likely token each time."""
    prompt = torch.tensor([request.token_ids])
    output = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return output[0, prompt.shape[1] :].tolist()


def assert_greedy_equals_generate(model, tokenizer, requests, max_new_tokens=MAX_NEW_TOKENS, **options):
    sampling = Sampling(temperature=0.0, max_new_tokens=max_new_tokens)
    expected = {request.prompt_id: generated(model, tokenizer, request, max_new_tokens) for request in requests}
    decoder = Decoder(model, sampling, [tokenizer.eos_token_id], **options)
    for (prompt_id, _), (token_ids, stopped) in decode(decoder, *requests).items():
        assert token_ids == expected[prompt_id]
        assert stopped == (token_ids[-1] == tokenizer.eos_token_id)
    assert len(set(map(tuple, expected.values()))) > 1


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


# Token ids in, token ids out


def test_token_ids_and_random_numbers_are_all_it_needs(tiny_model):
    """2,000 completions of one token against the exact probabilities: every frequency within 5 standard errors."""
    stops = [1, 4]
    decoder = Decoder(tiny_model, Sampling(temperature=0.7, max_new_tokens=1), stops)
    prompt_ids = [2, 5, 6, 7]
    generator = torch.Generator().manual_seed(0)

    def numbers(_, completion_indices):
        return torch.rand((len(completion_indices), 1), dtype=torch.float64, generator=generator)

    request = DecodeRequest("plain", prompt_ids, tuple(range(2000)))
    completions = [one for finished in decoder.decode([request], numbers) for one in finished]
    assert sorted(one.completion_index for one in completions) == list(range(2000))
    assert all(one.stopped == (one.token_ids[0] in stops) for one in completions)
    with torch.inference_mode():
        logits = tiny_model(torch.tensor([prompt_ids])).logits[0, -1]
    seen = Counter(one.token_ids[0] for one in completions)
    for token, p in enumerate(torch.softmax(logits / 0.7, -1).tolist()):
        assert seen[token] / 2000 == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 2000) + 1e-9)


def test_a_completion_ends_with_a_stop_token_or_at_the_limit(decoder_of, tiny_tokenizer):
    completions = decode(decoder_of(max_rows=48), *requests_for(tiny_tokenizer, 20)).values()
    assert {stopped for _, stopped in completions} == {True, False}
    for token_ids, stopped in completions:
        assert tiny_tokenizer.eos_token_id not in token_ids[:-1]
        assert (token_ids[-1] == tiny_tokenizer.eos_token_id) == stopped
        assert len(token_ids) == MAX_NEW_TOKENS or (stopped and len(token_ids) < MAX_NEW_TOKENS)


def test_without_stop_tokens_all_completions_have_the_same_length(tiny_model, tiny_tokenizer):
    completions = decode(Decoder(tiny_model, Sampling(), []), request_for(tiny_tokenizer)).values()
    assert {(len(token_ids), stopped) for token_ids, stopped in completions} == {(MAX_NEW_TOKENS, False)}


def test_no_request_gives_no_completion(decoder_of, tiny_tokenizer):
    assert decode(decoder_of()) == {}
    assert decode(decoder_of(), request_for(tiny_tokenizer, indices=())) == {}


def test_random_numbers_are_asked_for_when_a_row_is_free(decoder_of, tiny_tokenizer):
    """They are never held for more completions than there are rows, and asked for once."""
    asked: list[tuple[str, int]] = []
    num_delivered, held = 0, []

    def numbers(prompt_id, completion_indices):
        asked.extend((prompt_id, index) for index in completion_indices)
        held.append(len(asked) - num_delivered)
        return uniforms(prompt_id, completion_indices)

    for finished in decoder_of(max_rows=8).decode(requests_for(tiny_tokenizer, 10), numbers):
        num_delivered += len(finished)
    assert num_delivered == len(asked) == len(set(asked)) == 10 * len(PROBLEMS)
    assert max(held) <= 2 * 8  # finished completions come out once their rows are taken


# Mixed batches


def test_temperature_zero_equals_generate_in_mixed_batches_of_any_size(tiny_model, tiny_tokenizer):
    requests = requests_for(tiny_tokenizer, 3)
    assert len({len(request.token_ids) for request in requests}) > 2
    for max_rows in (1, 2, 5, 512):
        assert_greedy_equals_generate(tiny_model, tiny_tokenizer, requests, max_rows=max_rows)


def test_prompts_of_one_token_mix_with_long_ones(tiny_model, tiny_tokenizer):
    ids = request_for(tiny_tokenizer).token_ids
    requests = [DecodeRequest(f"first {num}", ids[:num], (0, 1)) for num in (1, 2, 5, len(ids))]
    assert_greedy_equals_generate(tiny_model, tiny_tokenizer, requests, max_rows=3)


def test_a_batch_stays_full_while_completions_wait(tiny_model, decoder_of, tiny_tokenizer):
    rows: list[int] = []
    with forward_hook(tiny_model, lambda ids: rows.append(len(ids)) if ids.shape[1] == 1 else None):
        completions = decode(decoder_of(max_rows=32), *requests_for(tiny_tokenizer, 40))
    decoded = sum(len(ids) - 1 for ids, _ in completions.values())  # first tokens come from the prompt's pass
    assert max(rows) == 32
    assert decoded / (32 * len(rows)) >= 0.8


def test_a_prompt_is_read_once_however_many_batches_its_completions_need(tiny_model, decoder_of, tiny_tokenizer):
    requests = requests_for(tiny_tokenizer, 40)
    read: list[int] = []
    with forward_hook(tiny_model, lambda ids: read.append(len(ids)) if ids.shape[1] > 1 else None):
        decode(decoder_of(max_rows=32), *requests)
    assert sum(read) == len(requests)


def test_prompts_are_read_in_groups_of_bounded_size(tiny_model, tiny_tokenizer, monkeypatch):
    monkeypatch.setattr("rlvr.models.decoder.PREFILL_TOKENS", 64)
    shapes: list[tuple[int, ...]] = []
    requests = requests_for(tiny_tokenizer, 2)
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
    tiny_model, decoder_of, tiny_tokenizer, caplog, error, message
):
    requests = [request_for(tiny_tokenizer, problem, range(30)) for problem in range(4)]
    expected = decode(decoder_of(), *requests)
    with memory_for(tiny_model, 20, message, error) as tried, caplog.at_level(logging.WARNING):
        completions = decode(decoder_of(max_rows=64), *requests)
    assert share_equal(completions, expected) >= 0.99
    assert max(tried) == 64
    assert [record.getMessage() for record in caplog.records] == [
        "Out of memory with 64 rows at once; going on with at most 32.",
        "Out of memory with 32 rows at once; going on with at most 16.",
    ]


def test_completions_that_were_delivered_before_memory_ran_out_are_not_made_again(
    tiny_model, decoder_of, tiny_tokenizer
):
    """Memory becomes scarce after 20 passes, when the first rows have reached their limit of 12 tokens and are out."""
    passes: list[int] = []
    refused: list[int] = []

    def scarce_later(input_ids):
        passes.append(len(input_ids))
        if len(passes) > 20 and len(input_ids) > 8:
            refused.append(len(passes))
            raise RuntimeError("out of memory")

    requests = [request_for(tiny_tokenizer, problem, range(30)) for problem in range(4)]
    with forward_hook(tiny_model, scarce_later):
        completions = decode(decoder_of(max_rows=16), *requests)
    assert len(completions) == 120
    assert len(refused) == 1
    assert max(passes[:20]) == 16
    assert max(passes[refused[0] :]) == 8


def test_one_row_that_does_not_fit_is_an_error_that_says_what_to_do(tiny_model, decoder_of, tiny_tokenizer):
    with (
        memory_for(tiny_model, 0),
        pytest.raises(EngineError, match=r"single row \(DefaultCPUAllocator: can't .*\); lower max_new_tokens"),
    ):
        decode(decoder_of(max_rows=4), request_for(tiny_tokenizer))


def test_other_errors_of_the_model_pass_through(tiny_model, decoder_of, tiny_tokenizer):
    with memory_for(tiny_model, 0, "shapes do not match"), pytest.raises(RuntimeError, match="shapes do not match"):
        decode(decoder_of(), request_for(tiny_tokenizer))


def test_the_memory_budget_bounds_the_rows(tiny_model, decoder_of, monkeypatch):
    decoder = decoder_of()
    row = 2 * (2 * 2 * 64 * (20 + 12) * 4) + 16 * tiny_model.config.vocab_size
    monkeypatch.setattr(decoder, "budget_bytes", 10 * row)
    rows: list[int] = []
    with forward_hook(tiny_model, lambda ids: rows.append(len(ids))):
        completions = decode(decoder, DecodeRequest("p", [5] * 20, tuple(range(64))))
    assert len(completions) == 64
    assert max(rows) == 10


# Kinds of models


def test_a_sliding_window_model_decodes_one_prompt_at_a_time(tiny_tokenizer):
    model = tiny_random_model(MistralConfig, tiny_tokenizer, sliding_window=6, num_key_value_heads=2)
    assert not Decoder(model, Sampling(), [tiny_tokenizer.eos_token_id]).mixes
    for max_rows in (2, 512):
        assert_greedy_equals_generate(model, tiny_tokenizer, requests_for(tiny_tokenizer, 5), max_rows=max_rows)


def test_a_model_with_recurrent_states_decodes_one_prompt_at_a_time(tiny_tokenizer):
    model = tiny_random_model(
        Lfm2Config, tiny_tokenizer, num_key_value_heads=2, layer_types=["conv", "full_attention"], block_ff_dim=48
    )
    assert_greedy_equals_generate(model, tiny_tokenizer, requests_for(tiny_tokenizer, 5), max_rows=4)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_grouped_queries_mix(tiny_tokenizer, attention):
    model = tiny_random_model(LlamaConfig, tiny_tokenizer, num_key_value_heads=2, attn_implementation=attention)
    requests = requests_for(tiny_tokenizer, 5)
    assert_greedy_equals_generate(model, tiny_tokenizer, requests, max_new_tokens=60, max_rows=7)


def test_a_model_wrapped_by_lora_mixes(tiny_base, tiny_tokenizer):
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_base),
        LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
    ).eval()
    assert_greedy_equals_generate(model, tiny_tokenizer, requests_for(tiny_tokenizer, 3), max_rows=5)


def test_a_model_in_bfloat16_mixes(tiny_base, tiny_tokenizer):
    """Four in five completions are the same in mixed batches and alone; for the others the last bits decide."""
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.bfloat16).eval()
    requests = requests_for(tiny_tokenizer, 200)
    mixed = decode(Decoder(model, Sampling(), [tiny_tokenizer.eos_token_id], max_rows=64), *requests)
    alone = decode(Decoder(model, Sampling(), [tiny_tokenizer.eos_token_id]), requests[0])
    assert share_equal(alone, mixed) >= 0.8


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
