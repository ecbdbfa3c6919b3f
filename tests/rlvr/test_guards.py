"""A run that cannot learn stops with a message and a checkpoint; a narrowed one does what the recipe says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from probes.callback import ProbeCallback, ProbeSettings
from rlvr.cli import main
from rlvr.guards import Guards

ROOT = Path(__file__).parent.parent.parent


def run(flags: list[str]):
    return CliRunner().invoke(main, ["train", *flags])


def logged(guards: Guards, *rows: dict) -> str | None:
    class Args:
        output_dir = "out"

    class State:
        global_step = 0

    class Control:
        should_save = False

    for row in rows:
        State.global_step += 1
        guards.on_log(Args, State, Control, logs=row)
    assert Control.should_save == (guards.message is not None)
    return guards.message


GOOD = {"loss": 0.1, "grad_norm": 1.0, "reward": 0.5, "reward_std": 0.5, "completions/clipped_ratio": 0.5}
EQUAL = GOOD | {"reward": 0.0, "reward_std": 0.0}
CUT = GOOD | {"completions/clipped_ratio": 1.0}
PROBE = {"probe/pass@1": 0.5}


@pytest.mark.parametrize(
    ("patience", "rows", "said"),
    [
        (2, [GOOD] * 9, None),
        (2, [EQUAL, EQUAL], "stopped at step 2: every rollout had reward 0.0 for 2 logged steps"),
        (2, [EQUAL, PROBE, EQUAL], "stopped at step 3: every rollout had reward 0.0"),
        (2, [EQUAL, GOOD, EQUAL, GOOD], None),
        (2, [CUT, CUT], "every rollout was cut off at max_completion_length for 2"),
        (0, [EQUAL, CUT] * 9, None),
        (0, [GOOD, GOOD | {"grad_norm": float("nan")}], "stopped at step 2: grad_norm is nan"),
        (9, [GOOD | {"loss": float("inf")}], "stopped at step 1: loss is inf"),
        (2, [{"loss": 0.1, "grad_norm": 1.0}] * 9, None),
    ],
)
def test_what_a_guard_makes_of_a_log(patience, rows, said):
    message = logged(Guards(patience), *rows)
    assert message is None if said is None else said in message


def test_equal_rewards_stop_the_run_and_more_patience_goes_on(small_recipe, tmp_path):
    folder = tmp_path / "run"
    same = {"verifier": "tests.length_verifier:always", "max_steps": 6, "save_steps": 6, "probe_problems": ""}
    result = run(small_recipe(folder, guard_patience=2, **same))
    assert result.exit_code == 2
    assert "stopped at step 2: every rollout had reward 1.0 for 2 logged steps" in result.output
    assert (folder / "checkpoint-2" / "COMPLETE").exists()
    assert not (folder / "FINISHED").exists()
    result = run(small_recipe(folder, guard_patience=0, **same))
    assert result.exit_code == 0, result.output
    assert (folder / "FINISHED").exists()


def test_rollouts_that_are_all_cut_off_stop_the_run(small_recipe, tmp_path):
    changes = {"max_completion_length": 1, "guard_patience": 1, "probe_problems": "", "learning_rate": 0.0}
    result = run(small_recipe(tmp_path / "run", **changes))
    assert result.exit_code == 2
    assert "every rollout was cut off" in result.output


def test_nan_stops_the_run_and_its_checkpoint_is_not_gone_on_from(small_recipe, tmp_path):
    folder = tmp_path / "run"
    result = run(
        small_recipe(folder, learning_rate=1e30, max_grad_norm=0, max_steps=6, save_steps=1, probe_problems="")
    )
    assert result.exit_code == 2
    assert " is nan" in result.output or " is inf" in result.output
    steps = {int(path.name.split("-")[1]): (path / "COMPLETE").exists() for path in folder.glob("checkpoint-*")}
    assert not steps[max(steps)]


def test_two_processes_stop_together(small_recipe, tmp_path):
    folder = tmp_path / "run"
    changes = {"verifier": "tests.length_verifier:always", "guard_patience": 2, "per_device_train_batch_size": 8}
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "recipes/accelerate/ddp-cpu.yaml"]
    command = [*launcher, "scripts/train.py", *small_recipe(folder, probe_problems="", **changes)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode != 0
    assert "stopped at step 2" in done.stderr
    assert (folder / "checkpoint-2" / "COMPLETE").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_iterations": 2, "save_steps": 3}, "a multiple of 2"),
        ({"steps_per_generation": 4, "save_steps": 6}, "a multiple of 4"),
        ({"num_iterations": 2, "save_strategy": "epoch"}, "share one generation"),
        ({"probe_on_narrowing": "explode"}, "probe_on_narrowing: 'explode' is not known; use log, save, stop"),
        ({"guard_patience": -1}, "guard_patience: -1 is negative"),
    ],
)
def test_values_that_break_an_exact_resume_or_make_no_sense_are_refused(changes, message, small_recipe, tmp_path):
    result = run(small_recipe(tmp_path / "run", **changes))
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changes", [{"num_iterations": 2, "save_steps": 4}, {"gradient_accumulation_steps": 2}])
def test_saves_between_generations_are_allowed(changes, small_recipe, tmp_path):
    from rlvr.recipe import read_recipe
    from rlvr.train import check_save_steps

    flags = small_recipe(tmp_path / "run", **changes)
    check_save_steps(read_recipe(flags[1], flags[2:]).training())


def narrowing_run(action: str, small_recipe, folder: Path, monkeypatch) -> list[dict]:
    """A run whose probe at step 1 is said to show a loss."""
    attach = ProbeCallback.attach

    def attach_with_a_loss(self, trainer):
        self.after_probe = lambda history: {"probe/narrowed": float(trainer.state.global_step == 1)}
        attach(self, trainer)

    monkeypatch.setattr(ProbeCallback, "attach", attach_with_a_loss)
    flags = small_recipe(folder, probe_steps=1, save_steps=3, max_steps=3, probe_on_narrowing=action)
    result = run(flags)
    assert result.exit_code == 0, result.output
    return json.loads((folder / "trainer_state.json").read_text())["log_history"]


@pytest.mark.parametrize(("action", "steps", "saved"), [("log", 3, {3}), ("save", 3, {1, 3}), ("stop", 1, {1})])
def test_narrowing_is_logged_or_saves_or_stops(action, steps, saved, small_recipe, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    history = narrowing_run(action, small_recipe, folder, monkeypatch)
    assert max(row["step"] for row in history) == steps
    assert {int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*")} == saved
    assert [row["probe/narrowed"] for row in history if "probe/narrowed" in row][:2] == [0.0, 1.0]
    assert (folder / "FINISHED").exists()
    assert (folder / "report.html").exists()


def test_the_metric_says_narrowed_where_the_band_shows_a_loss_at_the_largest_k():
    from probes.summary import metrics

    def summary(verdict):
        against = None if verdict is None else {"k": {"1": {"verdict": "gain"}, "8": {"verdict": verdict}}}
        rates = dict.fromkeys(("truncation_rate", "no_answer_rate", "mean_tokens", "distinct_correct"), 0.0)
        return {"probes": [{"pass@k": {"8": {"estimate": 0.5}}, "against_base": against, **rates}]}

    assert metrics(summary("loss"))["probe/narrowed"] == 1.0
    assert metrics(summary("cannot tell"))["probe/narrowed"] == 0.0
    assert "probe/narrowed" not in metrics(summary(None))


def test_settings_keep_logging_by_default():
    assert ProbeSettings.__dataclass_fields__["on_narrowing"].default == "log"
