"""The run folder: one recipe, its manifest, its checkpoints.

Owns: `manifest.json`, the refusal of another recipe, and whether the run has finished.
Does not own: what TRL writes (model, trainer state), which of its checkpoints are whole (`rlvr.training.checkpoints`),
what probes write (`probes/`, summary, report).

    manifest.json        resolved recipe, versions, git state, content ids, seeds
    checkpoint-N/        TRL's; `COMPLETE` in it says that the save was not cut short, and lists its files
    model.safetensors..  the final model, with tokenizer: any tool loads the folder
    train.lock           held while a training runs
    FINISHED             training is over; lists the files of the final model
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.durable import sync, write_atomically
from rlvr.errors import RunError
from rlvr.locks import held, is_held
from rlvr.secrets import without_secrets
from rlvr.training.checkpoints import COMPLETE, FINISHED, checkpoints, faults, last_whole, mark

FORMAT = "rlvr.run/1"
LOCK = "train.lock"  # held by the main process of a training
SAVED = (".safetensors", ".json", ".model", ".txt", ".jinja", ".bin")  # what a final model and its tokenizer consist of
NOT_SAVED = {"manifest.json", "summary.json"}
PACKAGES = (
    "rlvr",
    "trl",
    "transformers",
    "torch",
    "peft",
    "accelerate",
    "datasets",
    "math-verify",
    "vllm",
    "deepspeed",
)


@dataclass(frozen=True)
class RunRecord:
    """What makes a run this run: a folder goes on with the same values and contents only.

    Attributes:
        values: of the recipe, those that decide what is trained and measured.
        defaults: of fields that a folder may be older than; it counts as having them.
        source: the recipe's file, or None.
        seeds: by recipe key.
        contents: content ids of problem sets and demonstrations, by what they identify.
    """

    values: Mapping[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    seeds: Mapping[str, Any] = field(default_factory=dict)
    contents: Mapping[str, str | None] = field(default_factory=dict)

    def comparable(self) -> dict[str, Any]:
        """Returns the values as JSON gives them back."""
        return json.loads(json.dumps(self.values, default=str))  # type: ignore[no-any-return]

    def differences(self, stored: Mapping[str, Any]) -> list[str]:
        """Returns up to five keys whose stored values differ from these, with both."""
        now = self.comparable()
        stored = {**{key: value for key, value in self.defaults.items() if key in now}, **stored}
        keys = [key for key in sorted({*stored, *now}) if stored.get(key) != now.get(key)]
        return [f"{key} was {stored.get(key)!r}, now {now.get(key)!r}" for key in keys[:5]]


class RunFolder:
    """The folder of one run.

    Args:
        path: `output_dir` of the recipe.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest_file = path / "manifest.json"

    def check(self, record: RunRecord) -> None:
        """Raises `RunError` if the folder belongs to another recipe or other contents, or is not a run's folder."""
        if not self.manifest_file.exists():
            if self.path.is_dir() and any(self.path.glob("checkpoint-*")):
                raise RunError(f"{self.path}: has checkpoints and no manifest.json; use another output_dir.")
            return
        manifest = self.manifest()
        if different := record.differences(manifest["recipe"]):
            raise RunError(
                f"{self.path}: the folder belongs to another recipe; {'; '.join(different)}. Use another output_dir, "
                "or the same values to go on."
            )
        if manifest["contents"] != record.contents:
            raise RunError(
                f"{self.path}: the folder belongs to other problems: {manifest['contents']}, now "
                f"{dict(record.contents)}. Use another output_dir."
            )

    def open(self, record: RunRecord) -> None:
        """Makes the folder and its manifest, or checks that they are this record's."""
        self.check(record)
        if not self.manifest_file.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            manifest = {
                "format": FORMAT,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "command": [without_secrets(word) for word in sys.argv],
                "recipe_file": record.source,
                "recipe": record.comparable(),
                "contents": dict(record.contents),
                "seeds": dict(record.seeds),
                "versions": versions(),
                "git": git_state(),
            }
            write_atomically(self.manifest_file, json.dumps(manifest, indent=1))
            sync(self.path.parent)

    def manifest(self) -> dict[str, Any]:
        """Returns the manifest.

        Raises:
            RunError: it cannot be read.
        """
        try:
            return json.loads(self.manifest_file.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
        except (OSError, ValueError) as error:
            raise RunError(f"{self.manifest_file}: cannot be read ({error}); use another output_dir.") from error

    @contextmanager
    def training(self) -> Iterator[None]:
        """Holds the right to train in this folder.

        Raises:
            RunError: another process trains here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with held(self.path / LOCK) as lock:
            if lock is None:
                raise RunError(
                    f"{self.path}: another process trains here; wait until it ends, or use another output_dir."
                )
            yield

    def is_training(self) -> bool:
        """Returns whether a process trains here."""
        return is_held(self.path / LOCK)

    def last_checkpoint(self) -> Path | None:
        """Returns the checkpoint of the highest step that is as it was saved, or None; reads its files."""
        return last_whole(self.path)

    @property
    def finished(self) -> bool:
        """Whether training is over and the final model is there as it was saved, by the sizes of its files."""
        return not any(faults(self.path, FINISHED, is_thorough=False))

    def mark_finished(self) -> None:
        """Records that training is over, once the model is on the disk."""
        saved = [path for path in sorted(self.path.iterdir()) if path.suffix in SAVED and path.name not in NOT_SAVED]
        mark(self.path, FINISHED, [*saved, *sorted((self.path / "critic").glob("*"))])

    def last_state(self) -> dict[str, Any]:
        """Returns the trainer's state, of the finished run or of the last whole checkpoint; nothing before that."""
        for folder in (self.path, *checkpoints(self.path)):
            if (folder / "trainer_state.json").exists() and (folder == self.path or (folder / COMPLETE).exists()):
                state: dict[str, Any] = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
                return state
        return {}

    def log_history(self) -> list[dict[str, Any]]:
        """Returns the trainer's log, of the finished run or of the last whole checkpoint."""
        return self.last_state().get("log_history", [])  # type: ignore[no-any-return]


class TrainingIsOverError(Exception):
    """The checkpoint that a run was resumed from is its last: there is no step left to take."""


class StopAtLastStep(TrainerCallback):  # type: ignore[misc]
    """Keeps a run that is resumed from its last checkpoint from training on: transformers would take one more step."""

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Raises `TrainingIsOverError` where no step is left; `rlvr.training.train` catches it."""
        if state.global_step >= state.max_steps:
            raise TrainingIsOverError


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that decide results, where installed."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any] | None:
    """Returns the commit of the repository around the working folder, and whether files differ from it; or None."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603
