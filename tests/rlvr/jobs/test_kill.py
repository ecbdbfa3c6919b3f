"""Kill -9 in the middle of a probe and of a training step: the same command goes on and ends as if nothing happened."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from probes.store.index import ProbeIndex
from probes.store.store import ProbeStore
from rlvr.cli import main
from tests import forked
from tests.limits import HANG_S

ROOT = Path(__file__).parents[3]


def start(flags: list[str], *program: str) -> forked.Process:
    folder = Path(flags[flags.index("--output_dir") + 1])
    return forked.start([*(program or ("rlvr", "train")), *flags], folder.with_suffix(".log"))


def finish(flags: list[str]) -> None:
    """The same command, in this process: it is not killed."""
    result = CliRunner().invoke(main, ["train", *flags])
    assert result.exit_code == 0, result.output


def kill_when(process: forked.Process, condition) -> None:
    """Waits until the condition holds, then kills with signal 9."""
    limit = time.monotonic() + HANG_S
    while not condition():
        assert process.returncode is None, process.output()
        assert time.monotonic() < limit
        time.sleep(0.03)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def stores(folder: Path) -> list[ProbeStore]:
    return [ProbeStore.open_existing(path.parent) for path in folder.glob("probes/*/probe.json")]


def all_draws(folder: Path) -> dict[tuple[str, str, int], str]:
    return {
        (store.arm.arm_id, draw.problem_id, draw.draw_index): draw.completion
        for store in stores(folder)
        for draw in store.draws()
    }


def losses(folder: Path) -> list[tuple[int, float, float]]:
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [(row["step"], row["loss"], row["grad_norm"]) for row in history if "reward" in row]


@pytest.fixture(scope="module")
def flags(small_recipe):
    """Draws enough that a probe takes a while, chunk by chunk."""
    return lambda folder: small_recipe(
        folder, probe_max_draws=1024, probe_stop_at=0, probe_problems="countdown:probe?num=4", max_steps=6
    )


@pytest.fixture(scope="module")
def uninterrupted(flags, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(flags(folder))
    return folder


def test_killed_in_a_probe_and_in_training_the_run_ends_the_same(flags, uninterrupted, tmp_path):
    folder = tmp_path / "run"

    def index_has(step: int) -> bool:
        return any(entry.step == step for entry in ProbeIndex(folder).entries())

    # In the middle of the first probe, of training after it, and of the probe at step 4.
    kill_when(start(flags(folder)), lambda: len(all_draws(folder)) > 1000)
    first = all_draws(folder)
    assert not index_has(0)
    kill_when(start(flags(folder)), lambda: index_has(0))
    kill_when(start(flags(folder)), lambda: index_has(2) and len(stores(folder)) == 3)
    durable = all_draws(folder)
    assert first.items() <= durable.items(), "no durable draw was lost or changed"
    finish(flags(folder))

    final = all_draws(folder)
    assert durable.items() <= final.items()
    assert final == all_draws(uninterrupted), "same arms, same draws, none twice"
    assert losses(folder) == losses(uninterrupted)
    ended, whole = (json.loads((place / "summary.json").read_text())["probes"] for place in (folder, uninterrupted))
    assert [probe["pass@k"] for probe in ended] == [probe["pass@k"] for probe in whole]


def test_a_checkpoint_that_was_cut_short_is_not_resumed_from(flags, uninterrupted, tmp_path):
    from rlvr.training.run_folder import RunFolder

    folder = tmp_path / "run"
    process = start(flags(folder))
    kill_when(process, lambda: (folder / "checkpoint-2" / "COMPLETE").exists())
    torn = folder / "checkpoint-4"
    torn.mkdir(exist_ok=True)
    (torn / "model.safetensors").write_bytes(b"half")
    (torn / "COMPLETE").unlink(missing_ok=True)
    assert RunFolder(folder).last_checkpoint() == folder / "checkpoint-2"
    finish(flags(folder))
    assert losses(folder) == losses(uninterrupted)


def test_killed_in_the_last_probe_the_run_takes_no_further_step(flags, uninterrupted, tmp_path):
    """transformers takes one more step when it resumes from the checkpoint of the last step."""
    folder = tmp_path / "run"
    kill_when(start(flags(folder)), lambda: (folder / "checkpoint-6" / "COMPLETE").exists())
    assert not (folder / "FINISHED").exists()
    assert not any(entry.step == 6 for entry in ProbeIndex(folder).entries())
    finish(flags(folder))
    assert losses(folder) == losses(uninterrupted)
    assert all_draws(folder) == all_draws(uninterrupted)
    model = "model.safetensors"
    assert (folder / model).read_bytes() == (uninterrupted / model).read_bytes()


def rollouts(folder: Path) -> list[tuple[int, float, float]]:
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [(row["step"], row["rollouts"], row.get("num_tokens")) for row in history if "rollouts" in row]


@pytest.mark.parametrize("algorithm", ["ppo", "dapo", "remax", "rft"])
def test_a_killed_run_of_each_algorithm_with_state_ends_the_same(algorithm, tiny_base, tmp_path):
    """Bit-identical losses, weights and counts: critic, optimizer state and dynamic sampling go on as they were."""
    recipe = ROOT / f"recipes/countdown-tiny/{algorithm}.yaml"

    def flags(folder: Path) -> list[str]:
        values = {
            "model_name_or_path": tiny_base,
            "verifier": "tests.length_verifier:even_length",
            "train_problems": "countdown:train?num=64",
            "probe_problems": "",
            "output_dir": folder,
            "per_device_train_batch_size": 16,
            "max_steps": 8,
            "save_steps": 2,
            "warmup_steps": 0,
            "report_to": "none",
            "disable_tqdm": True,
        } | ({} if algorithm == "rft" else {"num_generations": 4, "max_resample_rounds": 2})
        if algorithm != "dapo":
            values.pop("max_resample_rounds", None)
        return ["--config", str(recipe), *(str(word) for key, value in values.items() for word in (f"--{key}", value))]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(flags(whole))
    for step in (2, 4):
        process = start(flags(killed), "tests.rlvr.jobs.kill_after", str(step))
        assert process.wait() == -signal.SIGKILL, process.output()
    assert not (killed / "FINISHED").exists()
    finish(flags(killed))
    assert [row[:2] for row in rollouts(killed)] == [row[:2] for row in rollouts(whole)]
    history = [json.loads((each / "trainer_state.json").read_text())["log_history"] for each in (whole, killed)]
    steps = [[(row["step"], row["loss"], row["grad_norm"]) for row in rows if "loss" in row] for rows in history]
    assert steps[0] == steps[1]
    assert len(steps[0]) == 8
    for file in ("model.safetensors", *(["critic/model.safetensors"] if algorithm == "ppo" else [])):
        assert (killed / file).read_bytes() == (whole / file).read_bytes()
