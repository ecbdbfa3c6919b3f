"""The rows that the decoder decodes together.

    DecodeRequest   completions asked of one prompt
    Completion      a row that has finished
    Prefix          a prompt that the model has read
    SharedCache     rows of any prompts, which come and go
    SingleCache     rows of one prompt, which only go
    Batch           what is known of each row: whose completion it is, its tokens, whether it has ended

Owns: the caches of keys and values, and the bookkeeping of rows.
Does not own: which rows come next, the model, the choice of tokens (`rlvr.models.decoder`).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

MIN_SPARE_COLUMNS = 16  # few: rows far apart in memory are read slower


@dataclass(frozen=True)
class DecodeRequest:
    """Completions asked of one prompt.

    Attributes:
        prompt_id: names the prompt in what comes out.
        token_ids: of the prompt; at least one.
        completion_indices: which of its completions; no two alike.
    """

    prompt_id: str
    token_ids: Sequence[int]
    completion_indices: tuple[int, ...]


class Completion(NamedTuple):
    """A finished row: whose it is, its tokens (a stop token included), and whether a stop token came."""

    prompt_id: str
    completion_index: int
    token_ids: list[int]
    stopped: bool


@dataclass(frozen=True)
class Prefix:
    """One prompt, read by the model.

    Attributes:
        cache: of the forward pass that read it, perhaps with other prompts.
        row: of the prompt in that pass.
        num_tokens: of the prompt, which is padded on the left.
        logits: of the first token of a completion, (V,).
    """

    cache: DynamicCache
    row: int
    num_tokens: int
    logits: torch.Tensor


class RowCache(Protocol):
    """The keys and values of a batch's rows.

    Attributes:
        mixes: whether rows of several prompts share the batch.
    """

    mixes: bool

    @property
    def is_full(self) -> bool:
        """Whether the next token has no room before `resize`."""

    def resize(self, kept: torch.Tensor, num_rows: int, longest: int) -> None:
        """Moves the kept rows to the front; the others are free, for prompts of up to `longest` tokens."""

    def place(self, rows: torch.Tensor, prefix: Prefix) -> None:
        """Puts a prompt into free rows."""

    def settle(self) -> None:
        """Notes where the rows start, once all are placed."""

    def model_inputs(self) -> dict[str, Any]:
        """Returns what the model needs beside the next tokens."""


class BufferLayer(DynamicLayer):  # type: ignore[misc] # transformers has no types
    """A cache layer that writes into a buffer, so that a new token does not copy all earlier ones.

    All rows write to the same column. `keys` and `values` are views of the columns from `first` to the last written.

    Attributes:
        num_rows: of the batch.
        capacity: columns of the buffer.
        first: column in use.
        end: column that is written next.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_rows, self.capacity, self.first, self.end = 0, 0, 0, 0
        self.buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends a column to all rows and returns views of all columns in use."""
        assert self.buffers is not None
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, self.end : self.end + 1] = states
        self.end += 1
        self.show(self.first)
        return self.keys, self.values

    def show(self, first: int) -> None:
        """Sets the first column in use."""
        self.first = first
        if self.buffers is not None:
            self.keys, self.values = (buffer[:, :, first : self.end] for buffer in self.buffers)

    def put(self, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Writes one row's columns into all of `rows`, up to the column that is written next."""
        if self.buffers is None:
            self.buffers = self._new_buffer(keys, self.end), self._new_buffer(values, self.end)
            self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        rows = rows.to(keys.device)
        for buffer, states in zip(self.buffers, (keys, values), strict=True):
            buffer[rows, :, self.end - states.shape[-2] : self.end] = states

    def repack(self, kept: torch.Tensor, num_rows: int, capacity: int, first: int, end: int) -> None:
        """Moves columns from `first` on of the kept rows into new buffers, where they end before column `end`."""
        width, self.num_rows, self.capacity = self.end - first, num_rows, capacity
        if self.buffers is not None:
            self.buffers = (
                self._moved(self.buffers[0], kept, width, end),
                self._moved(self.buffers[1], kept, width, end),
            )
        self.end = end
        self.show(end - width)

    def _moved(self, buffer: torch.Tensor, kept: torch.Tensor, width: int, end: int) -> torch.Tensor:
        moved = self._new_buffer(buffer, end)
        moved[: len(kept), :, end - width : end] = buffer[kept.to(buffer.device), :, self.end - width : self.end]
        return moved

    def _new_buffer(self, like: torch.Tensor, end: int) -> torch.Tensor:
        """Returns a buffer with zeros up to `end`: a masked column weighs nothing, but nothing times NaN is NaN."""
        buffer = like.new_empty((self.num_rows, like.shape[1], self.capacity, like.shape[3]))
        buffer[:, :, :end] = 0
        return buffer


