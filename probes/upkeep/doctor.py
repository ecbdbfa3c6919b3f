"""The doctor: what is wrong with a store, what it still owes, and what could mislead.

Owns: the list of checks and their findings.
Does not own: mending (`probes.upkeep.repair`). Each finding says what to do; none says to delete a draw.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from probes.analyses.rates import rates
from probes.statistics.outcomes import CORRECT, Outcomes
from probes.statistics.plan import Plan
from probes.store.files import SEE_DOCTOR
from probes.store.formats.names import is_sealed
from probes.store.formats.sqlite import has_hot_journal
from probes.store.store import ProbeStore
from probes.store.versions import COLUMNS
from probes.upkeep.checks import check_file
from rlvr.errors import RlvrError, StoreDamageError, StoreError
from rlvr.problems import ProblemSet

Level = Literal["error", "owed", "confound", "note"]

GO_ON = "the same `probes sample` command, or the same training command, goes on"
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

    Nothing is changed.

    Raises:
        StoreError: there is no store at `path`, or it is of a newer version.
    """
    store = ProbeStore.open_existing(path)
    cut = [finding for kind in COLUMNS for file in store.files.of(kind) for finding in _cut(store, file)]
    damage = list(_damage(store))
    if any(finding.level == "error" for finding in damage):
        return [*damage, *cut]  # what follows would read damaged files
    findings = [*damage, *cut, *_identity(store), *_engines(store), *_owed(store)]
    order = ("error", "owed", "confound", "note")
    return sorted(findings, key=lambda finding: order.index(finding.level))


def _cut(store: ProbeStore, file: Path) -> Iterator[Finding]:
    """Yields that a writer was killed in the middle of a commit: nothing is lost, readers see the commit before it."""
    if not is_sealed(file) and has_hot_journal(file) and not store.files.is_written(file):
        yield Finding(
            "note",
            "cut commit",
            f"{file}: a writer was killed while it stored a batch. Nothing that was durable is lost. The same "
            "`probes sample` command, or --repair, undoes the half of it.",
        )


def _damage(store: ProbeStore) -> Iterator[Finding]:
    """Yields what makes files unreadable or contradictory."""
    found = [each for kind in COLUMNS for file in store.files.of(kind) for each in _damage_of(store, kind, file)]
    yield from found
    try:
        problems = ProblemSet.of(store.problem_set_name, store.problems())
        store.plan()
        if not any(each.level == "error" for each in found):
            store.require_each_once()
    except RlvrError as error:
        yield Finding("error", "files", str(error))
        return
    if problems.content_id != store.problem_set_id:
        yield Finding(
            "error",
            "problems",
            f"problems.jsonl holds set {problems.content_id}, probe.json names {store.problem_set_id}; restore it.",
        )


def _damage_of(store: ProbeStore, kind: str, file: Path) -> Iterator[Finding]:
    """Yields what is wrong with one file."""
    if not os.access(file, os.R_OK):
        yield Finding("error", "permission", f"{file}: may not be read by this user, so nothing is known of it.")
        return
    aside = (
        "--repair sets the file aside and keeps every draw that can be read."
        if kind == "draws"
        else "--repair sets the file aside; `probes verify` makes its verdicts again."
    )
    try:
        found = check_file(store, kind, file)
    except StoreDamageError as error:
        yield Finding("error", "integrity", f"{str(error).removesuffix(SEE_DOCTOR)}. {aside}")
        return
    except StoreError as error:
        yield Finding("error", "not read", f"{error} Nothing else is known of this file.")
        return
    if found.fault:
        yield Finding("error", "integrity", f"{file}: {found.fault}. {aside}")
    if found.num_changed:
        yield Finding(
            "error",
            "checksums",
            f"{file}: {found.num_changed} draws do not match their checksums: they were changed or damaged. {aside}",
        )
    if found.num_unchecked:
        yield Finding(
            "note",
            "version 1",
            f"{file}: {found.num_unchecked} rows are of a version without checksums: a change in them is not seen.",
        )


def _identity(store: ProbeStore) -> Iterator[Finding]:
    """Yields what is not known about what was sampled, and draws that two writers both made."""
    if store.arm.is_declared:
        yield Finding("note", "identity", f"the weights are known by name only: {store.arm.weights}.")


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
        yield Finding("owed", "verdicts", f"no draw is judged; `probes verify` judges them, and {GO_ON}.")
    for verifier_id in verifier_ids:
        outcomes, plan = store.outcomes(verifier_id), store.plan()
        if outcomes.num_unjudged:
            yield Finding(
                "owed",
                "verdicts",
                f"{outcomes.num_unjudged} draws have no verdict of {verifier_id} on what is stored; {GO_ON}.",
            )
        yield from _owed_draws(outcomes.judged_as(CORRECT), plan, verifier_id)
        if not outcomes.num_unjudged:
            yield from _confounds(store, outcomes, plan, verifier_id)


def _owed_draws(outcomes: Outcomes, plan: Plan | None, verifier_id: str) -> Iterator[Finding]:
    owed = outcomes.owed(plan) if plan else {}
    if owed:
        yield Finding(
            "owed",
            "draws",
            f"{len(owed)} of {len(outcomes.problem_ids)} problems owe draws under {verifier_id}, at least "
            f"{sum(map(len, owed.values()))}; {GO_ON}.",
        )


def _confounds(store: ProbeStore, outcomes: Outcomes, plan: Plan | None, verifier_id: str) -> Iterator[Finding]:
    """Yields rates that could explain a difference between arms by themselves."""
    num_first = outcomes.num_first(plan)
    if not num_first:
        yield Finding("owed", "draws", f"some problem has no draw; {GO_ON}.")
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
