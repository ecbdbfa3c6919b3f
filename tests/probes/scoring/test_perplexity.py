"""Perplexity and token entropy: against an unbatched loop in float64, by hand, and on draws that a model made."""

import copy
import logging
import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, Lfm2Config, LlamaConfig, MistralConfig, PreTrainedTokenizerFast

from probes.engines import Request
from probes.engines.transformers import TransformersEngine
from probes.scoring import token_scores
from probes.scoring.perplexity import (
    Selection,
    TokenScores,
    cross_perplexity,
    problem_mean,
    score_draws,
    scoring_prompts,
    select_draws,
    token_entropy,
)
from probes.scoring.token_scores import token_statistics
from probes.statistics.plan import Plan
from probes.store.arm import Sampling, arm_of, declared_arm
from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.errors import EngineError, InputError, RecipeError, StoreError
from rlvr.problems import ProblemSet
from rlvr.problems.countdown import countdown_problems
from rlvr.problems.prompts import PromptFormat
from rlvr.verifiers.verdicts import Outcome, Verdict

# Two, three and four numbers: prompts of many lengths.
PROBLEMS = [problem for num in (2, 3, 4) for problem in countdown_problems("probe", num=4, num_numbers=num)]
NUM_DRAWS = 16
FREQUENT_DRAWS = 2000  # of the first problem


@pytest.fixture(scope="module")
def store(tmp_path_factory, tiny_model, tiny_tokenizer) -> ProbeStore:
    """Draws of the tiny base model, some cut at 24 tokens."""
    arm = arm_of(tiny_model, tiny_tokenizer, PromptFormat(), Sampling(max_new_tokens=24))
    store = ProbeStore.create(tmp_path_factory.mktemp("store") / "base", arm, ProblemSet.of("tiny", PROBLEMS))
    prompts = scoring_prompts(store, tiny_tokenizer)
    indices = [range(FREQUENT_DRAWS), *[range(NUM_DRAWS)] * (len(PROBLEMS) - 1)]
    keys = [problem.problem_id for problem in PROBLEMS]
    requests = [Request(key, prompts[key], tuple(own)) for key, own in zip(keys, indices, strict=True)]
    for draws in TransformersEngine(tiny_model, tiny_tokenizer, arm).sample(requests):
        store.add_draws(draws)
    store.set_plan(Plan((NUM_DRAWS, FREQUENT_DRAWS), stop_at=1))
    return store


@pytest.fixture(scope="module")
def prompts(store, tiny_tokenizer):
    return scoring_prompts(store, tiny_tokenizer)


@pytest.fixture(scope="module")
def selection(store) -> Selection:
    return select_draws(store, NUM_DRAWS)


