"""Checkpoints that can be trusted after a kill: which files one has, whether they are as they were saved, which may go.

Owns: `COMPLETE` and `FINISHED`, which list a folder's files with sizes and hashes; passing over a checkpoint that does
not match; removing older checkpoints only once a newer one is complete and on the disk (`save_total_limit`).
Does not own: what TRL writes into a checkpoint, which run it belongs to (`rlvr.training.run_folder`).
"""

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash
from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlvr.durable import sync, write_atomically

logger = logging.getLogger(__name__)

COMPLETE = "COMPLETE"  # in a checkpoint whose save was not cut short
FINISHED = "FINISHED"  # in the folder of a run whose training is over
FORMAT = "rlvr.files/1"
CHUNK = 1 << 24
SHARDS = (".pt", ".distcp")  # of DeepSpeed, of FSDP


class MarkComplete(TrainerCallback):  # type: ignore[misc]
    """Marks each checkpoint when its save has ended on all processes, then removes those that a limit lets go.

    Args:
        num_kept: how many complete checkpoints stay; None keeps all. It takes the place of transformers' own rotation,
            which removes the old checkpoint before the new one is complete.
    """

    def __init__(self, num_kept: int | None) -> None:
        self.num_kept = num_kept

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Writes `COMPLETE` into the checkpoint of this step."""
        PartialState().wait_for_everyone()  # each process saves a part
        if state.is_world_process_zero:
            run_dir = Path(args.output_dir)
            mark(run_dir / f"checkpoint-{state.global_step}", COMPLETE)
            best = state.best_model_checkpoint
            remove_older(run_dir, self.num_kept, Path(best) if best else None)


def mark(folder: Path, name: str, files: list[Path] | None = None) -> None:
    """Makes a folder's files durable, then writes their sizes and hashes into a file of this name, last of all.

    Args:
        folder: of a checkpoint or a run.
        name: `COMPLETE` or `FINISHED`.
        files: that it is to list; by default all files in it.
    """
    found = sorted(folder.rglob("*")) if files is None else files
    listed = [path for path in found if path.is_file() and path.name != name]
    for path in {*listed, *(path.parent for path in listed), folder, folder.parent}:
        sync(path)
    files_of = {str(path.relative_to(folder)): [path.stat().st_size, hash_of(path)] for path in listed}
    write_atomically(folder / name, json.dumps({"format": FORMAT, "hash": "xxh3_128", "files": files_of}, indent=1))


def hash_of(path: Path) -> str:
    """Returns the XXH3 hash of a file, 32 hex digits: it shows damage, and is as fast as the file is read."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def faults(folder: Path, name: str, is_thorough: bool = True) -> Iterator[str]:
    """Yields what keeps the files of a folder from being those that were saved; nothing where they are.

    A mark of version 1 is empty: then weights that are not empty are all that can be asked for.

    Args:
        folder: of a checkpoint or a run.
        name: of the mark, `COMPLETE` or `FINISHED`.
        is_thorough: compares hashes, not sizes alone.
    """
    try:
        text = (folder / name).read_text(encoding="utf-8")
        listed = json.loads(text)["files"] if text else None
        wanted = (
            {} if listed is None else {str(file): (int(size), str(digest)) for file, (size, digest) in listed.items()}
        )
    except FileNotFoundError:
        yield f"has no {name}: its save was cut short"
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield f"{name} cannot be read ({error!r:.100})"
        return
    for file, (size, digest) in wanted.items():
        path = folder / file
        if not path.is_file():
            yield f"{file} is missing"
        elif path.stat().st_size != size:
            yield f"{file} has {path.stat().st_size} bytes, not the {size} that were saved"
        elif is_thorough and hash_of(path) != digest:
            yield f"{file} is not as it was saved"
    if not _has_weights(folder, is_final=name == FINISHED):
        yield "has no weights"


def _has_weights(folder: Path, is_final: bool) -> bool:
    """Returns whether there are weights, none of them empty; a checkpoint may have them in shards one folder below."""
    whole = [path for path in folder.iterdir() if path.suffix == ".safetensors"]
    shards = [] if is_final or whole else [path for path in folder.glob("*/*") if path.suffix in SHARDS]
    return bool(whole or shards) and all(path.stat().st_size for path in whole or shards)


def step_of(checkpoint: Path) -> int:
    """Returns N of a folder called checkpoint-N, -1 for other names."""
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def checkpoints(run_dir: Path) -> list[Path]:
    """Returns the folders of checkpoints, whole or not, the latest first."""
    found = [path for path in run_dir.glob("checkpoint-*") if step_of(path) >= 0 and path.is_dir()]
    return sorted(found, key=step_of, reverse=True)


def last_whole(run_dir: Path) -> Path | None:
    """Returns the checkpoint of the highest step whose files are those that were saved, or None.

    What is passed over is logged, one line each.
    """
    for checkpoint in checkpoints(run_dir):
        fault = next(faults(checkpoint, COMPLETE), None)
        if fault is None:
            return checkpoint
        logger.warning("%s is passed over: it %s.", checkpoint, fault)
    return None


def remove_older(run_dir: Path, num_kept: int | None, best: Path | None = None) -> None:
    """Removes all but the latest complete checkpoints, and those older ones whose save was cut short.

    Args:
        run_dir: of the run.
        num_kept: how many complete ones stay; None or 0 keeps all.
        best: one that stays in any case.
    """
    if not num_kept:
        return
    complete = [path for path in checkpoints(run_dir) if (path / COMPLETE).exists()]
    kept = {path.resolve() for path in (*complete[:num_kept], *([best] if best else []))}
    for path in checkpoints(run_dir):
        if complete and step_of(path) < step_of(complete[0]) and path.resolve() not in kept:
            (path / COMPLETE).unlink(missing_ok=True)  # first, so that a kill here leaves none that looks whole
            shutil.rmtree(path, ignore_errors=True)
