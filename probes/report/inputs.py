"""What a report is made of: the folders that a person names, read.

    read_input   a run, several runs, a comparison, a store of draws, or several -> ReportInput

Owns: telling these apart, and which numbers and draws of each the report shows.
Does not own: the numbers (`probes.results.summary`, `probes.results.runs`), the page.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from probes.report.rollouts import TrainingRollouts, choose_rollouts
from probes.results.measured import Measured, measure_probe, measure_store
from probes.results.runs import ArmRun, compare_runs, compare_stores
from probes.results.schema import Summary, require_comparison, require_summary
from probes.results.studies import study_run
from probes.results.summary import RunFacts, make_summary, notes, read_summary, remake_summary
from probes.store.files import plain, read_json
from probes.store.index import ProbeIndex
from rlvr.errors import InputError


@dataclass(frozen=True)
class ReportInput:
    """What a report shows.

    Attributes:
        name: its title.
        arms: the summary of each arm, by name; one for a lone run.
        comparison: of the arms (`rlvr.comparison/2`); None for a lone run or store.
        load_draws: opens the stores that the draws on the page come from, the base first; called when the page is
            made, because it reads every verdict.
        load_rollouts: reads the training rollouts of a lone run that has kept them; None of others.
    """

    name: str
    arms: dict[str, Summary]
    comparison: dict[str, Any] | None = None
    load_draws: Callable[[], list[tuple[str, Measured]]] = field(default=list)
    load_rollouts: Callable[[], TrainingRollouts | None] = lambda: None


def read_input(paths: Sequence[Path], verifier: str | None = None, remake: bool = False, seed: int = 0) -> ReportInput:
    """Returns what a report of these folders shows.

    Args:
        paths: one run, several runs of one base, the folder of `rlvr compare`, or stores of draws, the base first.
        verifier: whose verdicts count, for stores that have those of several.
        remake: make the summaries of runs anew from their stored draws.
        seed: of the resampling.

    Raises:
        InputError: folders of different kinds, or arms that cannot be compared.
        StoreError: a store is damaged, or has draws without verdicts.
    """
    kinds = [_kind(path) for path in paths]
    if len(set(kinds)) > 1 or (kinds[0] == "comparison" and len(paths) > 1):
        seen = ", ".join(f"{path} ({kind})" for path, kind in zip(paths, kinds, strict=True))
        raise InputError(f"saw {seen}; expected runs, or stores of draws, or one comparison.")
    if kinds[0] == "store":
        return _of_stores(paths, verifier, seed)
    if kinds[0] == "comparison":
        return _of_comparison(paths[0])
    if remake:
        for folder in paths:
            remake_summary(folder, seed)
    return _of_run(paths[0]) if len(paths) == 1 else _of_runs(paths, seed)


def _kind(path: Path) -> str:
    """Returns `run`, `store` or `comparison`."""
    for file, kind in (("probe.json", "store"), ("comparison.json", "comparison"), ("summary.json", "run")):
        if (path / file).exists():
            return kind
    raise InputError(
        f"{path}: saw neither summary.json, comparison.json nor probe.json; expected the folder of a run that was "
        "probed, of a comparison, or of stored draws."
    )


def _of_run(folder: Path) -> ReportInput:
    """Returns a lone run."""
    summary = read_summary(folder)
    name = summary["run"]["name"]
    return ReportInput(name, {name: summary}, None, lambda: run_draws(folder), lambda: run_rollouts(folder))


def run_rollouts(folder: Path) -> TrainingRollouts | None:
    """Returns the training rollouts of a run that has kept them."""
    if not (folder / "rollouts").is_dir():
        return None
    from rlvr.rollouts.kept import read_rollouts

    return choose_rollouts(read_rollouts(folder))


def run_draws(folder: Path) -> list[tuple[str, Measured]]:
    """Returns every probe of a run, the base first."""
    index = ProbeIndex(folder)
    return [("", measure_probe(index, entry)) for entry in index.entries()]


def _of_runs(folders: Sequence[Path], seed: int) -> ReportInput:
    """Returns several runs side by side."""
    runs = [_arm_run(folder) for folder in folders]
    name = " and ".join(folder.name for folder in folders) if len(folders) == 2 else f"{len(folders)} runs"
    return _side_by_side(name, runs, plain(compare_runs(name, runs, seed)))


def _arm_run(folder: Path) -> ArmRun:
    """Returns a run as an arm; the seed at the end of a folder's name (`grpo-42`) is no part of the arm's name."""
    summary = read_summary(folder)
    seed = summary["run"]["facts"].get("seed", "0")
    name = folder.resolve().name
    return ArmRun(name.removesuffix(f"-{seed}") or name, int(seed) if seed.isdigit() else 0, folder, summary)


def _of_comparison(folder: Path) -> ReportInput:
    """Returns what `rlvr compare` measured."""
    file = folder / "comparison.json"
    result: Any = require_comparison(read_json(file), str(file))
    runs = [
        ArmRun(run["arm"], run["seed"], folder / run["folder"], read_summary(folder / run["folder"]))
        for run in result["runs"]
    ]
    return _side_by_side(result["name"], runs, result)


def _side_by_side(name: str, runs: Sequence[ArmRun], comparison: dict[str, Any]) -> ReportInput:
    """Returns runs with their comparison."""
    arms = {run.folder.resolve().name: run.summary for run in runs}
    return ReportInput(name, arms, comparison, lambda: last_draws(runs))


def last_draws(runs: Sequence[ArmRun]) -> list[tuple[str, Measured]]:
    """Returns the base, and every run's last probe."""
    index = ProbeIndex(runs[0].folder)
    base = measure_probe(index, index.entries()[0])
    later = [(run.folder.resolve().name, ProbeIndex(run.folder)) for run in runs]
    return [("", base), *((name, measure_probe(index, index.entries()[-1])) for name, index in later)]