@pytest.fixture(scope="module")
def noisy_model(tiny_model):
    """Another arm: the tiny model with noise on its weights."""
    torch.manual_seed(1)
    model = copy.deepcopy(tiny_model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return model


def draw(completion: str, index: int = 0, truncated: bool = False, problem: int = 0) -> Draw:
    num_tokens = len(completion) + (not truncated)
    return Draw(PROBLEMS[problem].problem_id, index, completion, num_tokens, truncated, "by hand")


def keyed(scores) -> dict[tuple[str, int], TokenScores]:
    scores = list(scores)
    found = {(score.problem_id, score.draw_index): score for score in scores}
    assert len(found) == len(scores), "a draw was scored twice"
    return found


def one(model, tokenizer, draw: Draw, prompts, **options) -> TokenScores:
    (score,) = score_draws(model, tokenizer, [draw], prompts, **options)
    return score


def loop_float64(model, tokenizer, draws, prompts) -> dict[tuple[str, int], tuple[float, float]]:
    """Sum of log P and mean entropy of each draw, one forward pass a draw, in float64."""
    exact = copy.deepcopy(model).double()
    result = {}
    for one_draw in draws:
        prompt = list(prompts[one_draw.problem_id].token_ids)
        target = tokenizer(one_draw.completion, add_special_tokens=False)["input_ids"]
        target += [] if one_draw.truncated else [tokenizer.eos_token_id]
        if not target:
            continue
        with torch.inference_mode():
            logits = exact(torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1]
        log_p = torch.log_softmax(logits, -1)
        entropy = -(log_p.exp() * log_p).sum(-1)
        chosen = log_p[torch.arange(len(target)), torch.tensor(target)]
        result[one_draw.problem_id, one_draw.draw_index] = chosen.sum().item(), entropy.mean().item()
    return result


def assert_scores_equal(scores, expected, tolerance=1e-5):
    assert {key for key, score in scores.items() if score.num_tokens} == expected.keys()
    for key, (sum_log_p, entropy) in expected.items():
        assert scores[key].sum_log_p == pytest.approx(sum_log_p, rel=tolerance, abs=tolerance)
        assert scores[key].mean_entropy == pytest.approx(entropy, rel=tolerance)


def tiny_random_model(config_class, num_tokens, **options):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    special = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    config = config_class(vocab_size=num_tokens, initializer_range=0.3, **sizes, **special, **options)
    return AutoModelForCausalLM.from_config(config).eval()


# The forward pass


def test_scores_equal_an_unbatched_loop_in_float64(tiny_model, tiny_tokenizer, selection, prompts):
    scores = keyed(score_draws(tiny_model, tiny_tokenizer, selection.draws, prompts))
    assert_scores_equal(scores, loop_float64(tiny_model, tiny_tokenizer, selection.draws, prompts))
    assert len({len(prompt.token_ids) for prompt in prompts.values()}) > 2
    assert len({score.num_tokens for score in scores.values()}) > 5


@pytest.mark.parametrize("max_tokens", [1, 7, 50, 300])
def test_scores_do_not_depend_on_batches_padding_or_parts(tiny_model, tiny_tokenizer, selection, prompts, max_tokens):
    some = selection.draws[::13]
    whole = keyed(score_draws(tiny_model, tiny_tokenizer, some, prompts))
    again = keyed(score_draws(tiny_model, tiny_tokenizer, some[::-1], prompts, max_tokens_per_batch=max_tokens))
    assert_scores_equal(again, {key: (score.sum_log_p, score.mean_entropy) for key, score in whole.items()})
    alone = one(tiny_model, tiny_tokenizer, some[3], prompts)
    assert alone.sum_log_p == pytest.approx(whole[alone.problem_id, alone.draw_index].sum_log_p, rel=1e-5)


@pytest.mark.parametrize(
    ("config_class", "options"),
    [
        (LlamaConfig, {"num_key_value_heads": 2, "attn_implementation": "eager"}),
        (MistralConfig, {"num_key_value_heads": 2, "sliding_window": 5}),
        (Lfm2Config, {"num_key_value_heads": 2, "layer_types": ["conv", "full_attention"], "block_ff_dim": 48}),
    ],
)
def test_other_architectures_equal_the_loop_with_a_small_batch(
    tiny_tokenizer, selection, prompts, config_class, options
):
    model, some = tiny_random_model(config_class, len(tiny_tokenizer), **options), selection.draws[::7]
    scores = keyed(score_draws(model, tiny_tokenizer, some, prompts, max_tokens_per_batch=20))
    assert_scores_equal(scores, loop_float64(model, tiny_tokenizer, some, prompts))


def test_few_logits_at_a_time_give_the_same(tiny_model, tiny_tokenizer, selection, prompts, monkeypatch):
    """The bounds on positions x vocabulary, at sizes that a small test reaches."""
    some = selection.draws[::5]
    expected = keyed(score_draws(tiny_model, tiny_tokenizer, some, prompts))
    monkeypatch.setattr(token_scores, "LOGIT_CELLS", 10 * len(tiny_tokenizer))
    monkeypatch.setattr(token_scores, "SOFTMAX_CELLS", 3 * len(tiny_tokenizer))
    with forward_calls(tiny_model) as shapes:
        scores = keyed(score_draws(tiny_model, tiny_tokenizer, some, prompts))
    assert max(rows * columns for rows, columns in shapes) <= 10
    assert_scores_equal(scores, {key: (score.sum_log_p, score.mean_entropy) for key, score in expected.items()})


def test_lora_counts_and_equals_its_merged_model(tiny_model, tiny_tokenizer, selection, prompts):
    torch.manual_seed(2)
    some = selection.draws[::9]
    base = keyed(score_draws(tiny_model, tiny_tokenizer, some, prompts))
    adapted = get_peft_model(copy.deepcopy(tiny_model), LoraConfig(r=4, target_modules=["q_proj", "v_proj"])).eval()
    fresh = keyed(score_draws(adapted, tiny_tokenizer, some, prompts, max_tokens_per_batch=30))
    assert all(fresh[key].sum_log_p == pytest.approx(base[key].sum_log_p, rel=1e-5) for key in base)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    trained = keyed(score_draws(adapted, tiny_tokenizer, some, prompts, max_tokens_per_batch=30))
    assert_scores_equal(trained, loop_float64(adapted.merge_and_unload(), tiny_tokenizer, some, prompts))
    assert all(trained[key].sum_log_p != pytest.approx(base[key].sum_log_p, rel=1e-3) for key in base)


def test_statistics_of_a_distribution_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]))
    log_p, entropy = token_statistics(logits + 3.0, torch.tensor([1, 0, -1]), stop_ids=(0, 3))
    assert log_p.tolist() == pytest.approx([math.log(0.25), 0.0, math.log(0.5)])
    assert entropy.tolist() == pytest.approx([1.5 * math.log(2), 0.0, math.log(4)])


