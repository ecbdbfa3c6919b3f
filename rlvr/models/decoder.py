"""Decoding: prompts in, completions out, as tokens, from a transformers model in this process.

Owns: which rows are decoded together, reading prompts, the choice of tokens, and giving way when memory runs out.
Does not own: the rows themselves (`rlvr.models.batch`); the random numbers, which the caller gives; the model, which
the caller loads, unwraps and puts into evaluation mode.
"""

import inspect
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from rlvr.errors import EngineError
from rlvr.models.batch import Batch, Completion, DecodeRequest, Prefix, RowCache, SharedCache, SingleCache

MAX_ROWS = 512
CPU_BUDGET_BYTES = 2 * 2**30
GPU_BUDGET_SHARE = 0.5  # of the memory that is free when decoding starts
REFRESH_SHARE = 0.125  # finished rows make room when they are this share of the batch: until then they cost less
GROWTH_SHARE = 0.25  # a batch is made larger when it grows by this share: that copies the cache
PREFILL_TOKENS = 8192  # of one forward pass over prompts, padding included
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")

logger = logging.getLogger(__name__)


class SamplingParameters(Protocol):
    """How a token is chosen, and how many a completion has at most."""

    @property
    def temperature(self) -> float:
        """What logits are divided by; 0 takes the most likely token."""

    @property
    def top_p(self) -> float:
        """Probability mass that stays allowed; 1 is all."""

    @property
    def top_k(self) -> int:
        """Tokens that stay allowed; 0 is all."""

    @property
    def max_new_tokens(self) -> int:
        """Tokens of a completion at most, a stop token included."""


Uniforms = Callable[[str, Sequence[int]], torch.Tensor]


