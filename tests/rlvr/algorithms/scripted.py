"""Trainers whose rollouts are scripted, so that a batch is the same whatever the number of processes.

`python tests/rlvr/algorithms/scripted.py BASE OUTPUT BATCH ACCUMULATION` takes two steps of plain gradient descent with
every algorithm and saves the weights; tests/rlvr/algorithms/test_processes_agree.py compares them.
"""

import hashlib
import random
import sys
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlvr.algorithms import get_algorithm

PROMPTS = ["1 2 3=6:", "2 3 4=9:", "11 3 4=37:", "5 5 5=15:", "7 2 1=9:", "9 9 1=80:", "4 6 8=10:", "13 2 5=7:"]
EOS = 1
VALUES = {
    "ppo": {"lam": 0.9, "gamma": 0.97, "vf_coef": 0.5, "critic_learning_rate": 0.1},
    "dapo": {"max_resample_rounds": 0, "overlong_buffer": 4, "epsilon_high": 0.28},
    "grpo": {"loss_type": "grpo"},
}


def rng_of(*parts) -> random.Random:
    """The same numbers in every process, whatever the hash seed."""
    return random.Random(hashlib.sha256(repr(parts).encode()).digest())


def completion_of(prompt_ids, member: int) -> list[int]:
    """A completion of 1 to 6 tokens; one in four is cut off, that is without an end."""
    rng = rng_of(list(prompt_ids), member)
    body = [rng.randrange(3, 20) for _ in range(rng.randint(0, 5))]
    return [*body, rng.randrange(3, 20)] if rng.random() < 0.25 else [*body, EOS]


def reward_of(prompt: str, completion_ids) -> float | None:
    """1, 0, or none where the verifier failed; the second prompt's rewards are all equal."""
    if prompt == PROMPTS[1]:
        return 1.0
    return rng_of(prompt, list(completion_ids)).choice([0.0, 1.0, 0.0, 1.0, 1.0, None])


def accuracy(prompts, completion_ids, **_):
    return [reward_of(prompt, ids) for prompt, ids in zip(prompts, completion_ids, strict=True)]


def make_trainer(name: str, base: Path, output: Path, dtype=torch.float32, reward=accuracy, **changes):
    """Returns an algorithm's trainer on the tiny base, with scripted rollouts."""
    algorithm = get_algorithm(name)
    values = {
        "output_dir": str(output),
        "loss_type": "dapo",
        "scale_rewards": "group",
        "beta": 0.0,
        "use_bias_correction_kl": False,
        "epsilon": 0.2,
        "num_generations": 4,
        "per_device_train_batch_size": 16,
        "max_completion_length": 6,
        "max_steps": 2,
        "learning_rate": 0.1,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
        "max_grad_norm": 0.0,
        "weight_decay": 0.0,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        **VALUES.get(name, {}),
        **changes,
    }
    args = algorithm.config_class(**{key: value for key, value in values.items() if value is not None})
    rows = [{"prompt": PROMPTS[i % len(PROMPTS)], "row": i} for i in range(16)]
    trainer = algorithm.trainer_class(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=dtype),
        reward_funcs=reward,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base, padding_side="left"),
    )
    script_rollouts(trainer)
    trainer.model.train()
    return trainer


def script_rollouts(trainer) -> None:
    """Replaces the sampling of tokens, and nothing else."""

    def generate(prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        first = trainer.accelerator.process_index * len(prompt_ids)
        members = [(first + i) % num_generations for i in range(len(prompt_ids))]
        if num_generations == 1:  # ReMax's greedy rollouts, or one rollout a prompt
            members = [-1] * len(prompt_ids)
        return [completion_of(ids, member) for ids, member in zip(prompt_ids, members, strict=True)], None

    trainer._generate_single_turn = generate


def rows_of(trainer, num_prompts: int = 4) -> list[dict]:
    """The rows of a generation: each prompt as often as the group is large."""
    return [{"prompt": prompt} for prompt in PROMPTS[:num_prompts] for _ in range(trainer.num_generations)]


ALGORITHMS = ["grpo", "rloo", "reinforce_plus_plus", "reinforce_plus_plus_baseline", "remax", "dapo", "ppo"]


def main(base: str, output: str, batch: str, accumulation: str) -> None:
    for name in ALGORITHMS:
        for beta in (0.0, 0.05):
            folder = Path(output) / f"{name}-{beta}"
            trainer = make_trainer(
                name,
                Path(base),
                folder,
                per_device_train_batch_size=int(batch),
                gradient_accumulation_steps=int(accumulation),
                beta=beta,
            )
            trainer.train()
            trainer.save_model(str(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
