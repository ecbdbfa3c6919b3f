"""What a `transformers.Trainer` leaves in its output folder.

Owns: the step of a checkpoint, the trainer's state, its log.
Does not own: which checkpoints are whole and owe a probe (`probes.sampling.watch`).
"""

import json
from pathlib import Path
from typing import Any


def step_of(folder: Path) -> int:
    """Returns N of a folder called checkpoint-N, -1 for other names."""
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def trainer_state(folder: Path) -> dict[str, Any]:
    """Returns the trainer's state in a folder; empty where there is none that can be read."""
    try:
        return json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except (OSError, ValueError):
        return {}


def log_history(run_dir: Path) -> list[dict[str, Any]]:
    """Returns the trainer's log: of the finished run, or of its latest checkpoint."""
    folders = sorted(run_dir.glob("checkpoint-*"), key=step_of)
    states = [trainer_state(folder) for folder in (*folders, run_dir)]
    return next((state["log_history"] for state in reversed(states) if "log_history" in state), [])
