"""Training options that people use, run for real on two CPU processes: ZeRO-2, ZeRO-3, LoRA, gradient accumulation."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from probes.store.index import ProbeIndex
from probes.store.store import ProbeStore
from tests import forked

ROOT = Path(__file__).parents[3]
LORA = {"use_peft": True, "lora_r": 4, "lora_alpha": 8, "lora_target_modules": ["q_proj", "v_proj", "up_proj"]}
CASES = [
    ("zero2-cpu", "ppo", {}),
    ("zero3-cpu", "ppo", {"gradient_accumulation_steps": 2}),
    ("zero3-cpu", "ppo", LORA),
    ("ddp-cpu", "ppo", LORA),
    ("zero3-cpu", "dapo", {}),
]


def run(tiny_base: Path, folder: Path, launcher: str, algorithm: str, changes: dict) -> Path:
    values = {
        "model_name_or_path": tiny_base,
        "verifier": "tests.length_verifier:even_length",
        "train_problems": "countdown:train?num=64",
        "probe_problems": "countdown:probe?num=6",
        "probe_steps": 0,
        "probe_k_max": 4,
        "probe_max_draws": 16,
        "probe_first_look": 4,
        "output_dir": folder,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_steps": 4,
        "save_steps": 2,
        "warmup_steps": 0,
        "learning_rate": 1e-3,
        "report_to": "none",
        "disable_tqdm": True,
        **changes,
    }
    flags = [
        word
        for key, value in values.items()
        for word in (f"--{key}", *map(str, value if isinstance(value, list) else [value]))
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    command = ["accelerate.commands.launch", "--config_file", f"recipes/accelerate/{launcher}.yaml"]
    recipe = ["scripts/train.py", "--config", f"recipes/countdown-tiny/{algorithm}.yaml"]
    process = forked.start([*command, *recipe, *flags], folder.with_suffix(".log"), env=environment)
    assert process.wait() == 0, process.output()[-3000:]
    return folder


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join([case[0], case[1], *case[2]]))
def trained(request, tiny_base, tmp_path_factory):
    launcher, algorithm, changes = request.param
    return run(tiny_base, tmp_path_factory.mktemp("run") / "run", launcher, algorithm, changes), algorithm, changes


def test_it_trains_and_logs_real_losses(trained, tiny_base):
    folder, _, changes = trained
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    rows = [row for row in history if "loss" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(row["grad_norm"] > 0 for row in rows)
    if "use_peft" not in changes:
        before, after = load_file(tiny_base / "model.safetensors"), load_file(folder / "model.safetensors")
        assert before.keys() <= after.keys()
        assert any((after[key] - before[key]).abs().max() > 0 for key in before)


def test_the_model_loads_without_a_critic_in_it(trained, tiny_base):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder, _, changes = trained
    if "use_peft" in changes:
        base = AutoModelForCausalLM.from_pretrained(tiny_base)
        assert not any("critic" in key for key in load_file(folder / "adapter_model.safetensors"))
        PeftModel.from_pretrained(base, folder)
        return
    _, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values())


def test_the_critic_is_saved_beside_it_and_has_learned(trained):
    from transformers import AutoModelForTokenClassification

    folder, algorithm, _ = trained
    if algorithm != "ppo":
        assert not (folder / "critic").exists()
        return
    for place in (folder, folder / "checkpoint-2"):
        critic, info = AutoModelForTokenClassification.from_pretrained(place / "critic", output_loading_info=True)
        assert not any(info.values())
        assert critic.score.weight.abs().max() > 0


def test_all_processes_probed_the_same_base(trained, tiny_base):
    """The critic is no part of the arm: step 0 is the base, whatever engine holds the weights."""
    from probes.store.arm import Sampling, arm_of
    from rlvr.models.loading import load_model, load_tokenizer
    from rlvr.problems.prompts import PromptFormat

    folder, _, _ = trained
    index = ProbeIndex(folder)
    first, last = (ProbeStore.open_existing(index.store_path(entry)) for entry in index.entries())
    model = load_model(str(tiny_base), None, False, dtype=torch.float32)
    tokenizer = load_tokenizer(str(tiny_base), None, False)
    sampling = Sampling(max_new_tokens=first.arm.sampling.max_new_tokens)
    assert first.arm.weights == arm_of(model, tokenizer, PromptFormat(), sampling).weights
    assert first.arm.weights != last.arm.weights
    writers = {path.name for path in first.path.glob("draws-*.sqlite")}
    assert len(writers) == 2
