"""The live trainer: its weights as they are now, the best engine that it has, and no trace left behind.

Owns: unwrapping the trainer's model for sampling (DDP, ZeRO, LoRA), the engine over a trainer's own vLLM, who of the
processes samples what, and the random states around a probe.
Does not own: sampling itself (`probes.engines.transformers`, `probes.engines.vllm`), when to probe
(`probes.sampling.callback`).

This is the one file of `probes` that knows trl. How a probe uses it, in every process:

    with keep_random_states():
        arm = live_arm(trainer, prompt_format, sampling)
        with live_engine(trainer, arm) as engine:
            ...  # ask it for draws of live_share(trainer, problems)
"""

import logging
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from trl.models import unwrap_model_for_generation

from probes.engines import Engine, Request
from probes.engines.transformers import TransformersEngine
from probes.engines.vllm import Piece, VllmEngine, make_draws, pieces, sampling_fields, vllm_errors
from probes.statistics.plan import shard
from probes.store.arm import Arm, Sampling, arm_of
from probes.store.draws import Draw
from rlvr.problems import Problem, ProblemSet
from rlvr.problems.prompts import PromptFormat

logger = logging.getLogger(__name__)

SERVER_REQUESTS = 64  # in flight; TRL's client keeps so many connections


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
            with _policy_only(trainer), _without_start_hooks(model, trainer):
                yield model
        finally:
            model.train(was_training)


def _policy_only(trainer: Any) -> AbstractContextManager[None]:
    """Takes modules that are no part of the policy out of the model, where the trainer has such (PPO's critic)."""
    return trainer.policy_only() if hasattr(trainer, "policy_only") else nullcontext()


@contextmanager
def _without_start_hooks(model: Any, trainer: Any) -> Iterator[None]:
    """Takes DeepSpeed's hook off the start of a forward pass, which TRL leaves in place.

    While ZeRO-3 still records the order of modules, the hook compares it between processes; in a probe these make
    different numbers of passes, so it would wait for ever. The weights are gathered here: no hook is needed.
    """
    hooks = dict(model._forward_pre_hooks) if getattr(trainer, "is_deepspeed_enabled", False) else {}
    for key in hooks:
        del model._forward_pre_hooks[key]
    try:
        yield
    finally:
        model._forward_pre_hooks.update(hooks)


def live_arm(trainer: Any, prompt_format: PromptFormat, sampling: Sampling) -> Arm:
    """Returns the arm that `live_engine` samples: a trainer's weights as they are now, in the engine's dtype.

    A vLLM in the trainer's process may compute in another dtype than the trainer. That of a server is not known here:
    start it with the weights' own.
    """
    with live_model(trainer) as model:
        arm = arm_of(model, trainer.processing_class, prompt_format, sampling)
    if vllm_mode(trainer) != "colocate":
        return arm
    return replace(arm, dtype=str(trainer.vllm_generation.llm.llm_engine.model_config.dtype).removeprefix("torch."))


@contextmanager
def live_engine(trainer: Any, arm: Arm) -> Iterator[Engine]:
    """Yields the best engine over a trainer's weights as they are now: its vLLM, else its model in transformers.

    All processes must call it, outside `live_model`: the weights may have to be gathered. A sync of weights to vLLM
    serves the next rollout too. With an adapter, a sync merges and unmerges it, which rounds the base's weights; so a
    probed run equals an unprobed one to the last bit only if rollouts are made at the probed steps anyway.

    Where vLLM spans several processes (vllm_tensor_parallel_size > 1), all of them would have to make the same
    requests; the model in transformers is used instead.

    Args:
        trainer: of transformers or TRL.
        arm: from `live_arm`.
    """
    mode = vllm_mode(trainer)
    if mode is None:
        with live_model(trainer) as model:
            yield TransformersEngine(model, trainer.processing_class, arm)
        return
    sync_weights(trainer)
    if mode == "server":
        client = getattr(trainer.vllm_generation, "vllm_client", None)
        yield ServerEngine(client, trainer.processing_class, arm)
        return
    with awake_llm(trainer.vllm_generation) as llm:
        yield VllmEngine(llm, trainer.processing_class, arm)


