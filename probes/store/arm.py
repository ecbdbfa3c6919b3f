"""Arms: what was sampled from, identified by content.

Owns: the fields that identify an arm, their hash, and the hash of a live model's weights and tokenizer.
Does not own: the draws of an arm (`probes.store`).

Two models with the same effective weights are one arm, wherever they lie on disk: the base model of six runs is probed
once. A LoRA adapter counts by what it adds to the weights, so a freshly initialised adapter (B = 0) is the base arm.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from rlvr.problems.prompts import PromptFormat, eos_token_ids
from rlvr.problems.types import content_hash

if TYPE_CHECKING:
    import torch

DECLARED = "declared:"


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters; top_p = 1 and top_k = 0 switch the filters off. `max_new_tokens` counts tokens."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 256


@dataclass(frozen=True)
class Arm:
    """Everything that decides the distribution of a draw, given a problem.

    Attributes:
        weights: hash of the effective weights (names, shapes, dtypes, bytes).
        tokenizer: hash of the tokenizer.
        prompt: template, system message, and the chat template where one is used.
        sampling: temperature, top-p, top-k, max tokens.
        stop_token_ids: tokens that end a completion, sorted.
        dtype: of the computation, for example `float32`.
    """

    weights: str
    tokenizer: str
    prompt: dict[str, Any]
    sampling: Sampling
    stop_token_ids: tuple[int, ...]
    dtype: str

    @property
    def is_declared(self) -> bool:
        """Whether the weights are known by name only."""
        return self.weights.startswith(DECLARED)

    @property
    def arm_id(self) -> str:
        """16 hex digits over all fields."""
        return content_hash(self.to_json())[:16]

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Arm":
        """Returns the arm written by `to_json`."""
        known = {**value, "sampling": Sampling(**value["sampling"]), "stop_token_ids": tuple(value["stop_token_ids"])}
        return cls(**known)

    def differences(self, other: "Arm") -> list[str]:
        """Returns the names of the fields in which two arms differ."""
        mine, theirs = self.to_json(), other.to_json()
        return [field.name for field in fields(self) if mine[field.name] != theirs[field.name]]


def declared_arm(model: str, prompt: dict[str, Any], sampling: Sampling, tokenizer: str = "declared") -> Arm:
    """Returns the arm of a model whose weights cannot be seen, behind a server or in another tool's log.

    Its identity is what was declared: two models served under one name are not told apart.
    """
    return Arm(f"{DECLARED}{model}", tokenizer, prompt, sampling, stop_token_ids=(), dtype="declared")


def arm_of(model: Any, tokenizer: Any, prompt_format: PromptFormat, sampling: Sampling) -> Arm:
    """Returns the arm of a model's weights as they are now."""
    chat_template = tokenizer.chat_template if prompt_format.is_chat(tokenizer) else None
    return Arm(
        weights=hash_weights(model),
        tokenizer=hash_tokenizer(tokenizer),
        prompt={"template": prompt_format.template, "system": prompt_format.system, "chat_template": chat_template},
        sampling=sampling,
        stop_token_ids=eos_token_ids(tokenizer, model.generation_config),
        dtype=str(model.dtype).removeprefix("torch."),
    )


def hash_tokenizer(tokenizer: Any) -> str:
    """Returns a hash of vocabulary, merges, special tokens and normalisation of a tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = json.loads(backend.to_str()) if backend is not None else dict(tokenizer.get_vocab())
    if isinstance(vocabulary, dict):
        # Set by calls, not by the checkpoint.
        vocabulary.pop("padding", None)
        vocabulary.pop("truncation", None)
    return content_hash(
        {"vocabulary": vocabulary, "special": {k: str(v) for k, v in tokenizer.special_tokens_map.items()}}
    )


def hash_weights(model: Any) -> str:
    """Returns a hash of a model's effective weights; adapters are folded in, tied weights counted once.

    Sharded parameters (ZeRO-3) must be gathered by the caller.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(_effective_weights(model), key=lambda item: item[0]):
        array = tensor.detach().contiguous().cpu()
        digest.update(f"{name}|{array.dtype}|{tuple(array.shape)}|".encode())
        if array.numel():
            digest.update(array.view(-1).view(_byte_dtype()).numpy().data)
    return digest.hexdigest()


def _byte_dtype() -> "torch.dtype":
    import torch

    return torch.uint8


def _effective_weights(model: Any) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Yields (name, tensor) under the base model's names, LoRA deltas added where an adapter changes a weight."""
    deltas = _lora_deltas(model)
    for name, tensor in model.named_parameters():
        if ".lora_" in name:
            continue
        plain = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
        delta = deltas.get(plain)
        yield plain, tensor if delta is None else tensor + delta.to(tensor.dtype)


def _lora_deltas(model: Any) -> dict[str, "torch.Tensor"]:
    """Returns what the active LoRA adapters add, where that is not zero, by the base model's parameter name."""
    if not hasattr(model, "peft_config"):
        return {}
    import torch
    from peft.tuners.lora import LoraLayer

    deltas: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and not module.merged:
            plain = f"{name.removeprefix('base_model.model.')}.weight"
            parts = [module.get_delta_weight(adapter).detach() for adapter in module.active_adapters]
            if any(bool(part.any()) for part in parts):  # adding zero would turn -0.0 into 0.0
                deltas[plain] = torch.stack(parts).sum(0)
    return deltas
