"""Checkpoints: marked last, checked before they are trusted, removed only once the next is complete."""

import json
import logging
from pathlib import Path

import pytest

from rlvr.training.checkpoints import COMPLETE, FINISHED, faults, last_whole, mark, remove_older
from rlvr.training.run_folder import RunFolder


def checkpoint(run_dir: Path, step: int, is_complete: bool = True) -> Path:
    folder = run_dir / f"checkpoint-{step}"
    (folder / "critic").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    (folder / "critic" / "model.safetensors").write_bytes(b"critic")
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": [{"step": step}]}))
    if is_complete:
        mark(folder, COMPLETE)
    return folder


def steps(run_dir: Path) -> list[int]:
    return sorted(int(path.name.rpartition("-")[2]) for path in run_dir.glob("checkpoint-*"))


def test_the_mark_lists_every_file_and_nothing_is_wrong_with_them(tmp_path):
    folder = checkpoint(tmp_path, 2)
    listed = json.loads((folder / COMPLETE).read_text())["files"]
    assert set(listed) == {"model.safetensors", "critic/model.safetensors", "trainer_state.json"}
    assert listed["model.safetensors"][0] == 700
    assert list(faults(folder, COMPLETE)) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "has 0 bytes, not the 700"),
        (lambda folder: (folder / "critic/model.safetensors").write_bytes(b"critiC"), "is not as it was saved"),
        (lambda folder: (folder / COMPLETE).unlink(), "its save was cut short"),
        (lambda folder: (folder / COMPLETE).write_text("{"), "cannot be read"),
        (lambda folder: (folder / COMPLETE).write_text("[]"), "cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_with_one_line(damage, said, tmp_path, caplog):
    good, bad = checkpoint(tmp_path, 2), checkpoint(tmp_path, 4)
    damage(bad)
    with caplog.at_level(logging.WARNING):
        assert last_whole(tmp_path) == good
    (record,) = caplog.records
    assert "checkpoint-4 is passed over" in record.getMessage()
    assert said in record.getMessage()


def test_a_mark_of_an_older_version_asks_for_weights(tmp_path):
    folder = checkpoint(tmp_path, 2, is_complete=False)
    (folder / COMPLETE).touch()
    assert last_whole(tmp_path) == folder
    (folder / "model.safetensors").write_bytes(b"")
    assert last_whole(tmp_path) is None


def test_a_sharded_checkpoint_has_its_weights_one_folder_below(tmp_path):
    """ZeRO-3 and FSDP may leave no whole weights in a checkpoint; the final model of a run must have them."""
    folder = tmp_path / "checkpoint-2"
    (folder / "global_step2").mkdir(parents=True)
    shard = folder / "global_step2" / "zero_pp_rank_0_mp_rank_00_model_states.pt"
    shard.write_bytes(b"shard")
    mark(folder, COMPLETE)
    assert last_whole(tmp_path) == folder
    shard.write_bytes(b"")
    (folder / COMPLETE).write_text("")  # of an older version
    assert last_whole(tmp_path) is None


def test_a_run_without_weights_is_never_finished(tmp_path):
    checkpoint(tmp_path, 2)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    RunFolder(tmp_path).mark_finished()
    assert not RunFolder(tmp_path).finished
    (tmp_path / "model.safetensors").unlink()
    RunFolder(tmp_path).mark_finished()
    assert not RunFolder(tmp_path).finished


def test_an_older_one_goes_only_once_a_newer_one_is_complete(tmp_path):
    checkpoint(tmp_path, 2)
    checkpoint(tmp_path, 4, is_complete=False)
    remove_older(tmp_path, 1)
    assert steps(tmp_path) == [2, 4]
    mark(tmp_path / "checkpoint-4", COMPLETE)
    remove_older(tmp_path, 1)
    assert steps(tmp_path) == [4]


@pytest.mark.parametrize(
    ("num_kept", "left"), [(None, [2, 4, 10, 12]), (0, [2, 4, 10, 12]), (1, [10, 12]), (2, [4, 10, 12])]
)
def test_so_many_complete_ones_stay_by_step(num_kept, left, tmp_path):
    for step in (2, 10, 4):
        checkpoint(tmp_path, step)
    checkpoint(tmp_path, 12, is_complete=False)  # being saved
    remove_older(tmp_path, num_kept)
    assert steps(tmp_path) == left


def test_the_best_one_stays(tmp_path):
    for step in (2, 4, 6):
        checkpoint(tmp_path, step)
    remove_older(tmp_path, 1, tmp_path / "checkpoint-2")
    assert steps(tmp_path) == [2, 6]


def test_finished_with_an_empty_model_is_not_finished(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert not folder.finished
    folder.mark_finished()
    assert folder.finished
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert not folder.finished
    (tmp_path / FINISHED).write_text("")  # of an older version
    assert not folder.finished
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert folder.finished


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    from rlvr.errors import RunError

    folder = RunFolder(tmp_path / "run")
    assert not folder.is_training()
    with folder.training():
        assert folder.is_training()
        with pytest.raises(RunError, match="another process trains here"), RunFolder(tmp_path / "run").training():
            pass
    assert not folder.is_training()
