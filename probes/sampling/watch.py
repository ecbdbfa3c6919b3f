"""Watching a run: probe checkpoints as they appear, on another machine if wanted, holding no trainer up.

Owns: which checkpoints are whole and not probed yet, the run's index, summary and report after each probe.
Does not own: sampling (`probes.sampling.sample`). Works on the folder of any trainer that derives from
`transformers.Trainer`.
"""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from probes.engines.sources import EngineOptions, open_source
from probes.report import write_report
from probes.results.summary import RunFacts, write_summary
from probes.sampling.probe import Measurement
from probes.sampling.sample import draw_share
from probes.store.checkpoints import log_history, step_of, trainer_state
from probes.store.index import ProbeEntry, ProbeIndex
from probes.store.store import ProbeStore, store_name
from rlvr.errors import ModelError, StoreError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A model of the run: `step` optimizer steps taken, `model` as `from_pretrained` takes it."""

    step: int
    model: str


@dataclass(frozen=True)
class Watch:
    """What to watch, and how to measure it.

    Attributes:
        run_dir: the trainer's output folder.
        what: to measure, the same for every checkpoint.
        options: engine and its options; `model` is set for each checkpoint.
        k_max: largest k of the curves.
        base: model that training started from, probed as step 0; None takes the first checkpoint as the base.
        facts: shown in the report.
        every: probes checkpoints whose step is a multiple of this.
    """

    run_dir: Path
    what: Measurement
    options: EngineOptions
    k_max: int
    base: str | None
    facts: RunFacts
    every: int = 1


def watch_run(watch: Watch, poll_s: float, once: bool, show_progress: bool = True) -> list[ProbeEntry]:
    """Probes what is there and, unless `once`, what appears until the run is finished; returns the index's entries.

    Raises:
        InputError: a model, the problems or a store cannot be used.
        EngineError: the engine cannot go on; the same command again does.
    """
    index = ProbeIndex(watch.run_dir)
    while True:
        is_over = once or (watch.run_dir / "FINISHED").exists()  # asked before looking, so that nothing is missed
        probed = {entry.step for entry in index.entries()}
        todo = [checkpoint for checkpoint in checkpoints(watch) if checkpoint.step not in probed]
        for checkpoint in todo:
            _probe_if_there(watch, checkpoint, show_progress)
        if todo:
            continue
        if is_over:
            return index.entries()
        time.sleep(poll_s)


def checkpoints(watch: Watch) -> Iterator[Checkpoint]:
    """Yields the base and every whole checkpoint, ascending by step, and the final model."""
    if watch.base is not None:
        yield Checkpoint(0, watch.base)
    found = [
        Checkpoint(step_of(folder), str(folder)) for folder in watch.run_dir.glob("checkpoint-*") if _whole(folder)
    ]
    kept = sorted((each for each in found if each.step % watch.every == 0), key=lambda each: each.step)
    yield from kept
    final = _final_step(watch.run_dir)
    if final is not None and final not in {each.step for each in kept}:
        yield Checkpoint(final, str(watch.run_dir))


def _whole(folder: Path) -> bool:
    """Returns whether a checkpoint's save has ended.

    `COMPLETE` is written last by rlvr's training. Others: transformers writes trainer_state.json after the weights.
    """
    if step_of(folder) < 0:
        return False
    if (folder.parent / "manifest.json").exists():
        return (folder / "COMPLETE").exists()
    return (folder / "trainer_state.json").exists()


def _final_step(run_dir: Path) -> int | None:
    """Returns the steps taken by the final model in the run's folder, or None while there is none."""
    if not (run_dir / "FINISHED").exists():
        return None
    return int(trainer_state(run_dir).get("global_step", 0)) or None


def _probe_if_there(watch: Watch, checkpoint: Checkpoint, show_progress: bool) -> None:
    """Probes a checkpoint; one that the trainer removed meanwhile is left out, and said so."""
    try:
        probe_checkpoint(watch, checkpoint, show_progress)
    except (ModelError, OSError):
        if not checkpoint.model.startswith(str(watch.run_dir)) or Path(checkpoint.model).exists():
            raise
        logger.warning("%s was removed before it could be probed; raise save_total_limit.", checkpoint.model)


def probe_checkpoint(watch: Watch, checkpoint: Checkpoint, show_progress: bool) -> None:
    """Probes one checkpoint, and writes index, summary and report."""
    started, what = time.monotonic(), watch.what
    options = replace(watch.options, model=checkpoint.model)
    source = open_source(options, what.prompt_format, what.sampling, list(what.problems))
    path = watch.run_dir / "probes" / store_name(source.arm, what.problems)
    store = ProbeStore.create(path, source.arm, what.problems)
    store.set_plan(what.plan)
    draw_share(what, source, store, process=0, num_processes=1, show_progress=show_progress)
    seconds = round(time.monotonic() - started, 2)
    entry = ProbeEntry(checkpoint.step, str(path), what.plan.to_json(), what.verifier.verifier_id, seconds)
    ProbeIndex(watch.run_dir).add(entry)
    write_summary(watch.run_dir, watch.k_max, log_history(watch.run_dir), watch.facts)
    write_report(watch.run_dir)


def read_manifest(run_dir: Path) -> dict[str, Any]:
    """Returns the manifest of a run made by `rlvr train`; empty where another trainer made the run.

    Raises:
        StoreError: it cannot be read.
    """
    file = run_dir / "manifest.json"
    if not file.exists():
        return {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise StoreError(f"{file}: cannot be read ({error}); restore it.") from error
