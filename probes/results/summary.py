"""The summary of a run: every number of the report, computed from the stored draws.

Owns: `summary.json` (schema `rlvr.summary/2`, described in docs/contracts.md), and the table for the terminal.
Does not own: estimates (`probes.statistics.estimators`, `probes.statistics.intervals`), the page (`probes.report`).

The summary can be deleted and made again from index, stores and log history.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from probes.analyses.cells import four_cells
from probes.analyses.curves import curve_rows, pass_at_k_curve
from probes.analyses.modes import compare_modes
from probes.results.measured import Measured, measure_probe
from probes.results.schema import SCHEMA, Summary, require_summary
from probes.results.studies import study_arm, study_pair, study_run, study_verifiers
from probes.statistics.estimators import Counts, error_bounds
from probes.statistics.intervals import StepComparison, compare_counts, crossing
from probes.statistics.plan import k_grid
from probes.store.checkpoints import log_history
from probes.store.files import plain, read_json
from probes.store.index import ProbeIndex
from rlvr.durable import write_atomically
from rlvr.errors import InputError
from rlvr.rollouts import agreement
from rlvr.rollouts.agreement import FNR, FPR, NAMES, logged_name

TRAINING_KEYS = (
    "reward",
    "shadow/accuracy",
    FPR,
    FNR,
    *(logged_name(cell) for cell in NAMES),
    "entropy",
    "loss",
    "completions/clipped_ratio",
    "completions/mean_length",
    "num_tokens",
    "rollouts",
    "rollout_tokens",
)
NO_TRAINING = {"rollouts": None, "tokens": None, "train_seconds": None}
NARROWED = "probe/narrowed"  # 1 where the paired band shows a loss at the largest k, else 0


@dataclass(frozen=True)
class RunFacts:
    """What the run was; shown, not computed with.

    Attributes:
        name: of the run folder.
        algorithm: for example `grpo`.
        model: as the recipe names it.
        facts: anything else worth showing, as text.
    """

    name: str
    algorithm: str
    model: str
    facts: Mapping[str, str] = field(default_factory=dict)


def write_summary(
    run_dir: Path,
    k_max: int,
    log_history: Sequence[Mapping[str, Any]],
    facts: RunFacts,
    seed: int = 0,
    with_studies: bool = True,
    more_notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes `summary.json` from the run's index and stores, and returns it.

    Args:
        run_dir: the run's folder.
        k_max: largest k.
        log_history: the trainer's.
        facts: of the run.
        seed: of the resampling and of the choice of examples.
        with_studies: add the analyses of `probes.results.studies`, which take some seconds.
        more_notes: sentences that only the caller can add to the notes.

    Raises:
        StoreError: a store is missing, or has draws without verdicts.
    """
    from rlvr.rollouts.kept import read_rollouts

    index = ProbeIndex(run_dir)
    probes = [measure_probe(index, entry) for entry in index.entries()]
    shadow = agreement.measure(log_history, read_rollouts(run_dir) if with_studies else ())
    said = agreement.sentences(shadow) if shadow else []
    summary = make_summary(probes, k_max, log_history, facts, seed, with_studies, [*said, *more_notes])
    return _write(run_dir, {**summary, **({"shadow": shadow} if shadow else {})})


