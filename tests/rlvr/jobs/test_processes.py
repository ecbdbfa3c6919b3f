"""The same entry under `accelerate launch`: one process and two."""

import json
import os
from pathlib import Path

from probes.store.index import ProbeIndex
from probes.store.store import ProbeStore
from tests import forked

ROOT = Path(__file__).parents[3]
ONE = ("--cpu", "--num_processes", "1", "scripts/train.py")


def launch(log: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = forked.start(["accelerate.commands.launch", *arguments], log, env=environment)
    assert process.wait() == 0, process.output()[-3000:]
    return process.output()


def trained(folder: Path) -> list[tuple[int, float, float]]:
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [(row["step"], row["grad_norm"], row["entropy"]) for row in history if "reward" in row]


def test_accelerate_launch_trains_as_the_command_does(small_recipe, tmp_path):
    """Same seed, one process: equal losses and an equal model, bit for bit."""
    command, launched = tmp_path / "command", tmp_path / "launched"
    process = forked.start(["rlvr", "train", *small_recipe(command, probe_problems="")], tmp_path / "command.log")
    assert process.wait() == 0, process.output()
    launch(tmp_path / "launched.log", *ONE, *small_recipe(launched, probe_problems=""))
    assert trained(command) == trained(launched)
    assert (command / "model.safetensors").read_bytes() == (launched / "model.safetensors").read_bytes()


def base_counts(folder: Path):
    index = ProbeIndex(folder)
    store = ProbeStore.open_existing(index.store_path(index.entries()[0]))
    counts = store.counts()
    return dict(zip(counts.problem_ids, counts.c_P.tolist(), strict=True)), store


def test_accelerate_launch_with_one_and_two_processes_probes_the_same(small_recipe, tmp_path):
    options = {"probe_max_draws": 64, "max_steps": 2, "probe_steps": 0, "save_steps": 2}
    options["shadow_verifier"] = "tests.length_verifier:varied"
    one, two = tmp_path / "one", tmp_path / "two"
    output = launch(tmp_path / "one.log", *ONE, *small_recipe(one, **options))
    assert output.strip().endswith(f"report: {one}/report.html")
    launch(
        tmp_path / "two.log",
        "--config_file",
        "recipes/accelerate/ddp-cpu.yaml",
        "scripts/train.py",
        *small_recipe(two, **options | {"per_device_train_batch_size": 8}),
    )
    counts, store = base_counts(two)
    assert counts == base_counts(one)[0]
    writers = sorted(path.name for path in store.path.glob("draws-*.sqlite"))
    assert writers == ["draws-00000.sqlite", "draws-00001.sqlite"], "both processes drew"
    for folder in (one, two):
        summary = json.loads((folder / "summary.json").read_text())
        assert [probe["step"] for probe in summary["probes"]] == [0, 2]
        assert summary["training"]["num_tokens"][-1] > 0
        judged = sum(summary["shadow"]["rollouts"]["cells"].values())
        assert judged == summary["training"]["rollouts"][-1], "the shadow's counts are of both processes"