def _of_stores(paths: Sequence[Path], verifier: str | None, seed: int) -> ReportInput:
    """Returns stores of draws, the first of them the base of the others."""
    measured = [measure_store(path, place, verifier) for place, path in enumerate(paths)]
    base, later, names = measured[0], measured[1:], [each.label for each in measured]
    if len(set(names)) < len(names):
        raise InputError(f"saw {', '.join(map(str, paths))}; expected folders of different names, for the report.")
    k_max = max(1, min(each.counts.largest_k for each in measured) // 4)
    whole = make_summary(measured, k_max, [], _facts(measured[-1]), seed)
    arms = {each.label: require_summary(_beside_base(whole, measured, each.step)) for each in later or [base]}
    name = " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(later)} arms"
    counts = {each.label: each.counts for each in measured}
    comparison = plain(compare_stores(name, base.store, counts, k_max, seed)) if len(later) > 1 else None
    return ReportInput(name, arms, comparison, lambda: [("", base), *((each.label, each) for each in later)])


def _facts(measured: Measured) -> RunFacts:
    """Returns what is known of how a store's arm was trained: nothing."""
    return RunFacts(measured.label, "not stated", measured.label, {"store": str(measured.store.path)})


def _beside_base(whole: dict[str, Any], measured: Sequence[Measured], place: int) -> dict[str, Any]:
    """Returns the part of a summary of many stores that is about the base and one other store."""
    places = sorted({0, place})
    studies = whole["studies"]
    flow = study_run([(measured[each].step, measured[each].counts) for each in places])
    against = [studies["against_base"][each - 1] for each in places if each]
    return {
        **whole,
        "run": asdict(_facts(measured[place])),
        "probes": [whole["probes"][each] for each in places],
        "studies": {"arms": [studies["arms"][each] for each in places], "against_base": against, "flow": plain(flow)},
        "notes": notes([measured[each] for each in places], whole["k"]),
    }
