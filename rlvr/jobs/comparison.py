"""Comparing algorithms: train every arm from one base, measure all alike, and write one report.

Owns: `compare.yaml`, the checks that arms are comparable, the order of runs, and the states in which arms are
compared.
Does not own: a run (`rlvr train`, started as a program of its own), the numbers (`probes.results.comparison`), the
page.

Everything goes on where it stopped: finished runs are not run again, a killed one goes on from its checkpoint, and
draws that are stored are not made again. All runs share one store of probes, so the base is probed once.

    <output_dir>/<arm>-<seed>/       a run's folder, `train.log` beside its files
    <output_dir>/probes/             stores of the probes while training, shared
    <output_dir>/sets/<name>/        stores of the other problem sets
    <output_dir>/comparison.json, report.html
"""

import ctypes
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from probes.engines.sources import EngineOptions
from probes.report import write_report
from probes.results.comparison import STATES, Measured, State, choose_states
from probes.results.measured import measure_store
from probes.results.runs import ArmRun, all_states, arm_measured, describe, measured_states, require_comparable
from probes.results.summary import read_summary
from probes.sampling.sample import sample_store
from probes.store.files import plain
from rlvr.console import echo
from rlvr.durable import write_atomically
from rlvr.errors import RecipeError, RunError
from rlvr.jobs.resolve import Job, Probing, resolve
from rlvr.training.recipe import read_recipe
from rlvr.training.run_folder import RunFolder, versions

PR_SET_PDEATHSIG = 1  # linux/prctl.h
RLVR_TRAIN = (sys.executable, "-m", "rlvr", "train")


@dataclass(frozen=True)
class ComparisonConfig:
    """A comparison, as `compare.yaml` states it.

    Attributes:
        output_dir: folder of everything.
        arms: recipe by name.
        seeds: each arm is trained with each of them.
        overrides: recipe keys that are set for every arm that knows them.
        problem_sets: further problem sets by name, measured after training.
        launch: words of the program that trains one run, before `--config`; by default `rlvr train` in this Python.
    """

    output_dir: str
    arms: Mapping[str, str]
    seeds: tuple[int, ...] = (42,)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    problem_sets: Mapping[str, str] = field(default_factory=dict)
    launch: tuple[str, ...] = RLVR_TRAIN


@dataclass(frozen=True)
class Run:
    """One arm with one seed."""

    arm: str
    seed: int
    folder: Path
    flags: tuple[str, ...]
    job: Job

    @property
    def probing(self) -> Probing:
        """What is measured; `make_runs` refuses arms without it."""
        assert self.job.probing is not None
        return self.job.probing


def read_config(path: str, output_dir: str | None = None) -> ComparisonConfig:
    """Returns the comparison of a YAML file.

    Raises:
        RecipeError: the file cannot be read, or a key is missing, unknown or of another type.
    """
    try:
        given = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: cannot be read ({' '.join(str(error).split())}).") from error
    known = {"output_dir", "arms", "seeds", "overrides", "problem_sets", "launch"}
    if not isinstance(given, dict) or set(given) - known:
        unknown = sorted(set(given) - known) if isinstance(given, dict) else type(given).__name__
        raise RecipeError(f"{path}: saw {unknown}; expected the keys {', '.join(sorted(known))}.")
    given = {**given, "output_dir": output_dir or given.get("output_dir")}
    for key, kind in (("output_dir", str), ("arms", dict)):
        if not isinstance(given.get(key), kind) or not given[key]:
            raise RecipeError(f"{path}: {key}: saw {given.get(key)!r}; expected a non-empty {kind.__name__}.")
    seeds = given.get("seeds", [42])
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int for seed in seeds):
        raise RecipeError(f"{path}: seeds: saw {seeds!r}; expected a list of integers.")
    return ComparisonConfig(
        output_dir=given["output_dir"],
        arms=given["arms"],
        seeds=tuple(dict.fromkeys(seeds)),
        overrides=given.get("overrides") or {},
        problem_sets=given.get("problem_sets") or {},
        launch=tuple(given.get("launch") or RLVR_TRAIN),
    )


def run_comparison(config: ComparisonConfig) -> dict[str, Any]:
    """Trains and measures what is not done yet; returns the comparison, which is written with its report.

    Raises:
        InputError: a recipe is wrong, or two arms are not comparable.
        RunError: arms did not finish. The report of the others is written.
    """
    root = Path(config.output_dir)
    runs = make_runs(config)
    failed = [run for position, run in enumerate(runs, 1) if not train_run(config, run, f"{position}/{len(runs)}")]
    done = [run for run in runs if run not in failed]
    if not done:
        raise RunError(f"{root}: no arm finished; see {failed[0].folder / 'train.log'}.")
    result = measure_runs(config, done)
    if failed:
        result["notes"].append(f"Did not finish, and is left out: {', '.join(run.folder.name for run in failed)}.")
    result = plain(result)
    write_atomically(root / "comparison.json", json.dumps(result, indent=1, allow_nan=False))
    write_report(root)
    if failed:
        logs = ", ".join(str(run.folder / "train.log") for run in failed)
        raise RunError(f"{len(failed)} of {len(runs)} runs did not finish; see {logs}. The same command goes on.")
    return result  # type: ignore[no-any-return]


