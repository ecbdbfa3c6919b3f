"""The main job with `use_vllm: true`: rollouts and probes come from the same vLLM, in the trainer's process."""

import json
import os
import subprocess
import sys

import pytest

from probes.store.index import ProbeIndex
from probes.store.store import ProbeStore
from tests.limits import HANG_S
from tests.with_vllm.test_live_colocate import ROOT, environment

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def test_the_command_trains_and_probes_through_vllm(small_recipe, tmp_path):
    """No patch and no option beside the recipe's: vLLM samples in its own dtype, which the arm records."""
    folder = tmp_path / "run"
    flags = small_recipe(folder, use_vllm=True, vllm_mode="colocate", max_steps=2, probe_steps=1, save_steps=2)
    command = [sys.executable, "-m", "rlvr", "train", *flags]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment()}, capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == 0, done.stderr[-3000:]
    index = ProbeIndex(folder)
    assert [entry.step for entry in index.entries()] == [0, 1, 2]
    stores = [ProbeStore.open_existing(index.store_path(entry)) for entry in index.entries()]
    assert all(store.engines() == {"vllm"} for store in stores)
    assert {store.arm.dtype for store in stores} == {"bfloat16"}
    summary = json.loads((folder / "summary.json").read_text())
    assert [probe["step"] for probe in summary["probes"]] == [0, 1, 2]
    assert (folder / "report.html").exists()


@pytest.mark.parametrize("algorithm", ["ppo", "remax", "dapo"])
def test_algorithms_that_add_to_trls_rollouts_train_with_vllm(algorithm, small_recipe, tmp_path):
    """PPO's critic stays out of the sync of weights, ReMax's greedy rollouts and DAPO's extra rounds come from vLLM."""
    folder = tmp_path / "run"
    changes = {"algorithm": algorithm, "max_steps": 3, "probe_steps": 0, "save_steps": 3, "loss_type": "dapo"}
    flags = small_recipe(folder, use_vllm=True, vllm_mode="colocate", **changes)
    command = [sys.executable, "-m", "rlvr", "train", *flags]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment()}, capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == 0, done.stderr[-3000:]
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    rows = [row for row in history if "reward" in row]
    assert [row["step"] for row in rows] == [1, 2, 3]
    per_step = {"ppo": 16, "remax": 20}
    assert rows[-1]["rollouts"] == 3 * per_step[algorithm] if algorithm in per_step else rows[-1]["rollouts"] >= 48
    index = ProbeIndex(folder)
    stores = [ProbeStore.open_existing(index.store_path(entry)) for entry in index.entries()]
    assert all(store.engines() == {"vllm"} for store in stores)
    assert stores[0].arm.weights != stores[-1].arm.weights
    if algorithm == "ppo":
        assert (folder / "critic" / "model.safetensors").exists()
