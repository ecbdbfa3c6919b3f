"""Kept rollouts: what TRL logged, once each, whatever a kill undid."""

from collections import defaultdict, deque
from types import SimpleNamespace

import pandas
import pytest

from rlvr.errors import StoreDamageError
from rlvr.rollouts.kept import KeptRollouts, read_rollouts

NAN = float("nan")


def logs(start, num, old=0):
    """What TRL has logged: older rollouts first, which are not taken again."""
    rows = range(start - old, start + num)
    rewards = defaultdict(
        deque, accuracy=deque(NAN if at % 3 == 0 else 1.0 for at in rows), format=deque(0.5 for _ in rows)
    )
    extra = {
        "problem_id": deque(f"p{at % 4}" for at in rows),
        "num_tokens": deque(rows),
        "outcome": deque("error" if at % 3 == 0 else "correct" for at in rows),
    }
    completion = deque(f"text {at} \ud800" if at % 5 == 0 else f"text {at}" for at in rows)
    return {"completion": completion, "advantages": deque(float(at) for at in rows), "rewards": rewards, "extra": extra}


def row(step, at):
    return {
        "step": step,
        "problem_id": f"p{at % 4}",
        "completion": f"text {at} \ud800" if at % 5 == 0 else f"text {at}",
        "num_tokens": at,
        "outcome": "error" if at % 3 == 0 else "correct",
        "shadow_outcome": None,
        "advantage": float(at),
        "reward_accuracy": None if at % 3 == 0 else 1.0,
        "reward_format": 0.5,
    }


def begin(kept, step):
    kept.on_train_begin(None, SimpleNamespace(is_world_process_zero=True, global_step=step), None)


def test_rows_are_those_that_were_logged_last(tmp_path):
    kept = KeptRollouts(tmp_path)
    begin(kept, 0)
    kept.add(0, logs(0, 4), 4)
    kept.add(1, logs(4, 4, old=2), 4)
    assert not (tmp_path / "rollouts").exists(), "nothing is written before a checkpoint"
    kept.on_save()
    kept.on_save()
    kept.add(2, logs(8, 3), 3)
    kept.on_train_end()
    assert list(read_rollouts(tmp_path)) == [
        *(row(at // 4, at) for at in range(8)),
        *(row(2, at) for at in range(8, 11)),
    ]
    assert len(list((tmp_path / "rollouts").iterdir())) == 2


def test_what_a_shadow_verifier_says_is_kept(tmp_path):
    kept = KeptRollouts(tmp_path)
    found = logs(1, 2)
    found["extra"]["shadow_outcome"] = deque(["wrong", "correct"])
    kept.add(0, found, 2)
    kept.flush()
    assert [each["shadow_outcome"] for each in read_rollouts(tmp_path)] == ["wrong", "correct"]


def test_steps_that_are_taken_again_are_kept_once(tmp_path):
    kept = KeptRollouts(tmp_path)
    for step in range(4):
        kept.add(step, logs(step, 1), 1)
        kept.flush()
    (tmp_path / "rollouts" / ".rollouts-00000004-00000004.making").write_bytes(b"half")
    again = KeptRollouts(tmp_path)
    begin(again, 2)
    assert [each["step"] for each in read_rollouts(tmp_path)] == [0, 1]
    assert not list((tmp_path / "rollouts").glob(".*"))
    again.add(2, logs(7, 1), 1)
    again.flush()
    assert list(read_rollouts(tmp_path))[-1] == row(2, 7)


def test_many_rows_are_written_before_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("rlvr.rollouts.kept.MAX_ROWS", 6)
    kept = KeptRollouts(tmp_path)
    kept.add(0, logs(0, 4), 4)
    kept.add(0, logs(4, 4), 4)
    assert len(list(read_rollouts(tmp_path))) == 8


def test_messages_are_the_assistants_words(tmp_path):
    kept = KeptRollouts(tmp_path)
    found = logs(1, 1)
    found["completion"] = deque([[{"role": "assistant", "content": "hello"}, {"role": "tool", "content": "no"}]])
    kept.add(0, found, 1)
    kept.flush()
    assert [each["completion"] for each in read_rollouts(tmp_path)] == ["hello"]


def test_other_programs_read_the_files_and_damage_is_seen(tmp_path):
    kept = KeptRollouts(tmp_path)
    kept.add(3, logs(1, 2), 2)
    kept.flush()
    (file,) = (tmp_path / "rollouts").iterdir()
    assert pandas.read_parquet(file)["advantage"].tolist() == [1.0, 2.0]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(StoreDamageError, match="damaged"):
        list(read_rollouts(tmp_path))
