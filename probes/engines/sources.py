"""Sources: from what a person names on a command line to an arm and an engine that samples it.

Owns: `EngineOptions`, and which engine is started how.
Does not own: the engines (`probes.engines`), the draws that are made (`probes.sampling.probe`).

The arm is known before the engine runs. So a store can be checked, and nothing is started where nothing is owed.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from typing import Any

from probes.engines import Engine, Source
from probes.store.arm import Arm, Sampling, arm_of, declared_arm
from rlvr.errors import RecipeError
from rlvr.models.loading import load_model, load_tokenizer, resolve_model
from rlvr.problems import Problem
from rlvr.problems.prompts import PromptFormat

ENGINES = ("transformers", "vllm", "openai", "ray", "scripted")
RAY_ENGINES = ("transformers", "vllm")


@dataclass(frozen=True)
class EngineOptions:
    """Which engine samples which model.

    Attributes:
        engine: one of `ENGINES`.
        model: Hub id, folder, GGUF file, `testbed:NAME`, or the name that a server serves; not read by `scripted`.
        revision: of a Hub model.
        dtype: of the computation; `auto` is the checkpoint's own.
        trust_remote_code: run code that comes with the model.
        max_rows: rows in one forward pass of the transformers engine; 0 is as many as fit.
        max_model_len: of vLLM, prompt and completion together; 0 is the model's own.
        gpu_memory_utilization: share of a GPU's memory that vLLM takes.
        endpoints: base URLs of servers.
        concurrency: requests in flight, over all endpoints; 0 is 64 for each.
        draws_per_request: completions that a request asks a server for; 0 is 16 of vLLM, 1 of others.
        ray_engine: what runs in the Ray actors: transformers or vllm.
        num_workers: Ray actors.
        rate: success probability of the scripted engine.
    """

    engine: str = "transformers"
    model: str = ""
    revision: str | None = None
    dtype: str = "auto"
    trust_remote_code: bool = False
    max_rows: int = 0
    max_model_len: int = 0
    gpu_memory_utilization: float = 0.9
    endpoints: Sequence[str] = field(default_factory=tuple)
    concurrency: int = 0
    draws_per_request: int = 0
    ray_engine: str = "transformers"
    num_workers: int = 1
    rate: float = 0.5


def open_source(
    options: EngineOptions, prompt_format: PromptFormat, sampling: Sampling, problems: Sequence[Problem]
) -> Source:
    """Returns the source that the options name.

    Raises:
        RecipeError: the engine is not known, or an option that it needs is missing.
        ModelError: the model cannot be loaded.
        EngineError: a server does not answer or does not serve the model.
    """
    makers = {"openai": _server, "scripted": _scripted, "transformers": _local, "vllm": _local, "ray": _local}
    if options.engine not in makers:
        near = get_close_matches(options.engine, ENGINES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(ENGINES)}."
        raise RecipeError(f"engine: {options.engine!r} is not known; {hint}")
    if not options.model and options.engine != "scripted":
        raise RecipeError(f"model: missing; the engine {options.engine!r} needs one.")
    if options.engine == "ray" and options.ray_engine not in RAY_ENGINES:
        raise RecipeError(f"ray_engine: {options.ray_engine!r} is not known; use {' or '.join(RAY_ENGINES)}.")
    return makers[options.engine](options, prompt_format, sampling, problems)


def _local(options: EngineOptions, prompt_format: PromptFormat, sampling: Sampling, _: Sequence[Problem]) -> Source:
    """Returns a source whose weights are read here, which also identifies them."""
    source = resolve_model(options.model)
    tokenizer = load_tokenizer(source, options.revision, options.trust_remote_code)
    model = load_model(source, options.revision, options.trust_remote_code, dtype=options.dtype).eval()
    arm = arm_of(model, tokenizer, prompt_format, sampling)
    if options.engine == "transformers":
        return Source(arm, tokenizer, partial(_start_transformers, model, tokenizer, arm, options))
    # These load the model again where they run; this copy is freed with the end of the function.
    if options.engine == "vllm":
        return Source(arm, tokenizer, partial(_start_vllm, source, tokenizer, arm, options))
    return Source(arm, tokenizer, partial(_start_ray, options, prompt_format, arm))


def _start_transformers(model: Any, tokenizer: Any, arm: Arm, options: EngineOptions) -> Engine:
    import torch

    from probes.engines.transformers import TransformersEngine
    from rlvr.models.decoder import MAX_ROWS

    if torch.cuda.is_available():
        model.to(f"cuda:{int(os.environ.get('LOCAL_RANK', '0'))}")
    return TransformersEngine(model, tokenizer, arm, max_rows=options.max_rows or MAX_ROWS)


def _start_vllm(source: str, tokenizer: Any, arm: Arm, options: EngineOptions) -> Engine:
    from probes.engines.vllm import VllmEngine, start_llm

    llm = start_llm(
        source,
        arm,
        revision=options.revision,
        max_model_len=options.max_model_len or None,
        gpu_memory_utilization=options.gpu_memory_utilization,
        trust_remote_code=options.trust_remote_code,
    )
    return VllmEngine(llm, tokenizer, arm, owns_llm=True)


def _start_ray(options: EngineOptions, prompt_format: PromptFormat, arm: Arm) -> Engine:
    from probes.engines.ray import RayEngine

    inside = replace(options, engine=options.ray_engine)
    opened = partial(open_source, inside, prompt_format, arm.sampling, ())
    return RayEngine(opened, arm, name=options.ray_engine, num_workers=options.num_workers)


def _server(options: EngineOptions, prompt_format: PromptFormat, sampling: Sampling, _: Sequence[Problem]) -> Source:
    """Returns a source behind servers: its weights are known by name only."""
    if not options.endpoints:
        raise RecipeError("endpoint: missing; give --endpoint http://HOST:PORT/v1, once for each server.")
    prompt = {"template": prompt_format.template, "system": prompt_format.system, "chat": prompt_format.chat}
    arm = declared_arm(options.model, prompt, sampling)

    def start() -> Engine:
        from probes.engines.openai import OpenAIEngine

        return OpenAIEngine(
            options.endpoints,
            options.model,
            arm,
            concurrency=options.concurrency or None,
            draws_per_request=options.draws_per_request or None,
        )

    return Source(arm, None, start)


def _scripted(
    options: EngineOptions, prompt_format: PromptFormat, sampling: Sampling, problems: Sequence[Problem]
) -> Source:
    """Returns a source without a model, whose correct completions are the gold answers."""
    from probes.engines.scripted import ScriptedEngine

    arm = declared_arm(f"scripted:{options.rate}", {"template": prompt_format.template}, sampling)
    rates = {problem.problem_id: options.rate for problem in problems}
    answers = {problem.problem_id: problem.answer for problem in problems}
    return Source(arm, None, lambda: ScriptedEngine(rates, arm.arm_id, answers))
