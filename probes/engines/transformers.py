"""The default engine: a transformers model in this process.

Owns: decoding with a shared prefill, rows dropped when they finish, chunks that fit the memory.
Does not own: the model, which the caller loads, unwraps and puts into evaluation mode.

One problem at a time: its prompt is read once, the cache is repeated for all its draws, and finished rows leave the
batch. No row is padded, so positions and masks are plain.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from probes.arm import Arm, Sampling
from probes.engines import Request, uniforms
from probes.store import Draw

MAX_ROWS = 512
CPU_BUDGET_BYTES = 2 * 2**30
GPU_BUDGET_SHARE = 0.5  # of the memory that is free when a request starts
DROP_SHARE = 0.125  # finished rows leave when they are this share of the batch: dropping copies the cache


class TransformersEngine:
    """Samples from a causal language model of transformers.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: to decode completions.
        arm: whose sampling parameters, stop tokens and id are used.
        max_rows: upper bound of rows in one forward pass.
    """

    name = "transformers"

    def __init__(self, model: Any, tokenizer: Any, arm: Arm, max_rows: int = MAX_ROWS) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.arm = arm
        self.max_rows = max_rows
        self.warpers = make_warpers(arm.sampling)
        self.stop = torch.tensor(arm.stop_token_ids, device=model.device)

    def sample(self, requests: Iterable[Request]) -> Iterator[Sequence[Draw]]:
        """Yields the draws of each request, in chunks that fit the memory."""
        for request in requests:
            todo = request.draw_indices
            while todo:
                rows = self._rows_that_fit(len(request.prompt_token_ids))
                chunk, todo = todo[:rows], todo[rows:]
                yield self._draw(request, chunk)

    def _rows_that_fit(self, prompt_tokens: int) -> int:
        """Returns how many rows the memory budget allows: cache and, four times over, float32 logits."""
        config = self.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        tokens = prompt_tokens + self.arm.sampling.max_new_tokens
        cache = 2 * config.num_hidden_layers * heads * head_dim * tokens * self.model.dtype.itemsize
        row = 2 * cache + 4 * 4 * config.vocab_size  # growing and dropping hold two copies of the cache
        return max(1, min(self.max_rows, self._budget_bytes() // int(row)))

    def _budget_bytes(self) -> int:
        if self.model.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.model.device)
            return int(GPU_BUDGET_SHARE * free)
        return CPU_BUDGET_BYTES

    @torch.inference_mode()
    def _draw(self, request: Request, draw_indices: Sequence[int]) -> list[Draw]:
        """Returns the finished draws of one chunk."""
        tokens_BT, lengths_B, finished_B = self._decode(request, draw_indices)
        kept = [row[: length - done] for row, length, done in zip(tokens_BT, lengths_B, finished_B, strict=True)]
        texts = self.tokenizer.batch_decode(kept, skip_special_tokens=True)
        return [
            Draw(request.problem_id, index, text, length, not done, self.name)
            for index, text, length, done in zip(draw_indices, texts, lengths_B, finished_B, strict=True)
        ]

    def _decode(self, request: Request, draw_indices: Sequence[int]) -> tuple[list[list[int]], list[int], list[bool]]:
        """Returns tokens, number of generated tokens (stop token included) and whether a stop token came, per row."""
        limit, num_rows = self.arm.sampling.max_new_tokens, len(draw_indices)
        random = torch.from_numpy(uniforms(self.arm.arm_id, request.problem_id, draw_indices, limit))
        random_BT = random.to(self.model.device)
        tokens_BT = torch.zeros((num_rows, limit), dtype=torch.long, device=self.model.device)
        lengths_B = torch.full((num_rows,), limit, device=self.model.device)
        finished_B = torch.zeros(num_rows, dtype=torch.bool, device=self.model.device)
        rows = torch.arange(num_rows, device=self.model.device)  # rows still in the batch
        logits_BV, cache = self._prefill(request.prompt_token_ids, num_rows)
        for position in range(limit):
            picked = pick(self.warpers(None, logits_BV.float()), random_BT[rows, position])
            tokens_BT[rows, position] = picked
            stopped = torch.isin(picked, self.stop) & ~finished_B[rows]
            lengths_B[rows[stopped]] = position + 1
            finished_B[rows[stopped]] = True
            alive = ~finished_B[rows]
            num_alive = int(alive.sum())
            if num_alive == 0 or position + 1 == limit:
                break
            if num_alive <= (1 - DROP_SHARE) * len(rows):
                keep = alive.nonzero()[:, 0]
                cache.batch_select_indices(keep)
                rows, picked = rows[keep], picked[keep]
            output = self.model(picked[:, None], past_key_values=cache, use_cache=True)
            logits_BV, cache = output.logits[:, -1], output.past_key_values
        return tokens_BT.tolist(), lengths_B.tolist(), finished_B.tolist()

    def _prefill(self, prompt_token_ids: Sequence[int], num_rows: int) -> tuple[torch.Tensor, DynamicCache]:
        """Returns next-token logits (num_rows, V) and a cache with num_rows rows, from one pass over the prompt."""
        prompt = torch.tensor([prompt_token_ids], device=self.model.device)
        output = self.model(
            prompt, past_key_values=DynamicCache(config=self.model.config), use_cache=True, logits_to_keep=1
        )
        output.past_key_values.batch_repeat_interleave(num_rows)
        return output.logits[:, -1].expand(num_rows, -1), output.past_key_values


def make_warpers(sampling: Sampling) -> LogitsProcessorList:
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