def test_a_model_that_knows_nothing_is_uniform(tiny_tokenizer, selection, prompts):
    model = tiny_random_model(LlamaConfig, len(tiny_tokenizer))
    torch.nn.init.zeros_(model.lm_head.weight)
    scores = list(score_draws(model, tiny_tokenizer, selection.draws, prompts))
    result, entropy = cross_perplexity(scores, selection), token_entropy(scores, selection)
    assert result.perplexity == pytest.approx(len(tiny_tokenizer))
    assert entropy.entropy.mean == pytest.approx(math.log(len(tiny_tokenizer)))
    assert result.perplexity_interval == pytest.approx((len(tiny_tokenizer),) * 2)


# What is scored


def test_the_stop_token_is_scored_unless_the_draw_was_truncated(tiny_model, tiny_tokenizer, prompts):
    stopped = one(tiny_model, tiny_tokenizer, draw("1+2"), prompts)
    truncated = one(tiny_model, tiny_tokenizer, draw("1+2", truncated=True), prompts)
    unscored = one(tiny_model, tiny_tokenizer, draw("1+2"), prompts, stop_token_ids=())
    assert (stopped.num_tokens, truncated.num_tokens, unscored.num_tokens) == (4, 3, 3)
    assert not any(one.is_respelled for one in (stopped, truncated, unscored))
    assert unscored.sum_log_p == pytest.approx(truncated.sum_log_p)
    ids = [*prompts[stopped.problem_id].token_ids, *tiny_tokenizer("1+2", add_special_tokens=False)["input_ids"]]
    with torch.inference_mode():
        log_p = torch.log_softmax(tiny_model(torch.tensor([ids])).logits[0, -1], -1)
    stop = log_p[tiny_tokenizer.eos_token_id].item()
    assert stopped.sum_log_p - truncated.sum_log_p == pytest.approx(stop, rel=1e-4)
    either = one(tiny_model, tiny_tokenizer, draw("1+2"), prompts, stop_token_ids=(tiny_tokenizer.eos_token_id, 5))
    assert either.sum_log_p - truncated.sum_log_p == pytest.approx(log_p[[1, 5]].logsumexp(0).item(), rel=1e-4)


def test_an_empty_completion_scores_its_stop_token_alone(tiny_model, tiny_tokenizer, prompts):
    score = one(tiny_model, tiny_tokenizer, draw(""), prompts)
    expected = loop_float64(tiny_model, tiny_tokenizer, [draw("")], prompts)
    assert score.num_tokens == 1
    assert_scores_equal({(score.problem_id, 0): score}, expected)


