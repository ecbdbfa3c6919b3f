"""Stored draws under a model: one real, batched forward pass over their tokens.

    scoring_prompts  the problems as the scoring model reads them
    score_draws      log probability and entropy along each draw -> TokenScores

Owns: turning stored text into tokens again, the forward pass, and giving way when memory runs out.
Does not own: which draws are scored and what is averaged (`probes.scoring.perplexity`), loading models
(`rlvr.models.loading`).

Everything is taken from the model's own distribution: temperature 1, no top-k or top-p, whatever the draws were sampled
with.

What is scored is text. A store keeps no tokens, so completions are tokenised again, by the scoring model's tokenizer.
Tokens that were sampled and spell the same text in another way, or special tokens that leave no text, are not
reproduced; such draws are marked. A completion that was not truncated ends with a stop token, which is scored as the
event "any stop token of the scoring model".
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.errors import EngineError, InputError
from rlvr.models.decoder import first_line, forward_arguments, has_plain_cache, is_out_of_memory
from rlvr.problems.prompts import Prompt, PromptFormat, eos_token_ids

MAX_TOKENS_PER_BATCH = 8192
LOGIT_CELLS = 2**27  # positions x vocabulary of one forward pass: 0.5 GiB in float32, twice between two passes
SOFTMAX_CELLS = 2**22  # positions x vocabulary that are normalised at a time, in several float32 copies

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TokenScores:
    """One draw under the scoring model.

    Attributes:
        problem_id: of the draw.
        draw_index: of the draw.
        num_tokens: tokens scored, in the scoring model's tokens, the stop token included.
        num_chars: characters of the completion that these tokens cover.
        sum_log_p: log probability of these tokens, in nats.
        mean_entropy: of the next-token distribution over the scored positions, in nats; NaN without tokens.
        num_cut: tokens beyond the model's length, which are not scored.
        truncated: the draw ended at its token limit, so no stop token is scored.
        is_respelled: the number of tokens differs from that of the draw, as it does under another tokenizer.
        is_altered: the tokenizer cannot spell the text exactly, for example for want of a character.
    """

    problem_id: str
    draw_index: int
    num_tokens: int
    num_chars: int
    sum_log_p: float
    mean_entropy: float
    num_cut: int
    truncated: bool
    is_respelled: bool
    is_altered: bool


@dataclass(frozen=True, slots=True)
class _Tokenized:
    """A draw as tokens; the last target is never an input, so a stop token needs no id of its own.

    Attributes:
        draw: that is scored.
        prompt: its tokens.
        target: tokens to score.
        has_stop: the last target is "any stop token".
        num_chars: as in `TokenScores`, like the next three.
        num_cut: see there.
        is_respelled: see there.
        is_altered: see there.
    """

    draw: Draw
    prompt: tuple[int, ...]
    target: tuple[int, ...]
    has_stop: bool
    num_chars: int
    num_cut: int
    is_respelled: bool
    is_altered: bool

    @property
    def num_inputs(self) -> int:
        """Tokens that the model reads."""
        return len(self.prompt) + len(self.target) - 1

    def scored(self, sum_log_p: float, sum_entropy: float) -> TokenScores:
        """Returns the scores of the draw."""
        num_tokens = len(self.target)
        return TokenScores(
            problem_id=self.draw.problem_id,
            draw_index=self.draw.draw_index,
            num_tokens=num_tokens,
            num_chars=self.num_chars,
            sum_log_p=sum_log_p,
            mean_entropy=sum_entropy / num_tokens if num_tokens else math.nan,
            num_cut=self.num_cut,
            truncated=self.draw.truncated,
            is_respelled=self.is_respelled,
            is_altered=self.is_altered,
        )


def scoring_prompts(store: ProbeStore, tokenizer: Any, prompt_format: PromptFormat | None = None) -> dict[str, Prompt]:
    """Returns the store's problems as the scoring model reads them, by problem id.

    Args:
        store: of the arm whose draws are scored.
        tokenizer: of the scoring model.
        prompt_format: of the scoring model; None takes the arm's, chat where the arm's prompts were chat.

    Raises:
        RecipeError: the arm's prompts were chat and the tokenizer has no chat template.
        InputError: the arm does not say how it was asked.
    """
    problems = store.problems()
    if prompt_format is None:
        prompt_format = _format_of(store.arm.prompt)
    return {problem.problem_id: prompt_format.prompt(problem, tokenizer) for problem in problems}


def _format_of(prompt: Mapping[str, Any]) -> PromptFormat:
    """Returns the prompt format of an arm; a declared arm says `chat`, others have a chat template or none."""
    if "template" not in prompt:
        raise InputError(f"prompt: the arm declares {dict(prompt)}, without a template; give prompt_format.")
    chat = prompt.get("chat") or ("plain" if prompt.get("chat_template") is None else "chat")
    return PromptFormat(prompt["template"], prompt.get("system"), chat)


def score_draws(
    model: Any,
    tokenizer: Any,
    draws: Sequence[Draw],
    prompts: Mapping[str, Prompt],
    *,
    max_tokens_per_batch: int = MAX_TOKENS_PER_BATCH,
    max_length: int | None = None,
    stop_token_ids: Sequence[int] | None = None,
) -> Iterator[TokenScores]:
    """Yields the scores of each draw exactly once: those without a token to score, then the others, longest first.

    Rows are padded on the right, where a causal model never looks, so a score does not depend on the rest of its batch
    (up to rounding). Logits are in the model's dtype, log-softmax and entropy in float32, sums in float64. Whenever
    memory runs out, a batch gets half as many tokens.

    Args:
        model: causal, in evaluation mode, on its device; with or without LoRA.
        tokenizer: of this model, which may be another than that of the arm.
        draws: of any arm.
        prompts: by problem id, in this model's tokens and prompt format, see `scoring_prompts`.
        max_tokens_per_batch: padding included; a longer sequence goes in several parts where the model's cache allows.
        max_length: longest input, in tokens; None takes the model's own limit. What lies beyond is not scored, and
            counted.
        stop_token_ids: any of them ends a completion: their probabilities are added up. None takes the tokenizer's
            and all that the model declares; an empty list scores no stop token.

    Raises:
        InputError: a prompt is missing or empty, a limit is below 1, or the model is in training mode.
        EngineError: the memory does not suffice for one sequence, or a probability is not a number.
    """
    if model.training:
        raise InputError("score_draws: the model is in training mode, dropout would be random; call model.eval().")
    for name, limit in (("max_tokens_per_batch", max_tokens_per_batch), ("max_length", max_length)):
        if limit is not None and limit < 1:
            raise InputError(f"{name}: {limit} is too small; expected at least 1.")
    _check_prompts(draws, prompts)
    stop_ids = eos_token_ids(tokenizer, model.generation_config) if stop_token_ids is None else tuple(stop_token_ids)
    sequences = _tokenize(tokenizer, draws, prompts, stop_ids, max_length or _model_length(model))
    yield from (sequence.scored(0.0, 0.0) for sequence in sequences if not sequence.target)
    waiting = sorted((one for one in sequences if one.target), key=lambda one: -one.num_inputs)
    yield from _Scorer(model, stop_ids, max_tokens_per_batch).score(waiting)


def _check_prompts(draws: Sequence[Draw], prompts: Mapping[str, Prompt]) -> None:
    """Raises unless each draw has a prompt with tokens."""
    for problem_id in dict.fromkeys(draw.problem_id for draw in draws):
        if problem_id not in prompts or not prompts[problem_id].token_ids:
            raise InputError(
                f"{problem_id}: no prompt, or one without tokens; render the store's problems with the scoring "
                "model's tokenizer (scoring_prompts)."
            )


def _model_length(model: Any) -> int | None:
    """Returns how many positions the model knows, None where it does not say."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def _tokenize(
    tokenizer: Any, draws: Sequence[Draw], prompts: Mapping[str, Prompt], stop_ids: tuple[int, ...], limit: int | None
) -> list[_Tokenized]:
    """Returns the draws as tokens, cut where the model's inputs would exceed the limit."""
    texts = [draw.completion for draw in draws]
    if not texts:
        return []
    # Engines leave special tokens out of the text: what looks like one was spelled in ordinary tokens.
    ids = tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    spelled = tokenizer.batch_decode(ids, clean_up_tokenization_spaces=False)
    tokenized = []
    for draw, text_ids, again in zip(draws, ids, spelled, strict=True):
        prompt, has_stop = prompts[draw.problem_id].token_ids, bool(stop_ids) and not draw.truncated
        whole = (*text_ids, *stop_ids[:1]) if has_stop else tuple(text_ids)
        target = whole if limit is None else whole[: max(0, limit + 1 - len(prompt))]
        num_cut = len(whole) - len(target)
        num_chars = len(tokenizer.decode(target)) if num_cut else len(draw.completion)
        is_respelled = len(text_ids) + (not draw.truncated) != draw.num_tokens
        flags = has_stop and not num_cut, num_chars, num_cut, is_respelled, again != draw.completion
        tokenized.append(_Tokenized(draw, prompt, target, *flags))
    return tokenized


