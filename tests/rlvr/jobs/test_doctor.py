"""`rlvr doctor`: what a run's folder is said to lack, from folders that are made by hand."""

import json
from dataclasses import asdict

import pytest
from click.testing import CliRunner

from rlvr.cli import main
from rlvr.rollouts.order import Order
from rlvr.training.checkpoints import COMPLETE, FINISHED, mark

ORDER = Order(num_rows=4, num_generations=2, batch_rows=2, num_uses=1, accumulation=1, seed=7)
PROBLEMS = ["a", "b", "c", "d"]


def make_run(folder, num_steps=3, made=None, since=0, recipe=None, is_finished=True):
    """A run of `num_steps` steps whose problems had the rollouts `made`; by default those of its order."""
    visits = ORDER.visits(num_steps) if made is None else made
    count = {"num": 6, "by_problem": list(zip(PROBLEMS, visits, strict=True)), "order": asdict(ORDER), "since": since}
    state = {"global_step": num_steps, "log_history": [], "stateful_callbacks": {"RolloutCount": {"attributes": count}}}
    checkpoint = folder / f"checkpoint-{num_steps}"
    checkpoint.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"recipe": recipe or {}}))
    for place in (folder, checkpoint):
        (place / "model.safetensors").write_bytes(b"weights")
        (place / "trainer_state.json").write_text(json.dumps(state))
    mark(checkpoint, COMPLETE)
    if is_finished:
        mark(folder, FINISHED, [folder / "model.safetensors"])
    return folder


def doctor(folder):
    """Exit code, and the findings by check."""
    done = CliRunner().invoke(main, ["doctor", str(folder), "--json"])
    found = json.loads(done.stdout) if done.exit_code < 2 else done.output
    return done.exit_code, found if isinstance(found, str) else {each["check"]: each for each in found["findings"]}


def test_a_whole_run_has_one_note(tmp_path):
    code, found = doctor(make_run(tmp_path / "run"))
    assert code == 0
    assert list(found) == ["exposures"]
    assert found["exposures"]["level"] == "note"
    assert "12 rollouts of 4 of 4 problems, 2 to 4 each, exactly those" in found["exposures"]["message"]
    done = CliRunner().invoke(main, ["doctor", str(tmp_path / "run")])
    assert done.stdout.startswith("note     exposures: by step 3, 12 rollouts")


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({"made": [2, 4, 2, 4]}, "error", "had other numbers of rollouts than in a run that was never interrupted"),
        ({"made": [9, 9, 9, 9], "recipe": {"max_resample_rounds": 2}}, "note", "at least those"),
        ({"made": [1, 9, 9, 9], "recipe": {"max_resample_rounds": 2}}, "error", "had other numbers"),
        ({"since": 2}, "note", "counted from step 2 on"),
    ],
)
def test_exposures_are_held_against_the_order(change, level, said, tmp_path):
    if ORDER.visits(3) == change.get("made"):
        change = {"made": change["made"][::-1]}
    code, found = doctor(make_run(tmp_path / "run", **change))
    assert found["exposures"]["level"] == level
    assert said in found["exposures"]["message"]
    assert code == (level == "error")


def test_a_damaged_checkpoint_and_a_damaged_model_are_errors(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "model.safetensors").write_bytes(b"changed")
    (run / "checkpoint-3" / "model.safetensors").write_bytes(b"changed")
    code, found = doctor(run)
    assert code == 1
    assert found["model"]["level"] == found["checkpoint"]["level"] == "error"
    assert "model.safetensors is not as it was saved" in found["model"]["message"]


def test_a_training_that_is_not_over_is_owed(tmp_path):
    code, found = doctor(make_run(tmp_path / "run", is_finished=False))
    assert code == 1
    assert found["training"]["level"] == "owed"


def test_what_is_no_run_is_refused(tmp_path):
    code, said = doctor(tmp_path)
    assert code == 2
    assert "not the folder of a run; expected the file manifest.json in it" in said