@dataclass
class Pending:
    """What is left of a request; `prefix` is kept while its completions do not fit all at once."""

    request: DecodeRequest
    completion_indices: tuple[int, ...]
    prefix: Prefix | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens of the prompt."""
        return len(self.request.token_ids)


Taken = tuple[Pending, tuple[int, ...]]


class Queue:
    """Completions that wait for a row, those of the longest prompts first, so that neighbours need little padding."""

    def __init__(self, requests: Sequence[DecodeRequest]) -> None:
        waiting = [Pending(request, request.completion_indices) for request in requests if request.completion_indices]
        self.waiting = deque(sorted(waiting, key=lambda pending: -pending.num_tokens))
        self.num_completions = sum(len(pending.completion_indices) for pending in waiting)

    @property
    def num_first(self) -> int:
        """Waiting completions of the first prompt."""
        return len(self.waiting[0].completion_indices) if self.waiting else 0

    def longest_prompt(self) -> int:
        """Returns the tokens of the first prompt, which is the longest."""
        return self.waiting[0].num_tokens

    def take(self, num_completions: int) -> list[Taken]:
        """Removes and returns the first completions, by request."""
        taken: list[Taken] = []
        self.num_completions -= num_completions
        while num_completions:
            first = self.waiting[0]
            taken.append((first, first.completion_indices[:num_completions]))
            num_completions -= len(taken[-1][1])
            first.completion_indices = first.completion_indices[len(taken[-1][1]) :]
            if not first.completion_indices:
                self.waiting.popleft()
        return taken


class Decoder:
    """Decodes completions from a causal language model of transformers.

    The batch mixes completions of many prompts and stays full: when an eighth of its rows have finished, waiting ones
    take their place. A prompt is read once, for all its completions. Models whose cache is not plain full attention
    (sliding windows, linear attention) decode one prompt at a time, and finished rows are dropped.

    A token is decided by the completion's own random number. Which rows share a batch can change the last bits of the
    probabilities, and so, rarely, a completion; it is then another one of the same distribution.

    Args:
        model: in evaluation mode, on its device.
        sampling: how tokens are chosen.
        stop_token_ids: tokens that end a completion.
        max_rows: upper bound of rows in one forward pass; halved whenever memory runs out.

    Raises:
        EngineError: the model keeps no keys and values that could be reused.
    """

    def __init__(
        self, model: Any, sampling: SamplingParameters, stop_token_ids: Sequence[int], max_rows: int = MAX_ROWS
    ) -> None:
        self.model = model
        self.limit = sampling.max_new_tokens
        self.max_rows = max_rows
        self.budget_bytes = CPU_BUDGET_BYTES
        self.warpers = make_warpers(sampling)
        self.stop = torch.tensor(stop_token_ids, dtype=torch.long, device=model.device)
        self.accepted = forward_arguments(model)
        self.mixes = has_plain_cache(model.config)
        if "past_key_values" not in self.accepted:
            raise EngineError(
                f"{type(model).__name__} takes no past_key_values, which this engine needs; use another engine."
            )

    def decode(self, requests: Sequence[DecodeRequest], uniforms: Uniforms) -> Iterator[list[Completion]]:
        """Yields finished completions, of any requests, whenever rows make room for others.

        Args:
            requests: no two of the same completion.
            uniforms: returns the random numbers in [0, 1) that decide some completions of a prompt, (indices,
                max_new_tokens) float64. It is asked when these get a row, and once more if memory runs out.

        Raises:
            EngineError: the memory does not suffice for one row.
        """
        owed = {(request.prompt_id, index) for request in requests for index in request.completion_indices}
        batch: Batch | None = None
        while owed:
            if batch is None:
                batch, queue = self._empty_batch(), Queue(still_owed(requests, owed))
            try:
                finished = self._advance(batch, queue, uniforms)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._back_off(len(batch), error)
                finished, batch = [], None
            if finished:
                owed.difference_update((one.prompt_id, one.completion_index) for one in finished)
                yield finished

    def _back_off(self, rows: int, error: Exception) -> None:
        """Halves the number of rows that did not fit, or gives up."""
        if rows <= 1:
            raise EngineError(
                f"out of memory with a single row ({first_line(error)}); lower max_new_tokens, load the model in "
                "bfloat16, or use a device with more free memory."
            ) from error
        self.max_rows = rows // 2
        logger.warning("Out of memory with %d rows at once; going on with at most %d.", rows, self.max_rows)

    def _empty_batch(self) -> Batch:
        """Returns a batch without rows, and notes how much memory its rows may take."""
        device = self.model.device
        if device.type == "cuda":
            torch.cuda.empty_cache()  # what earlier batches left, which is free but does not count as such
            self.budget_bytes = int(GPU_BUDGET_SHARE * torch.cuda.mem_get_info(device)[0])
        cache: RowCache = SharedCache(self.model.config, self.limit, device) if self.mixes else SingleCache()
        return Batch(cache, self.limit, device)

    @torch.inference_mode()
    def _advance(self, batch: Batch, queue: Queue, uniforms: Uniforms) -> list[Completion]:
        """Decodes one token per row; before that, where it is due, returns finished rows and refills the batch."""
        finished: list[Completion] = []
        if batch.num_alive <= (1 - REFRESH_SHARE) * len(batch) or batch.cache.is_full:
            finished = batch.take_finished()
            self._refill(batch, queue, uniforms)
        if batch.num_alive:
            output = self._forward(batch.last_tokens(), **batch.cache.model_inputs())
            self._append(batch, batch.all_rows, output.logits[:, -1])
        return finished

    def _refill(self, batch: Batch, queue: Queue, uniforms: Uniforms) -> None:
        """Drops finished rows and admits waiting completions, as many as fit."""
        waiting = queue.num_completions if self.mixes else 0 if batch.num_alive else queue.num_first
        longest = max(batch.longest_prompt(), queue.longest_prompt() if waiting else 0)
        num_rows = max(batch.num_alive, min(self._rows_that_fit(longest), batch.num_alive + waiting))
        is_size_kept = len(batch) <= num_rows < (1 + GROWTH_SHARE) * len(batch)
        if not is_size_kept or batch.cache.is_full:
            batch.resize(num_rows, longest)
        free = batch.free_rows()
        self._admit(batch, free, queue.take(len(free)), uniforms)

    def _admit(self, batch: Batch, rows: torch.Tensor, taken: Sequence[Taken], uniforms: Uniforms) -> None:
        """Starts the taken completions in as many free rows, and picks their first tokens."""
        self._read([pending for pending, _ in taken if pending.prefix is None])
        parts: Sequence[torch.Tensor] = torch.split(rows, [len(indices) for _, indices in taken])
        logits = []
        for part, (pending, indices) in zip(parts, taken, strict=True):
            request, prefix = pending.request, pending.prefix
            assert prefix is not None
            random_BT = uniforms(request.prompt_id, indices).to(rows.device)
            batch.place(part, request, indices, random_BT, prefix)
            logits.append(prefix.logits.expand(len(indices), -1))
        batch.cache.settle()
        if logits:
            self._append(batch, rows, torch.cat(logits))

    def _append(self, batch: Batch, rows: torch.Tensor, logits_BV: torch.Tensor) -> None:
        """Picks the next token of some rows."""
        logits_BV = self.warpers(None, logits_BV.to(rows.device, torch.float32))
        batch.append(rows, pick(logits_BV, batch.next_uniform(rows)), self.stop)

    def _read(self, unread: Sequence[Pending]) -> None:
        """Reads prompts, several at a time, padded on the left, and notes their prefixes."""
        for group in prompt_groups(unread):
            longest = max(pending.num_tokens for pending in group)
            padding = torch.tensor([longest - pending.num_tokens for pending in group], device=self.model.device)
            prompts = [[0] * (longest - pending.num_tokens) + list(pending.request.token_ids) for pending in group]
            inputs: dict[str, Any] = {"past_key_values": DynamicCache(config=self.model.config), "logits_to_keep": 1}
            if padding.any():
                columns = torch.arange(longest, device=self.model.device)
                inputs["attention_mask"] = (columns >= padding[:, None]).long()
                inputs["position_ids"] = (columns - padding[:, None]).clamp(min=0)
            output = self._forward(torch.tensor(prompts, device=self.model.device), **inputs)
            for row, pending in enumerate(group):
                pending.prefix = Prefix(output.past_key_values, row, pending.num_tokens, output.logits[row, -1])

    def _forward(self, token_ids: torch.Tensor, **inputs: Any) -> Any:
        """Runs the model with those of the inputs that it knows."""
        known = {name: value for name, value in inputs.items() if name in self.accepted}
        return self.model(input_ids=token_ids, use_cache=True, **known)

    def _rows_that_fit(self, prompt_tokens: int) -> int:
        """Returns how many rows the memory budget allows: cache and, four times over, float32 logits."""
        config = self.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        tokens = prompt_tokens + self.limit
        cache = 2 * config.num_hidden_layers * heads * head_dim * tokens * self.model.dtype.itemsize
        row = 2 * cache + 4 * 4 * config.vocab_size  # spare columns, and copies of single layers
        return max(1, min(self.max_rows, self.budget_bytes // int(row)))


def forward_arguments(model: Any) -> frozenset[str]:
    """Returns the names of the arguments of a model's `forward`, under a LoRA wrapper too."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return frozenset(inspect.signature(type(inner).forward).parameters)