class _Scorer:
    """Scores sequences batch by batch, longest first, so that neighbours need little padding.

    A batch of few, long sequences is read in parts of some columns, with the keys and values kept between them, so
    that positions x vocabulary stays bounded. Models whose cache is not plain full attention read a batch at once.
    """

    def __init__(self, model: Any, stop_ids: tuple[int, ...], max_tokens: int) -> None:
        self.model = model
        self.stop_ids = stop_ids
        self.accepted = forward_arguments(model)
        self.in_parts = "past_key_values" in self.accepted and has_plain_cache(model.config)
        self.max_logits = max(1, LOGIT_CELLS // model.config.get_text_config().vocab_size)
        self.max_tokens = max_tokens if self.in_parts else min(max_tokens, self.max_logits)

    def score(self, waiting: Sequence[_Tokenized]) -> Iterator[TokenScores]:
        """Yields the scores of sequences that are sorted by length, longest first."""
        start = 0
        while start < len(waiting):
            num_rows = max(1, min(self.max_tokens // waiting[start].num_inputs, self.max_logits))
            batch = waiting[start : start + num_rows]
            try:
                scores = self._score_batch(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._back_off(batch, error)
                continue
            yield from scores
            start += len(batch)

    def _back_off(self, batch: Sequence[_Tokenized], error: Exception) -> None:
        """Halves the tokens of a batch, or gives up."""
        num_tokens = min(self.max_tokens, len(batch) * batch[0].num_inputs)
        if num_tokens == 1 or (len(batch) == 1 and not self.in_parts):
            raise EngineError(
                f"out of memory with a sequence of {batch[0].num_inputs} tokens ({first_line(error)}); lower "
                "max_length, load the model in bfloat16, or use a device with more free memory."
            ) from error
        self.max_tokens = num_tokens // 2
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()
        logger.warning("Out of memory with %d tokens at once; going on with at most %d.", num_tokens, self.max_tokens)

    @torch.inference_mode()
    def _score_batch(self, batch: Sequence[_Tokenized]) -> list[TokenScores]:
        """Returns the scores of a batch, read from left to right."""
        is_target_BT, next_BT = self._targets(batch)
        sums_B2 = np.zeros((len(batch), 2))
        for columns, logits_BTV in self._logits(batch):
            where_N2 = is_target_BT[:, columns].nonzero()
            for part_N2 in torch.split(where_N2, max(1, SOFTMAX_CELLS // logits_BTV.shape[-1])):
                rows, at = part_N2.unbind(-1)
                values_2N = token_statistics(logits_BTV[rows, at], next_BT[:, columns][rows, at], self.stop_ids)
                np.add.at(sums_B2, rows.cpu().numpy(), torch.stack(values_2N, -1).cpu().double().numpy())
        return [_checked(one, *sums.tolist()) for one, sums in zip(batch, sums_B2, strict=True)]

    def _targets(self, batch: Sequence[_Tokenized]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns which columns are followed by a target, and the target: a token, or -1 for any stop token."""
        shape = len(batch), batch[0].num_inputs
        is_target_BT, next_BT = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.long)
        for row, one in enumerate(batch):
            columns = slice(len(one.prompt) - 1, one.num_inputs)
            is_target_BT[row, columns] = True
            next_BT[row, columns] = torch.tensor([*one.target[:-1], -1 if one.has_stop else one.target[-1]])
        return is_target_BT.to(self.model.device), next_BT.to(self.model.device)

    def _logits(self, batch: Sequence[_Tokenized]) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yields stretches of columns with their logits, from the first column that some row needs."""
        longest, first = batch[0].num_inputs, min(len(one.prompt) for one in batch) - 1
        padded = [[*one.prompt, *one.target[:-1], *([0] * (longest - one.num_inputs))] for one in batch]
        token_ids = torch.tensor(padded, device=self.model.device)
        width = max(1, min(self.max_tokens, self.max_logits) // len(batch)) if self.in_parts else longest
        is_whole = width >= longest
        inputs: dict[str, Any] = {} if is_whole else {"past_key_values": DynamicCache(config=self.model.config)}
        for start in range(0, longest, width):
            stop = min(start + width, longest)
            keep = max(1, stop - max(start, first))
            known = {name: value for name, value in inputs.items() if name in self.accepted}
            if "logits_to_keep" in self.accepted:
                known["logits_to_keep"] = keep
            logits = self.model(input_ids=token_ids[:, start:stop], use_cache=not is_whole, **known).logits
            yield slice(stop - keep, stop), logits[:, -keep:]


def token_statistics(
    logits_NV: torch.Tensor, target_N: torch.Tensor, stop_ids: Sequence[int] = ()
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns log probability of the targets and entropy of the distributions, in nats.

    Shapes:
        logits_NV: (N, V), any float dtype; minus infinity where a token is not allowed
        target_N: (N,) int64, a token, or -1 for any of `stop_ids`
        result: two (N,) float32
    """
    log_p_NV = torch.log_softmax(logits_NV.float(), dim=-1)
    log_p_N = log_p_NV.gather(-1, target_N.clamp(min=0)[:, None])[:, 0]
    if stop_ids:
        log_p_N = torch.where(target_N < 0, log_p_NV[:, list(stop_ids)].logsumexp(-1), log_p_N)
    p_NV = log_p_NV.exp()
    finite_NV = log_p_NV.clamp_(min=torch.finfo(torch.float32).min)  # 0 log 0 = 0
    return log_p_N, -p_NV.mul_(finite_NV).sum(-1)


def _checked(sequence: _Tokenized, sum_log_p: float, sum_entropy: float) -> TokenScores:
    """Returns the scores, unless they are no numbers."""
    if not (math.isfinite(sum_log_p) and math.isfinite(sum_entropy)):
        raise EngineError(
            f"{sequence.draw.problem_id}, draw {sequence.draw.draw_index}: log probability {sum_log_p}, entropy sum "
            f"{sum_entropy}; expected finite numbers. Load the model in float32 or bfloat16, and check its weights."
        )
    return sequence.scored(sum_log_p, sum_entropy)