class SharedCache:
    """A cache whose rows come and go, laid out as `generate` does it: padded on the left, all ending together.

    Args:
        config: of a model with nothing but full attention.
        limit: tokens that a row may add to its prompt.
        device: of the model's inputs.
    """

    mixes = True

    def __init__(self, config: Any, limit: int, device: torch.device) -> None:
        self.limit = limit
        self.max_tokens = limit
        self.start_B = torch.empty(0, dtype=torch.long, device=device)
        self.is_padded = False
        self.cache = DynamicCache(config=config)
        self.cache.layers = [BufferLayer() for _ in self.cache.layers]

    def _capacity(self) -> int:
        """Returns the columns of the buffers: when they are full, the columns in use move to the front."""
        return self.max_tokens + max(MIN_SPARE_COLUMNS, self.max_tokens // 4)

    @property
    def end(self) -> int:
        """The column that is written next."""
        return int(self.cache.layers[0].end)

    @property
    def is_full(self) -> bool:
        """Whether the buffers have no column left."""
        return self.end == int(self.cache.layers[0].capacity)

    def resize(self, kept: torch.Tensor, num_rows: int, longest: int) -> None:
        """Moves the kept rows to the front; the others are free, for prompts of up to `longest` tokens."""
        start_B = self.start_B[kept]
        first = int(start_B.min()) if len(kept) else self.end
        end = max(self.end - first, longest)
        self.max_tokens = longest + self.limit
        free_B = start_B.new_full((num_rows - len(kept),), end)
        self.start_B = torch.cat([start_B + (end - self.end), free_B])
        for layer in self.cache.layers:
            layer.repack(kept, num_rows, self._capacity(), first, end)

    def place(self, rows: torch.Tensor, prefix: Prefix) -> None:
        """Puts a prompt into free rows."""
        self.start_B[rows] = self.end - prefix.num_tokens
        for layer, read in zip(self.cache.layers, prefix.cache.layers, strict=True):
            keys, values = (
                states[prefix.row : prefix.row + 1, :, -prefix.num_tokens :] for states in (read.keys, read.values)
            )
            layer.put(rows, keys, values)

    def settle(self) -> None:
        """Notes where the rows start, once all are placed."""
        if not len(self.start_B):
            return
        first, last = torch.stack(self.start_B.aminmax()).tolist()
        self.is_padded = first != last
        for layer in self.cache.layers:
            layer.show(first)

    def model_inputs(self) -> dict[str, Any]:
        """Returns what the model needs beside the next tokens; nothing but the cache while no row is padded."""
        if not self.is_padded:
            return {"past_key_values": self.cache}
        columns = torch.arange(self.cache.layers[0].first, self.end + 1, device=self.start_B.device)
        # Finished rows run on until they are dropped; their positions must stay within what the model knows.
        position_B = (self.end - self.start_B).clamp(max=self.max_tokens - 1)
        return {
            "past_key_values": self.cache,
            "attention_mask": (columns >= self.start_B[:, None]).long(),
            "position_ids": position_B[:, None],
        }


class SingleCache:
    """A cache of one prompt's rows, in whatever form the model keeps it: sliding windows, recurrent states."""

    mixes = False
    is_full = False

    def __init__(self) -> None:
        self.cache: DynamicCache | None = None

    def resize(self, kept: torch.Tensor, num_rows: int, longest: int) -> None:
        """Drops all rows but the kept ones."""
        del num_rows, longest
        if self.cache is not None and len(kept):
            self.cache.reorder_cache(kept)
        else:
            self.cache = None

    def place(self, rows: torch.Tensor, prefix: Prefix) -> None:
        """Copies the prompt's cache, which later rows may need, and repeats it for all rows."""
        self.cache = copy.deepcopy(prefix.cache)
        self.cache.reorder_cache(torch.zeros_like(rows))

    def settle(self) -> None:
        """Rows of one prompt start together."""

    def model_inputs(self) -> dict[str, Any]:
        """Returns the cache."""
        return {"past_key_values": self.cache}


class Batch:
    """What is known of each row; the cache goes along. It starts without rows.

    Args:
        cache: empty.
        limit: tokens of a completion at most.
        device: of the model's inputs.
    """

    def __init__(self, cache: RowCache, limit: int, device: torch.device) -> None:
        self.cache = cache
        self.limit = limit
        self.owners: list[tuple[DecodeRequest, int] | None] = []
        self.all_rows = torch.empty(0, dtype=torch.long, device=device)
        self.random_BT = torch.empty((0, limit), dtype=torch.float64, device=device)
        # One column more than tokens are kept: a finished row goes on writing there.
        self.tokens_BT = torch.empty((0, limit + 1), dtype=torch.long, device=device)
        self.count_B = torch.empty(0, dtype=torch.long, device=device)
        self.alive_B = torch.empty(0, dtype=torch.bool, device=device)
        self.stopped_B = torch.empty(0, dtype=torch.bool, device=device)
        self.num_alive = 0

    def __len__(self) -> int:
        return len(self.owners)

    def resize(self, num_rows: int, longest: int) -> None:
        """Moves the live rows to the front of a batch of `num_rows`; the others are free."""
        kept = self.alive_B.nonzero()[:, 0]
        free = num_rows - len(kept)
        self.owners = [self.owners[row] for row in kept.tolist()] + [None] * free
        for name in ("random_BT", "tokens_BT", "count_B", "alive_B", "stopped_B"):
            rows = getattr(self, name)[kept]
            setattr(self, name, torch.cat([rows, rows.new_zeros((free, *rows.shape[1:]))]))
        self.all_rows = torch.arange(num_rows, device=kept.device)
        self.cache.resize(kept, num_rows, longest)

    def free_rows(self) -> torch.Tensor:
        """Returns the rows that are finished or hold nothing."""
        return (~self.alive_B).nonzero()[:, 0]

    def longest_prompt(self) -> int:
        """Returns the tokens of the longest prompt of a row that `take_finished` has not returned."""
        return max((len(owner[0].token_ids) for owner in self.owners if owner is not None), default=0)

    def place(
        self,
        rows: torch.Tensor,
        request: DecodeRequest,
        completion_indices: Sequence[int],
        random_BT: torch.Tensor,
        prefix: Prefix,
    ) -> None:
        """Starts completions of one prompt in free rows."""
        for row, index in zip(rows.tolist(), completion_indices, strict=True):
            self.owners[row] = (request, index)
        self.random_BT[rows] = random_BT
        self.count_B[rows] = 0
        self.alive_B[rows] = True
        self.stopped_B[rows] = False
        self.cache.place(rows, prefix)

    def next_uniform(self, rows: torch.Tensor) -> torch.Tensor:
        """Returns the random numbers that decide the next tokens of some rows."""
        return self.random_BT[rows, self.count_B[rows].clamp(max=self.limit - 1)]

    def append(self, rows: torch.Tensor, tokens: torch.Tensor, stop: torch.Tensor) -> None:
        """Notes the next tokens of some rows, and which rows end with them."""
        count, alive = self.count_B[rows], self.alive_B[rows]
        self.tokens_BT[rows, count] = tokens
        count = count + alive
        stops = torch.isin(tokens, stop) & alive
        self.count_B[rows] = count
        self.stopped_B[rows] |= stops
        self.alive_B[rows] = alive & ~stops & (count < self.limit)
        self.num_alive = int(self.alive_B.sum())

    def last_tokens(self) -> torch.Tensor:
        """Returns the last token of each row, (B, 1)."""
        return self.tokens_BT.gather(1, (self.count_B - 1)[:, None])

    def take_finished(self) -> list[Completion]:
        """Returns the finished rows that were not returned before."""
        rows = self.free_rows()
        columns = (rows, self.tokens_BT[rows], self.count_B[rows], self.stopped_B[rows])
        finished = []
        for row, tokens, count, stopped in zip(*(column.tolist() for column in columns), strict=True):
            owner = self.owners[row]
            if owner is not None:
                finished.append(Completion(owner[0].prompt_id, owner[1], tokens[:count], stopped))
                self.owners[row] = None
        return finished