def test_an_empty_truncated_completion_has_no_token_and_is_counted(tiny_model, tiny_tokenizer, prompts):
    draws = (draw("", truncated=True), draw("1", index=1))
    chosen = Selection(draws, {draws[0].problem_id: None}, num_first=2)
    scores = list(score_draws(tiny_model, tiny_tokenizer, draws, prompts))
    empty = keyed(scores)[draws[0].problem_id, 0]
    assert (empty.num_tokens, empty.sum_log_p) == (0, 0.0)
    assert math.isnan(empty.mean_entropy)
    result = cross_perplexity(scores, chosen)
    assert (result.scope.num_draws, result.scope.num_unscored) == (1, 1)
    assert math.isfinite(result.perplexity)


def test_what_lies_beyond_the_models_length_is_counted(tiny_model, tiny_tokenizer, prompts):
    draws = (draw("1+2+3"), draw("1", index=1), draw("1+2", problem=4))
    num_prompt = len(prompts[draws[0].problem_id].token_ids)
    assert len(prompts[draws[2].problem_id].token_ids) > num_prompt
    options = {"max_length": num_prompt + 2}
    scores = keyed(score_draws(tiny_model, tiny_tokenizer, draws, prompts, **options))
    cut, whole = scores[draws[0].problem_id, 0], scores[draws[0].problem_id, 1]
    # Three targets fit: the last one is never read.
    assert (cut.num_tokens, cut.num_cut, cut.num_chars) == (3, 3, 3)
    assert (whole.num_tokens, whole.num_cut) == (2, 0)
    first = one(tiny_model, tiny_tokenizer, draw("1+2", truncated=True), prompts)
    assert cut.sum_log_p == pytest.approx(first.sum_log_p, rel=1e-5)
    chosen = Selection(draws, {PROBLEMS[0].problem_id: None, PROBLEMS[4].problem_id: None}, num_first=2)
    scope = cross_perplexity(scores.values(), chosen).scope
    longer = scores[draws[2].problem_id, 0]
    assert scope.num_cut_tokens == cut.num_cut + longer.num_cut
    assert scope.num_cut == 2


def test_the_limit_of_the_model_itself_is_kept(tiny_model, tiny_tokenizer, prompts):
    limit = tiny_model.config.max_position_embeddings
    score = one(tiny_model, tiny_tokenizer, draw("1" * 200, truncated=True), prompts)
    assert score.num_tokens == limit + 1 - len(prompts[score.problem_id].token_ids)
    assert score.num_tokens + score.num_cut == 200


def test_text_that_looks_like_a_special_token_does_not_end_a_completion(tiny_model, tiny_tokenizer, prompts):
    """The testbed's tokenizer knows no letter: the text counts as altered, and is not taken for the stop token."""
    score = one(tiny_model, tiny_tokenizer, draw("1<eos>", truncated=True), prompts)
    assert (score.num_tokens, score.is_altered) == (6, True)
    assert not one(tiny_model, tiny_tokenizer, draw("1+2"), prompts).is_altered