def live_share(trainer: Any, problems: ProblemSet) -> list[Problem]:
    """Returns the problems that this process samples; with a vLLM server the main process has them all."""
    accelerator = trainer.accelerator
    if vllm_mode(trainer) == "server":
        return list(problems) if accelerator.is_main_process else []
    return shard(problems, accelerator.process_index, accelerator.num_processes)


def vllm_mode(trainer: Any) -> str | None:
    """Returns how a probe can use a trainer's vLLM: `colocate`, `server`, or None."""
    if not getattr(trainer, "use_vllm", False):
        return None
    mode = str(trainer.vllm_mode)
    if mode == "colocate" and trainer.vllm_tensor_parallel_size > 1:
        logger.warning("vllm_tensor_parallel_size is above 1: the probe samples with transformers, which is slower.")
        return None
    return mode


def sync_weights(trainer: Any) -> None:
    """Gives a trainer's vLLM the weights as they are now, unless it has them."""
    generation, step = trainer.vllm_generation, trainer.state.global_step
    is_asleep = getattr(generation, "_llm_weights_sleeping", False)  # asleep, vLLM has forgotten them
    if step != trainer._last_loaded_step or is_asleep:
        generation.sync_weights()
        trainer._last_loaded_step = step  # the next rollout skips its sync


@contextmanager
def awake_llm(generation: Any) -> Iterator[Any]:
    """Yields the vLLM of this process, awake, and leaves it as a sync of weights does: asleep if so configured."""
    if generation.enable_sleep_mode:
        generation.llm.wake_up(tags=["kv_cache"])
    try:
        yield generation.llm
    finally:
        generation.llm.reset_prefix_cache()  # a rollout that finds a probe's prefix rounds differently
        if generation.enable_sleep_mode:
            generation.llm.sleep(level=2)
            generation._llm_weights_sleeping = True


class ServerEngine:
    """Samples through the vLLM server that a trainer uses, from the main process alone.

    Args:
        client: of TRL; None in all other processes, which must ask for nothing.
        tokenizer: to decode completions.
        arm: whose sampling parameters, stop tokens and id are used.
    """

    name = VllmEngine.name

    def __init__(self, client: Any, tokenizer: Any, arm: Arm) -> None:
        self.client = client
        self.tokenizer = tokenizer
        self.arm = arm

    def sample(self, requests: Sequence[Request]) -> Iterator[Sequence[Draw]]:
        """Yields the draws of each request to the server when it has answered.

        Raises:
            EngineError: the server cannot be reached or refuses a request.
        """
        waiting = pieces(requests, self.arm.sampling)
        running: set[Future[list[Draw]]] = set()
        with ThreadPoolExecutor(SERVER_REQUESTS) as pool:
            while True:
                running |= {pool.submit(self._ask, piece) for piece in islice(waiting, SERVER_REQUESTS - len(running))}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for answer in done:
                    yield answer.result()

    def close(self) -> None:
        """Nothing to free: the connection is the trainer's."""

    def _ask(self, piece: Piece) -> list[Draw]:
        """Returns the draws of one request; the server says nothing of why a completion ended, its last token does."""
        fields = sampling_fields(self.arm, piece)
        known = {name: fields.pop(name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
        prompt = list(piece.request.prompt.token_ids)
        with vllm_errors(f"server failed on {piece.request.problem_id}"):
            answer = self.client.generate([prompt], n=piece.num_draws, logprobs=None, generation_kwargs=fields, **known)
        ended = [(ids, ids[-1] in self.arm.stop_token_ids) for ids in answer["completion_ids"]]
        return make_draws(piece, self.tokenizer, ended)


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