def has_plain_cache(config: Any) -> bool:
    """Returns whether all layers of a model keep all keys and values, and nothing else."""
    types = getattr(config.get_text_config(), "layer_types", None) or ["full_attention"]
    layers = DynamicCache(config=config).layers
    return set(types) == {"full_attention"} and all(type(layer) is DynamicLayer for layer in layers)


def prompt_groups(unread: Sequence[Pending]) -> list[list[Pending]]:
    """Returns prompts, longest first, cut so that a group has no more than PREFILL_TOKENS, padding included."""
    groups: list[list[Pending]] = []
    for pending in unread:
        if groups and (len(groups[-1]) + 1) * groups[-1][0].num_tokens <= PREFILL_TOKENS:
            groups[-1].append(pending)
        else:
            groups.append([pending])
    return groups


def still_owed(requests: Sequence[DecodeRequest], owed: Collection[tuple[str, int]]) -> list[DecodeRequest]:
    """Returns the requests without the completions that are not owed."""
    return [
        replace(
            request,
            completion_indices=tuple(at for at in request.completion_indices if (request.prompt_id, at) in owed),
        )
        for request in requests
    ]


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether torch or Python could not get memory; torch's CPU allocator says so in words only."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in str(error).lower() for words in OUT_OF_MEMORY
    )


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def make_warpers(sampling: SamplingParameters) -> LogitsProcessorList:
    """Returns transformers' own temperature, top-k and top-p filters, in the order of `generate`."""
    warpers = LogitsProcessorList()
    if sampling.temperature not in (0.0, 1.0):
        warpers.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.temperature == 0.0:
        warpers.append(TopKLogitsWarper(top_k=1))
    elif sampling.top_k > 0:
        warpers.append(TopKLogitsWarper(top_k=sampling.top_k))
    if 0.0 < sampling.top_p < 1.0:
        warpers.append(TopPLogitsWarper(top_p=sampling.top_p))
    return warpers


def pick(logits_BV: torch.Tensor, uniform_B: torch.Tensor) -> torch.Tensor:
    """Returns one token per row by inverting the cumulative distribution at the row's uniform number.

    Shapes:
        logits_BV: (B, V) float32, minus infinity where a token is not allowed
        uniform_B: (B,) float64 in [0, 1)
        result: (B,) int64

    A token of probability zero is never picked: the first cumulative sum above the threshold has grown there.
    """
    cumulative_BV = torch.softmax(logits_BV, dim=-1).double().cumsum(-1)
    threshold_B = uniform_B * cumulative_BV[:, -1]
    picked = torch.searchsorted(cumulative_BV, threshold_B[:, None], right=True)[:, 0]
    return picked.clamp(max=logits_BV.shape[-1] - 1)