def test_a_teacher_with_another_tokenizer_is_compared_by_characters(store, selection, tiny_tokenizer):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = [chosen.completion for chosen in selection.draws]
    special = ["<pad>", "<eos>", "<bos>"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>")
    teacher = tiny_random_model(LlamaConfig, len(tokenizer))
    torch.nn.init.zeros_(teacher.lm_head.weight)
    prompts = scoring_prompts(store, tokenizer, PromptFormat("Q: {question} A:"))
    scores = list(score_draws(teacher, tokenizer, selection.draws, prompts))
    result = cross_perplexity(scores, selection)
    assert result.perplexity == pytest.approx(len(tokenizer))
    assert result.scope.num_respelled > 0
    assert result.scope.num_altered == 0
    rows = {problem.problem_id: [s for s in scores if s.problem_id == problem.problem_id] for problem in PROBLEMS}
    per_char = [
        math.log(len(tokenizer)) * sum(s.num_tokens for s in own) / sum(s.num_chars for s in own)
        for own in rows.values()
    ]
    assert result.nats_per_char.mean == pytest.approx(np.mean(per_char))
    assert result.bits_per_char == pytest.approx(np.mean(per_char) / math.log(2))


# Draws that a model really made


def test_a_frequent_completion_is_as_likely_as_it_is_frequent(store, tiny_model, tiny_tokenizer, prompts):
    texts = Counter((one.completion, one.truncated) for one in store.draws(PROBLEMS[0].problem_id))
    (completion, truncated), count = texts.most_common(1)[0]
    score = one(tiny_model, tiny_tokenizer, draw(completion, truncated=truncated), prompts)
    p = math.exp(score.sum_log_p)
    assert count > 10
    assert abs(count - FREQUENT_DRAWS * p) < 4 * math.sqrt(FREQUENT_DRAWS * p * (1 - p))


def test_an_arms_own_draws_surprise_another_arm_more(tiny_model, noisy_model, tiny_tokenizer, selection, prompts):
    """One draw is cut by hand: whether the base writes one that is too long depends on the machine's digits."""
    selection = replace(selection, draws=(*selection.draws, draw("1+2", index=NUM_DRAWS, truncated=True)))
    own = cross_perplexity(score_draws(tiny_model, tiny_tokenizer, selection.draws, prompts), selection)
    other = cross_perplexity(score_draws(noisy_model, tiny_tokenizer, selection.draws, prompts), selection)
    assert other.log_perplexity.lo > own.log_perplexity.hi
    assert own.perplexity_interval[0] < own.perplexity < own.perplexity_interval[1] < len(tiny_tokenizer)
    assert own.scope.num_draws == NUM_DRAWS * len(PROBLEMS) + 1
    assert own.scope.num_truncated == sum(one.truncated for one in selection.draws) > 0


def test_over_own_draws_log_perplexity_per_token_is_the_token_entropy(store, tiny_model, tiny_tokenizer, prompts):
    """E(-log P) of a token is the entropy there; draws with special tokens inside, which are not text, are left out."""
    draws = list(store.draws(PROBLEMS[0].problem_id))
    scores = [score for score in score_draws(tiny_model, tiny_tokenizer, draws, prompts) if not score.is_respelled]
    tokens = sum(score.num_tokens for score in scores)
    surprise = -sum(score.sum_log_p for score in scores) / tokens
    entropy = sum(score.mean_entropy * score.num_tokens for score in scores) / tokens
    assert surprise == pytest.approx(entropy, abs=0.06)
    assert tokens > 5000


# Which draws


def test_the_first_draws_are_taken_at_most_those_of_the_first_look(store):
    four, many = select_draws(store, 4), select_draws(store, 10_000)
    assert Counter(one.problem_id for one in four.draws) == {problem.problem_id: 4 for problem in PROBLEMS}
    assert {one.draw_index for one in four.draws} == set(range(4))
    assert (many.num_first, len(many.draws)) == (NUM_DRAWS, NUM_DRAWS * len(PROBLEMS))
    assert many.label == "first 16 draws of each problem"


def small_store(folder, num_draws=2, judged=True) -> ProbeStore:
    """Two problems; their even draws are correct, but the second problem has no correct one."""
    arm = declared_arm("someone", {"template": "{question}"}, Sampling())
    store = ProbeStore.create(folder, arm, ProblemSet.of("two", PROBLEMS[:2]))
    draws = [draw("1+2", index, problem=problem) for problem in range(2) for index in range(num_draws)]
    store.add_draws(draws)
    if judged:
        first = PROBLEMS[0].problem_id
        correct = [one.problem_id == first and one.draw_index % 2 == 0 for one in draws]
        outcomes = [Outcome.CORRECT if good else Outcome.WRONG for good in correct]
        rows = [(one, Verdict(out)) for one, out in zip(draws, outcomes, strict=True)]
        store.add_verdicts("v", rows)
    return store


def test_a_selection_by_outcome_says_so(tmp_path, tiny_model, tiny_tokenizer):
    store = small_store(tmp_path / "s")
    chosen = select_draws(store, 2, outcome=Outcome.CORRECT)
    assert [one.draw_index for one in chosen.draws] == [0]
    scores = score_draws(tiny_model, tiny_tokenizer, chosen.draws, scoring_prompts(store, tiny_tokenizer))
    scope = token_entropy(scores, chosen).scope
    assert scope.label == "correct ones only among the first 2 draws of each problem"
    assert (scope.num_problems, scope.num_problems_without, scope.num_draws) == (2, 1, 1)


def test_no_draw_with_the_outcome_gives_no_number(tmp_path):
    chosen = select_draws(small_store(tmp_path / "s"), 2, outcome=Outcome.TIMEOUT)
    result = cross_perplexity([], chosen)
    assert math.isnan(result.perplexity)
    assert result.scope.num_problems_without == 2


def test_missing_draws_and_verdicts_are_named(tmp_path):
    store = small_store(tmp_path / "s", judged=False)
    with pytest.raises(StoreError, match="2 of the first 3 draws of each problem are missing, draw 2 of"):
        select_draws(store, 3)
    with pytest.raises(StoreError, match="4 of the first draws have no verdict"):
        select_draws(store, 2, outcome=Outcome.CORRECT, verifier_id="v")
    with pytest.raises(InputError, match="num_per_problem: 0"):
        select_draws(store, 0)


def test_prompts_are_those_of_the_arm(tmp_path, tiny_tokenizer):
    store = small_store(tmp_path / "s")
    for declared, expected in [({"template": "Q {question}"}, "Q "), ({"template": "{question}", "chat": "plain"}, "")]:
        store.arm = replace(store.arm, prompt=declared)
        prompt = scoring_prompts(store, tiny_tokenizer)[PROBLEMS[0].problem_id]
        assert prompt.content == expected + PROBLEMS[0].question
    store.arm = replace(store.arm, prompt={"template": "{question}", "system": None, "chat_template": "{{ messages }}"})
    with pytest.raises(RecipeError, match="needs a tokenizer with a chat template"):
        scoring_prompts(store, tiny_tokenizer)
    store.arm = replace(store.arm, prompt={})
    with pytest.raises(InputError, match="without a template"):
        scoring_prompts(store, tiny_tokenizer)


# Averages


def score(problem_id, index, num_tokens, sum_log_p, num_chars=10, entropy=1.0) -> TokenScores:
    return TokenScores(problem_id, index, num_tokens, num_chars, sum_log_p, entropy, 0, False, False, False)


def by_hand(scores, clusters) -> Selection:
    draws = tuple(Draw(one.problem_id, one.draw_index, "x", one.num_tokens, False, "by hand") for one in scores)
    return Selection(draws, clusters, num_first=2)


def test_averages_by_hand():
    scores = [
        score("a", 0, num_tokens=2, sum_log_p=-4.0, entropy=0.5),
        score("a", 1, num_tokens=6, sum_log_p=-6.0, num_chars=30, entropy=1.5),
        score("b", 0, num_tokens=1, sum_log_p=-0.5, num_chars=0, entropy=2.0),
    ]
    chosen = by_hand(scores, {"a": None, "b": None, "c": None})
    result, entropy = cross_perplexity(scores[::-1], chosen), token_entropy(scores, chosen)
    assert dict(zip(result.log_perplexity.problem_ids, result.log_perplexity.per_problem_P, strict=True)) == {
        "a": 1.5,  # the mean of 4/2 and 6/6
        "b": 0.5,
    }
    assert result.perplexity == pytest.approx(math.e)
    assert result.nats_per_char.per_problem_P.tolist() == [0.25]  # 10 nats over 40 characters; b has no text
    assert entropy.entropy.per_problem_P.tolist() == [1.25, 2.0]  # (2 * 0.5 + 6 * 1.5) / 8
    assert result.scope.num_problems_without == 1


def test_scores_of_other_draws_are_refused():
    scores = [score("a", 0, 2, -4.0), score("a", 1, 2, -4.0)]
    chosen = by_hand(scores, {"a": None})
    for wrong in (scores[:1], [*scores, scores[0]], [scores[0], score("a", 2, 2, -4.0)]):
        with pytest.raises(InputError, match="for 2 selected draws"):
            cross_perplexity(wrong, chosen)


def test_the_interval_resamples_families_and_is_seeded():
    values = {str(at): float(at % 5) for at in range(20)}
    single = problem_mean(values, {}, seed=3)
    pairs = problem_mean(values, {key: f"family {int(key) % 5}" for key in values}, seed=3)
    assert single.mean == pairs.mean == 2.0
    assert pairs.lo < single.lo < 2.0 < single.hi < pairs.hi
    assert (single.lo, single.hi) == (problem_mean(values, {}, seed=3).lo, problem_mean(values, {}, seed=3).hi)
    one_family = problem_mean(values, dict.fromkeys(values, "all"))
    assert one_family.mean == 2.0
    assert math.isnan(one_family.lo)
    assert math.isnan(one_family.hi)
    with pytest.raises(InputError, match="expected a value between 0 and 1"):
        problem_mean(values, {}, confidence=1.0)


@pytest.mark.parametrize(("num_problems", "at_least"), [(10, 0.89), (40, 0.91)])
def test_intervals_cover_the_mean_of_skewed_values(num_problems, at_least):
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(300):
        values = {str(at): value for at, value in enumerate(rng.gamma(2.0, 0.15, num_problems))}
        interval = problem_mean(values, {}, num_resamples=500, seed=seed)
        covered += interval.lo <= 0.3 <= interval.hi
    assert at_least <= covered / 300 <= 0.99


# Faults


@contextmanager
def forward_calls(model, limit=None, error=None):
    """Notes (rows, columns) of each forward pass; fails those with more than `limit` tokens."""
    shapes = []

    def note(_, args, kwargs):
        shapes.append(tuple(kwargs["input_ids"].shape))
        if limit is not None and math.prod(shapes[-1]) > limit:
            raise error or torch.OutOfMemoryError("CUDA out of memory")

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield shapes
    finally:
        handle.remove()


@pytest.mark.parametrize("limit", [500, 10])
def test_running_out_of_memory_halves_the_batch_and_loses_nothing(
    tiny_model, tiny_tokenizer, selection, prompts, caplog, limit
):
    some = selection.draws[::3]
    expected = keyed(score_draws(tiny_model, tiny_tokenizer, some, prompts))
    with forward_calls(tiny_model, limit) as shapes, caplog.at_level(logging.WARNING):
        scores = keyed(score_draws(tiny_model, tiny_tokenizer, some, prompts))
    assert "Out of memory with" in caplog.text
    assert math.prod(shapes[-1]) <= limit < math.prod(shapes[0])
    assert_scores_equal(scores, {key: (one.sum_log_p, one.mean_entropy) for key, one in expected.items()})


def test_too_little_memory_for_one_token_is_an_error(tiny_model, tiny_tokenizer, prompts):
    with forward_calls(tiny_model, limit=0), pytest.raises(EngineError, match="lower max_length"):
        one(tiny_model, tiny_tokenizer, draw("1+2"), prompts)


def test_other_errors_of_the_model_are_not_swallowed(tiny_model, tiny_tokenizer, prompts):
    with forward_calls(tiny_model, limit=0, error=RuntimeError("shapes differ")), pytest.raises(RuntimeError) as seen:
        one(tiny_model, tiny_tokenizer, draw("1+2"), prompts)
    assert not isinstance(seen.value, EngineError)


def test_weights_that_are_no_numbers_are_an_error_and_not_a_score(tiny_model, tiny_tokenizer, prompts):
    broken = copy.deepcopy(tiny_model)
    torch.nn.init.constant_(broken.model.norm.weight, math.nan)
    with pytest.raises(EngineError, match="draw 0: log probability nan"):
        one(broken, tiny_tokenizer, draw("1+2"), prompts)


def test_wrong_input_is_refused(tiny_model, tiny_tokenizer, prompts):
    with pytest.raises(InputError, match="no prompt, or one without tokens"):
        one(tiny_model, tiny_tokenizer, draw("1"), {})
    with pytest.raises(InputError, match="max_tokens_per_batch: 0"):
        one(tiny_model, tiny_tokenizer, draw("1"), prompts, max_tokens_per_batch=0)
    training = copy.deepcopy(tiny_model).train()
    with pytest.raises(InputError, match="training mode"):
        one(training, tiny_tokenizer, draw("1"), prompts)
    assert list(score_draws(tiny_model, tiny_tokenizer, [], prompts)) == []
