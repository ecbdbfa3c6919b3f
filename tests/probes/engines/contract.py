"""What every engine must do, as one suite: a test file per engine subclasses `EngineContract`.

The reference is the model itself: exact probabilities of whole completions, from one forward pass of transformers.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from scipy.stats import binomtest

from probes.engines import Engine, Request
from probes.store.arm import Arm, Sampling, arm_of
from probes.store.draws import Draw
from rlvr.problems.countdown import countdown_problems
from rlvr.problems.prompts import PromptFormat

# Three and four numbers: prompts of different lengths.
PROBLEMS = [
    *countdown_problems("probe", num=2),
    *countdown_problems("probe", num=2, num_numbers=4),
]
MAX_NEW_TOKENS = 12
FIVE_SIGMA = 5.7e-7  # of a two-sided test


@dataclass(frozen=True)
class Subject:
    """An engine and the model that it samples from.

    Attributes:
        engine: under test, of the arm that `contract_arm` returns.
        model: the same weights in transformers, in evaluation mode.
        tokenizer: its tokenizer.
    """

    engine: Engine
    model: Any
    tokenizer: Any


def contract_arm(model: Any, tokenizer: Any) -> Arm:
    """The arm that all engines are tested on: temperature 1, no filter, 12 tokens."""
    return arm_of(model, tokenizer, PromptFormat(), Sampling(max_new_tokens=MAX_NEW_TOKENS))


def request_for(tokenizer: Any, problem: int, indices: Sequence[int]) -> Request:
    chosen = PROBLEMS[problem]
    return Request(chosen.problem_id, PromptFormat().prompt(chosen, tokenizer), tuple(indices))


def sampled(subject: Subject, *requests: Request) -> dict[tuple[str, int], Draw]:
    """All draws by problem and index; a draw delivered twice fails."""
    draws = [draw for batch in subject.engine.sample(requests) for draw in batch]
    keyed = {(draw.problem_id, draw.draw_index): draw for draw in draws}
    assert len(keyed) == len(draws), "a draw was delivered twice"
    return keyed


def texts_of(subject: Subject, problem: int, indices: Sequence[int]) -> list[str]:
    draws = sampled(subject, request_for(subject.tokenizer, problem, indices))
    return [draw.completion for _, draw in sorted(draws.items(), key=lambda item: item[0][1])]


def spelled(subject: Subject, text: str) -> list[int]:
    """The tokens of a completion that is `text` and then ends."""
    return [*subject.tokenizer(text, add_special_tokens=False)["input_ids"], subject.tokenizer.eos_token_id]


def exact_probability(subject: Subject, prompt: Sequence[int], text: str) -> float:
    """The model's probability of `text` and then the end, given the prompt."""
    ids = spelled(subject, text)
    with torch.inference_mode():
        logits = subject.model(torch.tensor([[*prompt, *ids]])).logits[0].float()
    steps = torch.log_softmax(logits[len(prompt) - 1 : -1], -1)
    return math.exp(sum(steps[at, token].item() for at, token in enumerate(ids)))


def finished_texts(subject: Subject, draws: Sequence[Draw]) -> Counter[str]:
    """How often each completion came whose tokens are those that spell it, and that ended by itself."""
    plain = (draw for draw in draws if draw.num_tokens == len(spelled(subject, draw.completion)))
    return Counter(draw.completion for draw in plain if not draw.truncated)


class EngineContract:
    """Subclass, and give a fixture `subject` that returns a `Subject`."""

    num_draws = 1200

    @pytest.fixture
    def subject(self) -> Subject:
        raise NotImplementedError

    def test_each_draw_that_was_asked_for_comes_once(self, subject):
        asked = [
            request_for(subject.tokenizer, 0, range(5)),
            request_for(subject.tokenizer, 2, [1, 4, 5, 9]),
            request_for(subject.tokenizer, 3, [7]),
        ]
        expected = {(request.problem_id, index) for request in asked for index in request.draw_indices}
        draws = sampled(subject, *asked)
        assert set(draws) == expected
        assert {draw.engine for draw in draws.values()} == {subject.engine.name}

    def test_no_request_gives_no_draw(self, subject):
        assert sampled(subject) == {}

    def test_completions_have_the_models_probabilities(self, subject):
        """The most frequent completions of each problem come as often as the exact probability says.

        At the level of 5 standard errors, by the exact test. The first half of the draws says which completions are
        frequent, the second half is tested: of the same draws, a text that came twice by chance would be chosen and
        fail. A draw with a special token inside, which decoding hides, is another completion of the same text.
        """
        half = self.num_draws // 2
        asked = [request_for(subject.tokenizer, problem, range(2 * half)) for problem in range(len(PROBLEMS))]
        draws = sampled(subject, *asked)
        for request in asked:
            own = [draws[request.problem_id, index] for index in request.draw_indices]
            choosing, tested = (finished_texts(subject, part) for part in (own[:half], own[half:]))
            for text, _ in choosing.most_common(4):
                p = exact_probability(subject, request.prompt.token_ids, text)
                assert binomtest(tested[text], half, p).pvalue > FIVE_SIGMA, text

    def test_no_chunk_repeats_another(self, subject):
        """Draws asked for later, or of another problem, are new: they agree in place no more often than by chance."""
        first, second = texts_of(subject, 0, range(128)), texts_of(subject, 0, range(128, 256))
        other = texts_of(subject, 1, range(128))
        shares = Counter(first + second)
        by_chance = sum((times / 256) ** 2 for times in shares.values())
        for chunk in (second, other, second[1:], second[2:]):
            equal = sum(a == b for a, b in zip(first, chunk, strict=False)) / len(chunk)
            assert equal <= by_chance + 5 * math.sqrt(by_chance * (1 - by_chance) / len(chunk)) + 1 / len(chunk)
        assert len(set(first)) > 5

    def test_stop_rule_truncation_and_token_counts(self, subject):
        draws = sampled(subject, request_for(subject.tokenizer, 0, range(256))).values()
        assert any(draw.truncated for draw in draws)
        assert any(not draw.truncated for draw in draws)
        for draw in draws:
            assert subject.tokenizer.eos_token not in draw.completion
            tokens = len(subject.tokenizer(draw.completion, add_special_tokens=False)["input_ids"])
            at_least = tokens + (not draw.truncated)  # the stop token counts; other special tokens may be hidden
            assert draw.num_tokens >= at_least
            assert draw.num_tokens <= MAX_NEW_TOKENS
            assert draw.num_tokens == MAX_NEW_TOKENS or not draw.truncated
        exact = sum(
            draw.num_tokens
            == len(subject.tokenizer(draw.completion, add_special_tokens=False)["input_ids"]) + (not draw.truncated)
            for draw in draws
        )
        assert exact >= 0.5 * len(draws)
