"""TensorBoard, W&B and Trackio through the trainer's own `report_to`: what reaches each, without a network."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import forked
from tests.limits import HANG_S

ROOT = Path(__file__).parents[3]
KEYS = ("probe/pass@1", "probe/pass@8", "probe/truncation_rate", "verifier/error_rate", "rollouts", "reward")
RLVR_TRAIN = ("rlvr", "train")
SECRET = "a-secret-of-this-test-0123456789abcdef0123"


def words_of(folder: Path, flags: list[str], **changes: object) -> list[str]:
    """Returns `rlvr train` on the small recipe with changed keys; a list is one only in YAML."""
    recipe = yaml.safe_load((ROOT / "recipes/countdown-tiny/grpo.yaml").read_text()) | changes
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    position = flags.index("--report_to")
    return [*RLVR_TRAIN, "--config", str(folder / "recipe.yaml"), *flags[2:position], *flags[position + 2 :]]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, small_recipe) -> Path:
    """A folder with a run that was logged to all three."""
    folder = tmp_path_factory.mktemp("tracked")
    env = {
        **os.environ,
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(folder),
        "WANDB_API_KEY": SECRET,
        "TRACKIO_DIR": str(folder / "trackio"),
        "HF_TOKEN": SECRET,
        "HF_HUB_OFFLINE": "1",
    }
    words = words_of(folder, small_recipe(folder / "run"), report_to=["tensorboard", "wandb", "trackio"])
    command = [sys.executable, "-m", *words]  # trackers read their variables when they are imported
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


def test_tensorboard_has_every_probe_at_its_step(tracked: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = tracked.glob("**/events.out.tfevents.*")
    events = EventAccumulator(str(file)).Reload()
    for key in KEYS:
        assert f"train/{key}" in events.Tags()["scalars"]
    assert [event.step for event in events.Scalars("train/probe/pass@1")] == [0, 2, 4]


def test_trackio_has_every_probe_at_its_step(tracked: Path) -> None:
    (file,) = (tracked / "trackio").glob("*.db")
    rows = [
        (step, json.loads(metrics))
        for step, metrics in sqlite3.connect(file).execute("SELECT step, metrics FROM metrics ORDER BY id")
    ]
    found = {key for _, metrics in rows for key in metrics}
    assert {f"train/{key}" for key in KEYS} <= found
    assert [metrics["train/global_step"] for _, metrics in rows if "train/probe/pass@1" in metrics] == [0, 2, 4]


def test_wandb_has_every_probe(tracked: Path) -> None:
    """Its file holds keys and values as text; there is no public reader of it."""
    (file,) = tracked.glob("wandb/offline-run-*/run-*.wandb")
    logged = file.read_bytes()
    for key in KEYS:
        assert f"train/{key}".encode() in logged


def test_secrets_of_the_environment_are_in_no_file(tracked: Path) -> None:
    files = [path for path in tracked.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_tracker_that_is_not_installed_is_one_clear_error(tmp_path: Path, small_recipe) -> None:
    words = words_of(tmp_path, small_recipe(tmp_path / "run"), report_to=["comet_ml"])
    process = forked.start(words, tmp_path / "output.txt")
    assert process.wait() == 2
    said = process.output()
    assert said.strip().splitlines()[-1].startswith("error: report_to: comet_ml is not installed; pip install")
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_nobody_knows_is_named(tmp_path: Path, small_recipe) -> None:
    words = words_of(tmp_path, small_recipe(tmp_path / "run"), report_to=["wandbb"])
    process = forked.start(words, tmp_path / "output.txt")
    assert process.wait() == 2
    said = process.output()
    assert "report_to: 'wandbb' is not known; expected none, or some of" in said
