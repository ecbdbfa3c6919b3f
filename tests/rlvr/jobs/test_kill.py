"""Kill -9 in the middle of a probe and of a training step: the same command goes on and ends as if nothing happened."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from probes.store.index import ProbeIndex
from probes.store.store import ProbeStore
from rlvr.cli import main
from rlvr.jobs.doctor import examine_run
from rlvr.rollouts.exposures import saved_count
from rlvr.rollouts.kept import read_rollouts
from rlvr.training.run_folder import RunFolder
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
    """Bit-identical losses, weights and counts: critic, optimizer state, dynamic sampling and the order of problems.

    The run goes on in its first epoch and in its second: TRL's sampler starts each process with the first one's order.
    """
    recipe = ROOT / f"recipes/countdown-tiny/{algorithm}.yaml"

    def flags(folder: Path) -> list[str]:
        values = {
            "model_name_or_path": tiny_base,
            "verifier": "tests.length_verifier:even_length",
            "train_problems": f"countdown:train?num={64 if algorithm == 'rft' else 12}",  # 12 make an epoch of 3 steps
            "probe_problems": "",
            "output_dir": folder,
            "per_device_train_batch_size": 16,
            "max_steps": 8,
            "save_steps": 2,
            "warmup_steps": 0,
            "report_to": "none",
            "disable_tqdm": True,
        } | ({} if algorithm == "rft" else {"num_generations": 4, "max_resample_rounds": 2, "keep_rollouts": True})
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
    counts = [saved_count(RunFolder(each).last_state()["stateful_callbacks"]) for each in (whole, killed)]
    assert counts[0] == counts[1]
    kept = list(read_rollouts(killed))
    assert kept == list(read_rollouts(whole))
    assert Counter(row["problem_id"] for row in kept) == Counter(dict(counts[0].get("by_problem", ())))
    said = [each.message for each in examine_run(killed) if each.check == "exposures"]
    assert said == ([] if algorithm == "rft" else [exposures_of(counts[0], algorithm)])


def exposures_of(count, algorithm):
    """What the doctor says of eight steps in epochs of three, four problems each: 8 of 12 problems came once more."""
    made = [number for _, number in count["by_problem"]]
    assert len(made) == 12
    if algorithm == "dapo":
        return (
            f"by step 8, {sum(made)} rollouts of 12 of 12 problems, {min(made)} to {max(made)} each, at least those of "
            "a run that was never interrupted."
        )
    assert sorted(made) == [8] * 4 + [12] * 8
    return (
        "by step 8, 128 rollouts of 12 of 12 problems, 8 to 12 each, exactly those of a run that was never interrupted."
    )
