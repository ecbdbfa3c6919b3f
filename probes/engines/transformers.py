"""The default engine: a transformers model in this process.

Owns: the random numbers of a draw, its text, and refusing prompts without tokens.
Does not own: decoding (`rlvr.models.decoder`); the model, which the caller loads, unwraps and puts into evaluation
mode.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from probes.engines import Request, uniforms
from probes.store.arm import Arm
from probes.store.draws import Draw
from rlvr.errors import EngineError
from rlvr.models.batch import Completion, DecodeRequest
from rlvr.models.decoder import MAX_ROWS, Decoder


class TransformersEngine:
    """Samples from a causal language model of transformers.

    A draw is decided by its own random numbers. Which draws share a batch can change the last bits of the
    probabilities, and so, rarely, a draw; it is then another draw of the same distribution.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: to decode completions.
        arm: whose sampling parameters, stop tokens and id are used.
        max_rows: upper bound of rows in one forward pass; halved whenever memory runs out.

    Raises:
        EngineError: the model keeps no keys and values that could be reused.
    """

    name = "transformers"

    def __init__(self, model: Any, tokenizer: Any, arm: Arm, max_rows: int = MAX_ROWS) -> None:
        self.tokenizer = tokenizer
        self.arm = arm
        self.arm_id = arm.arm_id  # hashed once
        self.decoder = Decoder(model, arm.sampling, arm.stop_token_ids, max_rows)

    def sample(self, requests: Sequence[Request]) -> Iterator[Sequence[Draw]]:
        """Yields finished draws, of any requests, whenever rows make room for others.

        Raises:
            EngineError: a prompt has no tokens, or the memory does not suffice for one row.
        """
        check_prompts(requests)
        prompts = [
            DecodeRequest(request.problem_id, request.prompt.token_ids, request.draw_indices) for request in requests
        ]
        for completions in self.decoder.decode(prompts, self._uniforms):
            yield self._draws(completions)

    def close(self) -> None:
        """Nothing to free: the model is the caller's, and the cache goes with `sample`."""

    def _uniforms(self, problem_id: str, draw_indices: Sequence[int]) -> torch.Tensor:
        """Returns the random numbers of some draws of a problem."""
        return torch.from_numpy(uniforms(self.arm_id, problem_id, draw_indices, self.arm.sampling.max_new_tokens))

    def _draws(self, completions: Sequence[Completion]) -> list[Draw]:
        """Returns completions as draws; the stop token counts, but is not part of the text."""
        kept = [one.token_ids[: len(one.token_ids) - one.stopped] for one in completions]
        texts = self.tokenizer.batch_decode(kept, skip_special_tokens=True)
        return [
            Draw(one.prompt_id, one.completion_index, text, len(one.token_ids), not one.stopped, self.name)
            for one, text in zip(completions, texts, strict=True)
        ]


def check_prompts(requests: Sequence[Request]) -> None:
    """Raises unless all prompts have tokens."""
    for request in requests:
        if not request.prompt.token_ids:
            raise EngineError(
                f"{request.problem_id}: the prompt has no tokens; a model needs at least one, so change the prompt "
                "template, or use a tokenizer that starts a text with a token."
            )
