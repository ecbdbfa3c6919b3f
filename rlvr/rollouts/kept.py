"""Kept rollouts: what a training generated, and what it was worth, on request (`keep_rollouts: true`).

Owns: the files in `RUN/rollouts`, their columns, and when they are written.
Does not own: Parquet with checksums (`rlvr.parquet`), rewards and advantages, which TRL has logged.

Rows are held in memory and written before each checkpoint is marked complete, or when they are many. A kill loses rows
of steps that are taken again only; when a run goes on, files of steps that it takes again are removed.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.parquet import ODD_TEXT, HashedFile, odd_texts, texts, write_hashed

FOLDER = "rollouts"
FORMAT = "rlvr.rollouts/1"
MAX_ROWS = 16_384  # held in memory
REWARD = "reward_"  # before the name of a reward function
COLUMNS: dict[str, pa.DataType] = {
    "step": pa.int64(),
    "problem_id": pa.string(),
    "completion": pa.string(),
    "num_tokens": pa.int64(),
    "outcome": pa.string(),
    "shadow_outcome": pa.string(),
    "advantage": pa.float64(),
}
_NAME = re.compile(r"rollouts-(\d{8})-(\d{8})\.[0-9a-f]{16}\.parquet")


class KeptRollouts(TrainerCallback):  # type: ignore[misc]
    """Collects the rollouts of all processes in the main one, and writes them before each checkpoint is complete.

    Args:
        run_dir: of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self.folder = run_dir / FOLDER
        self._rows: list[dict[str, Any]] = []

    def add(self, step: int, logs: Mapping[str, Any], num: int) -> None:
        """Takes the last `num` rollouts of what TRL has logged, made by the weights after `step` steps."""
        extra, rewards = logs["extra"], logs["rewards"]
        columns: dict[str, Sequence[Any]] = {
            "problem_id": extra.get("problem_id", ()),
            "completion": logs["completion"],
            "num_tokens": extra.get("num_tokens", ()),
            "outcome": extra.get("outcome", ()),
            "shadow_outcome": extra.get("shadow_outcome", ()),  # where a shadow verifier judges, too
            "advantage": logs["advantages"],
            **{f"{REWARD}{name}": values for name, values in rewards.items()},
        }
        last = {name: list(values)[-num:] or [None] * num for name, values in columns.items()}
        last["completion"] = [_text_of(each) for each in last["completion"]]
        self._rows += [{"step": step, **dict(zip(last, row, strict=True))} for row in zip(*last.values(), strict=True)]
        if len(self._rows) >= MAX_ROWS:
            self.flush()

    def flush(self) -> None:
        """Writes what is held."""
        if not self._rows:
            return
        self.folder.mkdir(exist_ok=True)
        rewards = [name for name in self._rows[0] if name.startswith(REWARD)]
        schema = pa.schema([*COLUMNS.items(), *((name, pa.float64()) for name in rewards), (ODD_TEXT, pa.string())])
        odd: dict[int, dict[str, str]] = {}
        arrays = []
        for field in list(schema)[:-1]:
            values = [row[field.name] for row in self._rows]
            arrays.append(texts(field.name, values, odd) if pa.types.is_string(field.type) else _numbers(values, field))
        table = pa.Table.from_arrays([*arrays, odd_texts(odd, len(self._rows))], schema=schema)
        stem = f"rollouts-{self._rows[0]['step']:08d}-{self._rows[-1]['step']:08d}"
        write_hashed(self.folder, stem, schema, [(table, {})], {"format": FORMAT}, ("problem_id", "outcome"))
        self._rows = []

    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002 - of transformers
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Removes the rollouts of steps that are taken again, and what a kill has left half written."""
        if state.is_world_process_zero and self.folder.is_dir():
            for file in self.folder.iterdir():
                found = _NAME.fullmatch(file.name)
                if file.name.startswith(".") or (found and int(found[2]) >= state.global_step):
                    file.unlink()

    def on_save(self, *_: Any, **__: Any) -> None:
        """Writes what is held, before the checkpoint is marked complete."""
        self.flush()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Writes what is held."""
        self.flush()


def read_rollouts(run_dir: Path) -> Iterator[dict[str, Any]]:
    """Yields the kept rollouts of a run, in the order of their steps; none where it kept none.

    Raises:
        StoreDamageError: a file is not as it was written.
    """
    for path in sorted(file for file in (run_dir / FOLDER).glob("*.parquet") if _NAME.fullmatch(file.name)):
        file = HashedFile(path)
        try:
            for group in range(file.num_groups):
                columns = {name: file.column(group, name).to_pylist() for name in file.schema.names}
                for row in zip(*columns.values(), strict=True):
                    named = dict(zip(columns, row, strict=True))
                    yield named | json.loads(named.pop(ODD_TEXT) or "{}")
        finally:
            file.close()


def _numbers(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """Returns numbers as a column; NaN, which TRL logs where there is no reward, as null."""
    return pa.array([None if value is None or value != value else value for value in values], field.type)


def _text_of(completion: Any) -> str:
    """Returns the text of a completion: itself, or what the assistant's messages say."""
    if isinstance(completion, str):
        return completion
    return "\n".join(str(each.get("content") or "") for each in completion if each.get("role") == "assistant")