def make_runs(config: ComparisonConfig) -> list[Run]:
    """Returns every arm with every seed, their recipes checked alone and against each other.

    Raises:
        RecipeError: a recipe is wrong, or two arms differ in what must be the same.
    """
    root = Path(config.output_dir)
    runs, known = [], set[str]()
    for seed in config.seeds:
        for arm, path in config.arms.items():
            folder = root / f"{arm}-{seed}"
            overrides = read_recipe(path).chosen(config.overrides)
            known |= set(overrides)
            flags = {key: config.overrides[key] for key in overrides}
            flags |= {"output_dir": folder, "seed": seed, "probe_store": root / "probes"}
            words = tuple(f"--{key}={value}" for key, value in flags.items())
            runs.append(Run(arm, seed, folder, ("--config", path, *words), resolve(read_recipe(path, words))))
    if unknown := [key for key in config.overrides if key not in known]:
        raise RecipeError(f"overrides: {', '.join(unknown)}: no arm knows such a key.")
    for run in runs:
        _check_alike(runs[0], run)
    return runs


def _check_alike(first: Run, other: Run) -> None:
    """Raises `RecipeError` where two arms differ in what must be the same."""
    for key in {**first.job.shared, **other.job.shared}:
        here, there = first.job.shared.get(key), other.job.shared.get(key)
        if here != there:
            raise RecipeError(
                f"{key}: {first.arm} has {here!r}, {other.arm} has {there!r}; it must be the same to compare them. "
                "Set it under overrides."
            )
    if first.job.probing is None:
        raise RecipeError("probe_problems: missing; without it there is nothing to compare.")


def train_run(config: ComparisonConfig, run: Run, position: str) -> bool:
    """Trains one run unless it has finished; returns whether it has now. Its output goes to `train.log`."""
    run.folder.mkdir(parents=True, exist_ok=True)
    wait_for_training(run.folder)
    if RunFolder(run.folder).finished:
        return True
    started = time.monotonic()
    echo(f"[{position}] {run.folder.name} ...", err=True)
    with (run.folder / "train.log").open("a", encoding="utf-8") as log:
        code = subprocess.run(  # noqa: S603 - the project's own command
            [*config.launch, *run.flags], stdout=log, stderr=subprocess.STDOUT, check=False, preexec_fn=end_with_parent
        ).returncode
    said = "done" if code == 0 else f"stopped with exit code {code}, see {run.folder / 'train.log'}"
    echo(f"[{position}] {run.folder.name} {said}, {time.monotonic() - started:.0f} s", err=True)
    return code == 0


def end_with_parent() -> None:
    """Has the kernel end this process when the one that started it ends, however that ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_for_training(folder: Path) -> None:
    """Waits for a trainer that an earlier comparison has started, and that still runs."""
    if RunFolder(folder).is_training():
        echo(f"{folder.name}: a trainer still runs here; waiting for it ...", err=True)
    while RunFolder(folder).is_training():
        time.sleep(1)


def measure_runs(config: ComparisonConfig, runs: list[Run]) -> dict[str, Any]:
    """Returns the comparison of finished runs on the probed problems and on the further sets."""
    probing = runs[0].probing
    k_max, seed = probing.k_max, probing.seed
    probed = [ArmRun(run.arm, run.seed, run.folder, read_summary(run.folder)) for run in runs]
    states = measured_states(probed)
    sets = {probing.problems: all_states(require_comparable(probed), states, k_max, seed)}
    chosen = {state for by in STATES for state in choose_states(list(states), by)[0]}
    for name, spec in config.problem_sets.items():
        elsewhere = {state: measure_state(config, runs, name, spec, state) for state in states if state in chosen}
        base = measure_state(config, runs, name, spec, None)
        largest = min(found.counts.largest_k for found in (base, *elsewhere.values()))
        sets[spec] = all_states(base, elsewhere, min(k_max, largest), seed)
    facts = {key: str(value) for key, value in runs[0].job.shared.items()} | versions()
    return {**describe(Path(config.output_dir).name, probed, sets), "facts": facts}


def measure_state(config: ComparisonConfig, runs: list[Run], name: str, spec: str, state: State | None) -> Measured:
    """Returns what an arm's checkpoint, or the base, does on a further problem set; draws are made where they lack."""
    job, probing = runs[0].job, replace(runs[0].probing, problems=spec)
    inputs = job.task.load()
    what = probing.settings(inputs, *probing.load(inputs))
    model, label = job.training.model_name, "base"
    if state is not None:
        run = next(run for run in runs if (run.arm, run.seed) == (state.arm, state.seed))
        model, label = str(checkpoint_of(run, state.step)), f"{run.folder.name}-{state.step}"
    training = job.training
    options = EngineOptions(model=model, dtype=training.dtype, trust_remote_code=training.trust_remote_code)
    echo(f"{name}: {label} ...", err=True)
    store = sample_store(what, options, Path(config.output_dir) / "sets" / name / label, sys.stderr.isatty())
    return arm_measured(measure_store(store.path, 0, what.verifier.verifier_id))


def checkpoint_of(run: Run, step: int) -> Path:
    """Returns the saved model of a step: a checkpoint, or the final model.

    Raises:
        RunError: that step was not saved.
    """
    checkpoint = run.folder / f"checkpoint-{step}"
    if (checkpoint / "COMPLETE").exists():
        return checkpoint
    if step == run.job.training.max_steps:
        return run.folder
    raise RunError(f"{checkpoint}: not saved; further problem sets need save_steps to fit probe_steps.")
