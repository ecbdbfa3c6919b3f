"""The doctor: what is wrong with a store, what it still owes, and what could mislead.

Owns: the list of checks and their findings.
Does not own: repair. Each finding says what to do.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from probes.analyses.rates import rates
from probes.statistics.outcomes import Outcomes
from probes.statistics.plan import Plan
from probes.store.arm import Arm
from probes.store.store import ProbeStore
from rlvr.errors import RlvrError
from rlvr.problems import ProblemSet

Level = Literal["error", "owed", "confound", "note"]

TRUNCATION_LIMIT, NO_ANSWER_LIMIT, ERROR_LIMIT = 0.05, 0.20, 0.01


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Attributes:
        level: `error`: the store is damaged. `owed`: draws or verdicts are missing. `confound`: a difference between
            arms may come from this. `note`: good to know.
        check: short name.
        message: what was seen and what to do.
    """

    level: Level
    check: str
    message: str


def examine(path: Path) -> list[Finding]:
    """Returns the findings on a store, errors first; none of level `error` or `owed` means that it can be trusted.

    Raises:
        StoreError: there is no store at `path`.
    """
    store = ProbeStore.open_existing(path)
    damage = list(_damage(store))
    if damage:
        return damage  # what follows would read damaged files
    findings = [*_identity(store), *_engines(store), *_owed(store)]
    order = ("error", "owed", "confound", "note")
    return sorted(findings, key=lambda finding: order.index(finding.level))


def _damage(store: ProbeStore) -> Iterator[Finding]:
    """Yields what makes files unreadable or contradictory."""
    for file in sorted(store.path.glob("*.sqlite")):
        if fault := _integrity(file):
            yield Finding("error", "integrity", f"{file}: {fault}; restore it, or delete it and make its rows again.")
    try:
        problems = ProblemSet.of(store.problem_set_name, store.problems())
        Arm.from_json(store.arm.to_json())
        store.plan()
    except (RlvrError, OSError, ValueError, TypeError) as error:
        yield Finding("error", "files", f"{store.path}: {error}")
        return
    if problems.content_id != store.problem_set_id:
        yield Finding(
            "error",
            "problems",
            f"problems.jsonl holds set {problems.content_id}, probe.json names {store.problem_set_id}; restore it.",
        )


def _integrity(file: Path) -> str | None:
    """Returns what SQLite finds wrong with a file, or None."""
    try:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60)
        try:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == "ok" else str(found)


def _identity(store: ProbeStore) -> Iterator[Finding]:
    """Yields what is not known about what was sampled, and draws that two writers both made."""
    if store.arm.is_declared:
        yield Finding("note", "identity", f"the weights are known by name only: {store.arm.weights}.")
    repeated = store.num_repeated_draws()
    if repeated:
        yield Finding(
            "error", "repeated", f"{repeated} draw indices were made by two writers; keep the files of one of them."
        )


def _engines(store: ProbeStore) -> Iterator[Finding]:
    engines = sorted(store.engines())
    if "scripted" in engines:
        yield Finding(
            "confound", "scripted", "draws come from the scripted engine: they show the software, not a model."
        )
    if len(engines) > 1:
        yield Finding("note", "engines", f"several engines made the draws: {', '.join(engines)}.")


def _owed(store: ProbeStore) -> Iterator[Finding]:
    """Yields what is missing, and the confounds, for each verifier."""
    verifier_ids = store.verifier_ids()
    if not verifier_ids:
        yield Finding("owed", "verdicts", "no draw is judged; `probes verify` judges them.")
    for verifier_id in verifier_ids:
        outcomes, plan = store.outcomes(verifier_id), store.plan()
        if outcomes.num_unjudged:
            yield Finding("owed", "verdicts", f"{outcomes.num_unjudged} draws have no verdict of {verifier_id}.")
            continue
        yield from _owed_draws(outcomes, plan, verifier_id)
        yield from _confounds(store, outcomes, plan, verifier_id)


def _owed_draws(outcomes: Outcomes, plan: Plan | None, verifier_id: str) -> Iterator[Finding]:
    owed = outcomes.owed(plan) if plan else {}
    if owed:
        yield Finding(
            "owed",
            "draws",
            f"{len(owed)} of {len(outcomes.problem_ids)} problems owe draws under {verifier_id}, at least "
            f"{sum(map(len, owed.values()))}; `probes sample` on this folder makes them.",
        )


def _confounds(store: ProbeStore, outcomes: Outcomes, plan: Plan | None, verifier_id: str) -> Iterator[Finding]:
    """Yields rates that could explain a difference between arms by themselves."""
    num_first = outcomes.num_first(plan)
    if not num_first:
        yield Finding("owed", "draws", "some problem has no draw; `probes sample` makes them.")
        return
    found = rates(outcomes, store.totals(num_first), num_first)
    num_errors = outcomes.num_errors
    if num_errors:
        share = num_errors / outcomes.num_draws
        level: Level = "confound" if share > ERROR_LIMIT else "note"
        yield Finding(level, "errors", f"{num_errors} draws ({share:.2%}) could not be judged by {verifier_id}.")
    if found.truncation_rate > TRUNCATION_LIMIT:
        yield Finding(
            "confound", "truncation", f"{found.truncation_rate:.1%} of completions were cut; raise --max-new-tokens."
        )
    if found.no_answer_rate > NO_ANSWER_LIMIT:
        yield Finding(
            "confound",
            "no answer",
            f"{found.no_answer_rate:.1%} of completions have no answer for {verifier_id}; check prompt and stop rule.",
        )


def worst(findings: list[Finding]) -> Level | None:
    """Returns the gravest level found, or None."""
    seen = Counter(finding.level for finding in findings)
    levels: tuple[Level, ...] = ("error", "owed", "confound", "note")
    return next((level for level in levels if seen[level]), None)
