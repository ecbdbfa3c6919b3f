"""The live trainer: its weights as they are now, without a trace left behind.

Owns: unwrapping the trainer's model for sampling (DDP, ZeRO, LoRA), and the random states around a probe.
Does not own: sampling itself (`probes.engines.transformers`), when to probe (`probes.callback`).

This is the one file of `probes` that knows trl.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from trl.models import unwrap_model_for_generation


@contextmanager
def live_model(trainer: Any) -> Iterator[Any]:
    """Yields a trainer's model, unwrapped and in evaluation mode, and puts it back as it was."""
    was_training = trainer.model.training
    with unwrap_model_for_generation(
        trainer.model_wrapped,
        trainer.accelerator,
        gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
    ) as model:
        model.eval()
        try:
            yield model
        finally:
            model.train(was_training)


@contextmanager
def keep_random_states() -> Iterator[None]:
    """Restores the random states of Python, NumPy and torch, so that probing does not change training."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