def _write(run_dir: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Writes the summary, whole or not at all, and returns it."""
    write_atomically(run_dir / "summary.json", json.dumps(summary, indent=1, allow_nan=False))
    return summary


def make_summary(
    probes: Sequence[Measured],
    k_max: int,
    log_history: Sequence[Mapping[str, Any]],
    facts: RunFacts,
    seed: int = 0,
    with_studies: bool = True,
    more_notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Returns the summary of what was measured, the base first; for the arguments see `write_summary`."""
    ks = [k for k in k_grid(k_max) if all(k <= probe.counts.largest_k for probe in probes)]
    records = summarize_probes(probes, ks, seed)
    _add_training_cost(records, log_history)
    summary = {
        "schema": SCHEMA,
        "run": asdict(facts),
        **_description(probes, ks),
        "probes": records,
        "training": training_curves(log_history),
        "notes": [*notes(probes, ks), *more_notes],
    }
    if with_studies and probes:
        summary |= studies(probes, ks[-1], seed)
    return plain(summary)  # type: ignore[no-any-return]


def read_summary(run_dir: Path) -> Summary:
    """Returns the summary that stands in a run's folder.

    Raises:
        InputError: there is none, it cannot be read, or it is of another schema.
    """
    file = run_dir / "summary.json"
    if not file.exists():
        raise InputError(f"{file}: no such file. Give the folder of a run that was probed, then summarised.")
    return require_summary(read_json(file), str(file))


def remake_summary(run_dir: Path, seed: int = 0) -> dict[str, Any]:
    """Writes the summary of a run anew from its stored draws; what the run was, is taken from the one that is there.

    Raises:
        InputError: no summary is there, of whatever version.
        StoreError: a store is missing, or has draws without verdicts.
    """
    file = run_dir / "summary.json"
    if not file.exists():
        raise InputError(f"{file}: no such file; start the run's command again, which goes on where it stopped.")
    old = read_json(file)
    summary = write_summary(run_dir, old["k"][-1], log_history(run_dir), RunFacts(**old["run"]), seed)
    said = [line for line in old.get("notes", []) if line not in summary["notes"]]  # by whoever trained
    return _write(run_dir, summary | {"notes": [*summary["notes"], *said]})


def studies(probes: Sequence[Measured], k_max: int, seed: int) -> dict[str, Any]:
    """Returns the analyses of each probe, of each against the first, and of the solved sets through the run."""
    first = probes[0]
    return {
        "studies": {
            "arms": [study_arm(each, k_max, seed) for each in probes],
            "against_base": [study_pair(first.counts, each.counts, k_max, seed) for each in probes[1:]],
            "flow": study_run([(each.step, each.counts) for each in probes]),
        }
    }


def _description(probes: Sequence[Measured], ks: Sequence[int]) -> dict[str, Any]:
    """Returns problems, plan, verifier, k and sampling, which all probes of a run share."""
    if not probes:
        return {"problems": {}, "plan": {}, "verifier": "", "k": list(ks), "confidence": 0.95, "sampling": {}}
    first = probes[0]
    problems = {
        "name": first.store.problem_set_name,
        "content_id": first.store.problem_set_id,
        "num_problems": len(first.counts.problem_ids),
        "num_duplicates": first.store.num_duplicates,
    }
    return {
        "problems": problems,
        "plan": first.plan.to_json() if first.plan else {},
        "verifier": first.verifier_id,
        "k": list(ks),
        "confidence": 0.95,
        "sampling": asdict(first.store.arm.sampling),
    }


def summarize_probes(probes: Sequence[Measured], ks: Sequence[int], seed: int) -> list[dict[str, Any]]:
    """Returns one record per probe; the simultaneous band of the comparisons covers steps x k."""
    if not probes:
        return []
    base, later = probes[0], probes[1:]
    records = [_probe_record(probe, ks, seed) for probe in probes]
    if later:
        comparison = compare_counts(base.counts, [probe.counts for probe in later], ks, seed=seed)
        for position, (record, probe) in enumerate(zip(records[1:], later, strict=True)):
            record["against_base"] = _against_base(base, probe, comparison.at(position))
            record["gained"], record["lost"] = changed_problems(base.counts, probe.counts)
    return records


def _probe_record(probe: Measured, ks: Sequence[int], seed: int) -> dict[str, Any]:
    """Returns the numbers of one probe that need no other probe."""
    return {
        "step": probe.step,
        "label": probe.label,
        "arm_id": probe.store.arm.arm_id,
        "num_draws": probe.outcomes.num_draws,
        "seconds": probe.seconds,
        "cost": _probe_cost(probe),
        "pass@k": curve_rows(pass_at_k_curve(probe.counts, ks, seed=seed)),
        "by_verifier": study_verifiers(probe, ks, seed),
        "bounds_if_errors": _bounds_if_errors(probe.counts, ks),
        "num_rate_draws": probe.rates.num_draws,
        "all_outcomes": probe.outcomes.tally(),
        "outcomes": probe.rates.outcomes,
        "truncation_rate": probe.rates.truncation_rate,
        "no_answer_rate": probe.rates.no_answer_rate,
        "mean_tokens": probe.rates.mean_tokens,
        "distinct_correct": probe.answers.distinct.mean,
        "modes": _modes(probe),
        "scores": probe.scores,
        "against_base": None,
        "gained": [],
        "lost": [],
    }


def _probe_cost(probe: Measured) -> dict[str, Any]:
    """Returns what a probe cost; what training cost until then is added where its log is known."""
    num_problems, made = len(probe.counts.problem_ids), probe.outcomes.num_draws
    fixed = probe.plan.looks[-1] * num_problems if probe.plan else made
    return {"draws": made, "fixed_draws": fixed, "seconds": probe.seconds, **NO_TRAINING}


def _add_training_cost(records: Sequence[dict[str, Any]], log_history: Sequence[Mapping[str, Any]]) -> None:
    """Adds to each probe the rollouts and tokens that training had generated at the last logged step until then."""
    spent = training_costs(log_history)
    for record in records:
        last = max((step for step in spent if step <= record["step"]), default=None)
        if last is not None:
            record["cost"] |= spent[last]


def training_costs(log_history: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Returns rollouts, tokens generated and seconds of training by logged step; None where it is not known.

    A supervised arm logs no reward. Its tokens are those of its demonstrations, if a model made them. The seconds are
    TRL's `step_time`, a mean over the steps since the last log.
    """
    rows = {row["step"]: row for row in log_history if "loss" in row}
    costs, seconds, before = {}, 0.0, 0
    for step, row in sorted(rows.items()):
        seconds += row.get("step_time", math.nan) * (step - before)
        costs[step] = {
            "rollouts": row.get("rollouts"),
            "tokens": _generated_tokens(row),
            "train_seconds": None if math.isnan(seconds) else round(seconds, 2),
        }
        before = step
    return costs


def _generated_tokens(row: Mapping[str, Any]) -> int | None:
    """Returns the tokens generated until a logged step."""
    value = row.get("num_tokens" if "reward" in row else "rollout_tokens")
    return None if value is None else int(value)


def _modes(probe: Measured) -> dict[str, Any] | None:
    """Returns pass@1 in both modes of the verifier, or None where it has one."""
    other = probe.store.other_outcomes(probe.verifier_id)
    return asdict(compare_modes(probe.outcomes, other, probe.num_first)) if other else None


def _bounds_if_errors(counts: Counts, ks: Sequence[int]) -> dict[str, list[float]] | None:
    """Returns pass@k with all verifier errors wrong and all correct, or None where there are no errors."""
    if not counts.errors_P.any():
        return None
    all_wrong_K, all_correct_K = error_bounds(counts, ks)
    return {str(k): [lo, hi] for k, lo, hi in zip(ks, all_wrong_K, all_correct_K, strict=True)}


def _against_base(base: Measured, probe: Measured, comparison: StepComparison) -> dict[str, Any]:
    """Returns paired differences, crossing and solved sets of one probe against the first."""
    return {
        "k": comparison.rows(),
        "crossing": crossing(comparison),
        "cells": asdict(four_cells(base.counts, probe.counts)),
    }


def changed_problems(base: Counts, later: Counts) -> tuple[list[str], list[str]]:
    """Returns problems solved (c >= 1) by the later counts only, and by the base only."""
    was = {key for key, c in zip(base.problem_ids, base.c_P, strict=True) if c > 0}
    now = {key for key, c in zip(later.problem_ids, later.c_P, strict=True) if c > 0}
    return sorted(now - was), sorted(was - now)


def training_curves(log_history: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Returns the trainer's log by column; a step that was run again after a restart counts once, by its last value."""
    rows = {row["step"]: row for row in log_history if "loss" in row}
    steps = sorted(rows)
    curves = {key: [rows[step].get(key) for step in steps] for key in TRAINING_KEYS}
    return {"step": steps, **{key: values for key, values in curves.items() if any(v is not None for v in values)}}


def notes(probes: Sequence[Measured], ks: Sequence[int]) -> list[str]:
    """Returns what cannot be said, and what could mislead, in sentences."""
    found = []
    if any("scripted" in probe.store.engines() for probe in probes):
        found.append("The draws come from the scripted engine: they show the software, not a model.")
    if probes and len(probes[0].counts.problem_ids) < 30:
        found.append(f"Only {len(probes[0].counts.problem_ids)} problems: intervals over problems are rough.")
    if any(2 * max(ks) > probe.counts.largest_k for probe in probes):
        found.append("The standard error over draws is not identified where 2k exceeds what the plan allows.")
    if any(probe.counts.errors_P.any() for probe in probes):
        found.append("Some draws could not be judged; pass@k is shown with both bounds.")
    if len(probes) > 1 and probes[0].store.path == probes[-1].store.path:
        found.append("The last probe has the weights of the first: nothing was trained.")
    found.extend(_truncation_notes(probes))
    found.extend(_arm_notes(probes))
    if probes:
        found.append(f"One seed: the intervals do not cover other seeds. Largest k is {ks[-1]}.")
    return found


def _arm_notes(probes: Sequence[Measured]) -> list[str]:
    """Returns a sentence where an arm differs from the first in more than its weights."""
    differing = {name for probe in probes for name in probes[0].store.arm.differences(probe.store.arm)} - {"weights"}
    if not differing:
        return []
    return [
        f"The arms differ in {', '.join(sorted(differing))}, not in weights alone: part of a change in pass@k can "
        "come from there."
    ]


def _truncation_notes(probes: Sequence[Measured]) -> list[str]:
    """Returns a sentence where the share of cut completions moved by more than 5 points between first and last."""
    if len(probes) < 2:
        return []
    first, last = probes[0].rates.truncation_rate, probes[-1].rates.truncation_rate
    if abs(first - last) <= 0.05:
        return []
    return [
        f"Truncated completions went from {first:.1%} to {last:.1%}: part of the change in pass@k can come from models "
        "that stop sooner, not from models that solve more."
    ]


def metrics(summary: Mapping[str, Any]) -> dict[str, float]:
    """Returns what the trainer logs of the last probe: `probe/pass@k`, also by verifier of a mixture, and rates."""
    if not summary["probes"]:
        return {}
    last = summary["probes"][-1]
    curves = {f"probe/pass@{k}": value["estimate"] for k, value in last["pass@k"].items()}
    if last["against_base"]:
        at_k_max = list(last["against_base"]["k"].values())[-1]
        curves[NARROWED] = float(at_k_max["verdict"] == "loss")
    for name, part in (last.get("by_verifier") or {}).items():
        curves |= {f"probe/{name}/pass@{k}": value["estimate"] for k, value in part["pass@k"].items()}
    names = ("truncation_rate", "no_answer_rate", "mean_tokens", "distinct_correct")
    return {**curves, **{f"probe/{name}": last[name] for name in names}}
