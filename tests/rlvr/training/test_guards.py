"""A run that cannot learn stops with a message and a checkpoint; a narrowed one does what the recipe says."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from transformers import TrainerCallback, TrainerControl, TrainerState

from probes.sampling.callback import ProbeCallback, ProbeSettings
from rlvr.cli import main
from rlvr.errors import GuardError
from rlvr.jobs.resolve import resolve
from rlvr.training import train
from rlvr.training.guards import Guards, weights_are_finite
from rlvr.training.recipe import read_recipe
from tests import forked

ROOT = Path(__file__).parents[3]


def run(flags: list[str]):
    return CliRunner().invoke(main, ["train", *flags])


def logged(guards: Guards, *rows: dict, fp16: bool = False, max_steps: int = 99) -> tuple[str | None, int | None]:
    """Feeds a guard with logged steps; returns what it says at last and the step at which it has a checkpoint saved."""
    args, state, control = SimpleNamespace(output_dir="out", fp16=fp16), TrainerState(max_steps=max_steps), None
    for step, row in enumerate(rows, 1):
        state.global_step, control = step, TrainerControl()
        guards.on_step_end(args, state, control)
        try:
            guards.on_log(args, state, control, logs=row)
        except GuardError as error:
            return str(error), None
        if control.should_save:
            return guards.message, step
    return guards.message, None


GOOD = {"loss": 0.1, "grad_norm": 1.0, "reward": 0.5, "reward_std": 0.5, "completions/clipped_ratio": 0.5}
EQUAL = GOOD | {"reward": 0.0, "reward_std": 0.0}
CUT = GOOD | {"completions/clipped_ratio": 1.0}
PROBE = {"probe/pass@1": 0.5}
REUSED = {"loss": 0.1, "grad_norm": 1.0}  # a step that learns again from earlier rollouts
NAN = GOOD | {"grad_norm": float("nan")}


@pytest.mark.parametrize(
    ("patience", "rows", "said", "saved"),
    [
        (2, [GOOD] * 9, None, None),
        (2, [EQUAL, EQUAL], "stopped at step 2: every rollout had reward 0.0 for 2 logged steps", 2),
        (2, [EQUAL, PROBE, EQUAL], "stopped at step 3: every rollout had reward 0.0", 3),
        (2, [EQUAL, REUSED, EQUAL], "stopped at step 3: every rollout had reward 0.0", 3),
        (2, [EQUAL, GOOD, EQUAL, GOOD], None, None),
        (2, [CUT, CUT], "every rollout was cut off at max_completion_length for 2", 2),
        (0, [EQUAL, CUT] * 9, None, None),
        (0, [GOOD, NAN], "stopped at step 2: grad_norm is nan", None),
        (9, [GOOD | {"loss": float("inf")}], "stopped at step 1: loss is inf", None),
        (2, [REUSED] * 9, None, None),
    ],
)
def test_what_a_guard_makes_of_a_log(patience, rows, said, saved):
    message, step = logged(Guards(patience), *rows)
    assert message is None if said is None else said in message
    assert step == saved


def test_a_stop_waits_for_the_end_of_its_generation():
    """A stop between the two steps of a generation saved a checkpoint that no run could go on from exactly."""
    message, saved = logged(Guards(2, every=2), EQUAL, REUSED, EQUAL, REUSED)
    assert "stopped at step 3" in message
    assert saved == 4


def test_the_last_step_ends_by_itself():
    assert logged(Guards(2), EQUAL, EQUAL, max_steps=2) == (None, None)


def test_in_fp16_an_infinite_gradient_norm_is_a_skipped_step():
    assert logged(Guards(2), NAN, GOOD, fp16=True) == (None, None)
    assert "loss is nan" in logged(Guards(2), GOOD | {"loss": float("nan")}, fp16=True)[0]


@pytest.mark.parametrize(("value", "finite"), [(1e30, True), (float("inf"), False), (float("nan"), False)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_trained_must_be_finite(value, finite, dtype):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).to(dtype))
    model[1].weight.data[0, 0] = value
    assert weights_are_finite(model) == finite
    model[1].requires_grad_(False)
    assert weights_are_finite(model)


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


class Poison(TrainerCallback):
    """Makes a weight NaN at the third step."""

    def on_optimizer_step(self, args, state, control, model, **kwargs):
        if state.global_step == 2:
            next(model.parameters()).data[0, 0] = float("nan")


def poison_training(monkeypatch):
    make_trainer = train.make_trainer

    def make_poisoned(*args):
        trainer = make_trainer(*args)
        trainer.add_callback(Poison())
        return trainer

    monkeypatch.setattr(train, "make_trainer", make_poisoned)


def test_nan_stops_the_run_before_it_is_logged_probed_or_saved(small_recipe, tmp_path, monkeypatch):
    """The save of spoilt weights took the only good checkpoint away, and was whole where the log came later."""
    folder = tmp_path / "run"
    changes = {"save_steps": 1, "save_total_limit": 1, "logging_steps": 10, "probe_steps": 1, "max_steps": 5}
    with monkeypatch.context() as patch:
        poison_training(patch)
        result = run(small_recipe(folder, **changes))
    assert result.exit_code == 2
    error = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert f"{folder}: stopped at step 3: a trained weight is nan or inf" in error[0]
    assert [path.parent.name for path in folder.glob("checkpoint-*/COMPLETE")] == ["checkpoint-2"]
    assert not (folder / "FINISHED").exists()
    result = run(small_recipe(folder, **changes))
    assert result.exit_code == 0, result.output
    summary = json.loads((folder / "summary.json").read_text())
    assert [probe["step"] for probe in summary["probes"]] == [0, 1, 2, 3, 4, 5]


def test_a_learning_rate_that_is_far_too_large_stops_the_run(small_recipe, tmp_path):
    folder = tmp_path / "run"
    flags = small_recipe(folder, learning_rate=1e38, max_grad_norm=0, max_steps=6, save_steps=1, probe_problems="")
    result = run(flags)
    assert result.exit_code == 2
    assert " is nan" in result.output or " is inf" in result.output
    assert not (folder / "FINISHED").exists()


def launch(flags: list[str], log: Path) -> tuple[int, str]:
    """Runs two processes; returns code and output."""
    command = ["accelerate.commands.launch", "--config_file", "recipes/accelerate/ddp-cpu.yaml", "scripts/train.py"]
    process = forked.start([*command, *flags], log, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return process.wait(), process.output()


def test_two_processes_stop_together(small_recipe, tmp_path):
    folder = tmp_path / "run"
    changes = {"verifier": "tests.length_verifier:always", "guard_patience": 2, "per_device_train_batch_size": 8}
    code, said = launch(small_recipe(folder, probe_problems="", **changes), tmp_path / "log")
    assert code != 0
    assert "stopped at step 2" in said
    assert (folder / "checkpoint-2" / "COMPLETE").exists()


def test_two_processes_narrow_together(small_recipe, tmp_path):
    folder = tmp_path / "run"
    code, said = launch(small_recipe(folder, per_device_train_batch_size=8, **NARROWS), tmp_path / "log")
    assert code == 0, said
    assert said.count("shows a loss at k = 8") == 1
    check_stopped(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_iterations": 2, "save_steps": 3}, "a multiple of 2"),
        ({"steps_per_generation": 4, "save_steps": 6}, "a multiple of 4"),
        ({"num_iterations": 2, "save_strategy": "epoch"}, "share one generation"),
        ({"num_iterations": 2, "save_steps": 0.5}, "save_steps: 0.5 (save_strategy: steps) may save between the 2"),
        ({"num_iterations": 2, "probe_steps": 3, "probe_on_narrowing": "save"}, "probe_steps: 3 with"),
        ({"probe_on_narrowing": "explode"}, "probe_on_narrowing: 'explode' is not known; use log, save, stop"),
        ({"guard_patience": -1}, "guard_patience: -1 is negative"),
    ],
)
def test_values_that_break_an_exact_resume_or_make_no_sense_are_refused(changes, message, small_recipe, tmp_path):
    result = run(small_recipe(tmp_path / "run", **changes))
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"num_iterations": 2, "save_steps": 4},
        {"gradient_accumulation_steps": 2},
        {"num_iterations": 2, "save_strategy": "no"},
    ],
)
def test_saves_between_generations_are_allowed(changes, small_recipe, tmp_path):
    flags = small_recipe(tmp_path / "run", **changes)
    train.check_save_steps(resolve(read_recipe(flags[1], flags[2:])).training.arguments())


def test_a_supervised_arm_may_save_at_any_step():
    recipe = read_recipe(str(ROOT / "recipes/countdown-tiny/distill.yaml"), ["--save_steps", "7", "--use_cpu"])
    train.check_save_steps(resolve(recipe).training.arguments())


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


# One step that spoils the model: it repeats itself and solves nothing any more.
NARROWS = {
    "verifier": "tests.length_verifier:varied",
    "learning_rate": 1.0,
    "max_grad_norm": 0,
    "probe_steps": 1,
    "save_steps": 9,
    "probe_on_narrowing": "stop",
}


def check_stopped(folder: Path) -> None:
    """Checks that a run of 4 steps ended as usual after the first."""
    summary = json.loads((folder / "summary.json").read_text())
    assert [probe["step"] for probe in summary["probes"]] == [0, 1]
    assert summary["probes"][-1]["against_base"]["k"]["8"]["verdict"] == "loss"
    assert summary["notes"][-1].startswith(
        "Training ended early, at step 1 of 4: the probe there showed a loss at k = 8"
    )
    assert "Training ended early" in (folder / "report.html").read_text()
    assert (folder / "checkpoint-1" / "COMPLETE").exists()
    assert (folder / "FINISHED").exists()


def test_a_real_loss_stops_the_run_as_usual_with_a_note(small_recipe, tmp_path, caplog):
    folder = tmp_path / "run"
    result = run(small_recipe(folder, **NARROWS))
    assert result.exit_code == 0, result.output
    assert caplog.text.count("The probe at step 1 shows a loss at k = 8 against step 0: stop.") == 1
    check_stopped(folder)


def test_a_run_that_is_killed_after_it_was_told_to_stop_does_not_train_on(small_recipe, tmp_path):
    """The probe stood in the index, so nothing was made of it after the restart, and the run trained to its end."""
    folder = tmp_path / "run"
    assert run(small_recipe(folder, **NARROWS)).exit_code == 0
    for name in ("FINISHED", "model.safetensors", "summary.json"):
        (folder / name).unlink()
    result = run(small_recipe(folder, **NARROWS))
    assert result.exit_code == 0, result.output
    check_stopped(folder)


def test_the_metric_says_narrowed_where_the_band_shows_a_loss_at_the_largest_k():
    from probes.results.summary import metrics

    def summary(verdict):
        against = None if verdict is None else {"k": {"1": {"verdict": "gain"}, "8": {"verdict": verdict}}}
        rates = dict.fromkeys(("truncation_rate", "no_answer_rate", "mean_tokens", "distinct_correct"), 0.0)
        return {"probes": [{"pass@k": {"8": {"estimate": 0.5}}, "against_base": against, **rates}]}

    assert metrics(summary("loss"))["probe/narrowed"] == 1.0
    assert metrics(summary("cannot tell"))["probe/narrowed"] == 0.0
    assert "probe/narrowed" not in metrics(summary(None))


def test_settings_keep_logging_by_default():
    assert ProbeSettings.__dataclass_fields__["on_narrowing"].default == "log"
