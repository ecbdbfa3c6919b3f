"""A short training with vLLM in the trainer's process, run by `test_live_colocate.py` in a process of its own.

    python -m tests.with_vllm.live_run RESULT.json {grpo,rloo} {probed,bare} MODEL FLAGS...

vLLM cannot be started twice in one process, and takes the process's ranks and ports for its own.
"""

import functools
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from probes.engines.live import keep_random_states, live_arm, live_engine, live_model, live_share
from probes.store.arm import Sampling
from rlvr.models.colocate import keep_weights_in_place
from rlvr.problems import ProblemSet
from rlvr.problems.prompts import PromptFormat
from tests.probes.engines.contract import PROBLEMS, Subject, request_for

NUM_DRAWS = {"grpo": 300, "rloo": 100}  # bfloat16, which rloo uses here, is slow on most CPUs
MAX_NEW_TOKENS = 12


class LiveProbe(TrainerCallback):
    """Samples the live weights before training and every two steps, and notes their exact probabilities beside."""

    def __init__(self, trainer: Any, num_draws: int) -> None:
        self.trainer = trainer
        self.num_draws = num_draws
        self.rows: list[dict[str, Any]] = []

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.probe(state.global_step)

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step % 2 == 0:
            self.probe(state.global_step)

    def probe(self, step: int) -> None:
        trainer, tokenizer = self.trainer, self.trainer.processing_class
        mine = live_share(trainer, ProblemSet("contract", tuple(PROBLEMS)))
        requests = [request_for(tokenizer, PROBLEMS.index(problem), range(self.num_draws)) for problem in mine]
        with keep_random_states():
            arm = live_arm(trainer, PromptFormat(), Sampling(max_new_tokens=MAX_NEW_TOKENS))
            with live_engine(trainer, arm) as engine:
                draws = [draw for batch in engine.sample(requests) for draw in batch]
            with live_model(trainer) as model:
                subject = Subject(engine, model, tokenizer)
                frequent = [frequencies(subject, request, draws) for request in requests]
        self.rows.append(
            {
                "step": step,
                "arm": arm.arm_id,
                "dtype": arm.dtype,
                "engine": type(engine).__name__,
                "names": sorted({draw.engine for draw in draws}),
                "num_draws": len({(draw.problem_id, draw.draw_index) for draw in draws}),
                "frequent": frequent,
            }
        )


def frequencies(subject: Subject, request: Any, draws: list[Any]) -> list[tuple[str, float, float, float]]:
    """(start, frequency, exact probability, standard error) of the characters that a problem's draws begin with most.

    An empty start is an empty completion. Whole completions are too rare to tell one step's weights from another's.
    """
    own = [draw for draw in draws if draw.problem_id == request.problem_id]
    exact = start_probabilities(subject, request.prompt.token_ids)
    rows = []
    for start, times in Counter(draw.completion[:1] for draw in own).most_common(8):
        p = exact[start]
        rows.append((start, times / len(own), p, math.sqrt(p * (1 - p) / len(own))))
    return rows


def start_probabilities(subject: Subject, prompt: Sequence[int]) -> Counter[str]:
    """The model's probability of each first character, summed over the tokens that begin with it."""
    with torch.inference_mode():
        logits = subject.model(torch.tensor([list(prompt)])).logits[0, -1].float()
    found: Counter[str] = Counter()
    for token, p in enumerate(torch.softmax(logits, -1).tolist()):
        start = "" if token == subject.tokenizer.eos_token_id else subject.tokenizer.decode([token])[:1]
        found[start] += p
    return found


def run(algorithm: str, is_probed: bool, model: str, flags: list[str]) -> dict[str, Any]:
    """Trains; returns the losses, the probes and how often weights went to vLLM."""
    seen: dict[str, Any] = {}

    def attach(trainer: Any) -> None:
        seen["trainer"] = trainer
        seen["syncs"] = count_syncs(trainer)
        seen["probe"] = LiveProbe(trainer, NUM_DRAWS[algorithm])
        if is_probed:
            trainer.add_callback(seen["probe"])

    {"grpo": train_grpo, "rloo": train_rloo}[algorithm](model, flags, attach)
    trainer = seen["trainer"]
    return {
        "losses": [(row["loss"], row["grad_norm"]) for row in trainer.state.log_history if "grad_norm" in row],
        "syncs": seen["syncs"],
        "probes": seen["probe"].rows,
    }


def train_grpo(model: str, flags: list[str], attach: Any) -> None:
    """Trains as `rlvr train` does, with vLLM in float32: TRL has no field for that, and vLLM takes bfloat16 instead."""
    from trl.generation import vllm_generation

    from rlvr.jobs.resolve import resolve
    from rlvr.training.recipe import read_recipe
    from rlvr.training.train import train

    del model
    vllm_generation.LLM = functools.partial(vllm_generation.LLM, dtype="float32")
    job = resolve(read_recipe(flags[1], flags[2:]))
    train(job.training, job.training.arguments(), job.task.load(), job.record, [attach])


def train_rloo(model: str, flags: list[str], attach: Any) -> None:
    """Trains with TRL's own RLOO, and vLLM in the dtype that it prefers."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import RLOOConfig, RLOOTrainer

    keep_weights_in_place()
    config = RLOOConfig(
        flags[0],
        max_steps=2,
        num_generations=4,
        per_device_train_batch_size=16,
        max_completion_length=12,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        use_vllm=True,
        vllm_mode="colocate",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to="none",
        logging_steps=1,
        disable_tqdm=True,
    )
    rows = Dataset.from_list([{"prompt": problem.question} for problem in PROBLEMS * 8])
    trainer = RLOOTrainer(
        AutoModelForCausalLM.from_pretrained(model),
        reward_funcs=lambda completions, **_: [float(len(text) % 2 == 0) for text in completions],
        args=config,
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
    )
    attach(trainer)
    trainer.train()


def count_syncs(trainer: Any) -> list[int]:
    """Notes the step of each sync of weights to vLLM, which goes on as before."""
    steps: list[int] = []
    sync = trainer.vllm_generation.sync_weights

    def noted() -> None:
        steps.append(trainer.state.global_step)
        sync()

    trainer.vllm_generation.sync_weights = noted
    return steps


if __name__ == "__main__":
    result, algorithm, probed, model, *flags = sys.argv[1:]
    Path(result).write_text(json.dumps(run(algorithm, probed == "probed", model, flags)))
