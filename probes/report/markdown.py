"""The report as Markdown, for a pull request: headline, one table, what to be careful about.

Owns: its text, and that no name or note can be markup in it.
Does not own: sentences (`words`), numbers (the summary, the comparison).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from probes.report.words import change, headline, place, places, table_columns
from probes.results.cautions import cautions
from probes.results.formatting import interval, number
from probes.results.schema import Summary

MAX_NOTES = 12
MAX_CHARS = 300
MARKS = {"gain": "▲ gain", "loss": "▼ loss", "cannot tell": "○ cannot tell"}


def run_markdown(name: str, summary: Summary) -> str:
    """Returns the report of a run, or of a base and one other store."""
    ks = table_columns(summary["k"])
    rows = []
    for probe in summary["probes"]:
        against = probe["against_base"]["k"] if probe["against_base"] else {}
        rows.append([place(probe), *(_cell(probe["pass@k"].get(str(k)), against.get(str(k))) for k in ks)])
    return _document(
        name,
        [f"**{safe(headline(summary))}**"],
        _table([places(summary), *(f"pass@{k}" for k in ks)], rows),
        cautions(summary),
        {"model": summary["run"]["model"], "algorithm": summary["run"]["algorithm"], **_measured(summary)},
    )


def comparison_markdown(comparison: Mapping[str, Any]) -> str:
    """Returns the report of a comparison: a line and a table of each problem set."""
    lines, tables = [], []
    for name, states in comparison["sets"].items():
        part = next(iter(states.values()))
        before = part["base"]["pass@k"]
        lines += [
            f"- **{safe(arm)}** on {safe(name)}: "
            + safe(change(part["k"], before, found["pass@k"], found["against_base"], found["crossing"]))
            for arm, found in part["arms"].items()
        ]
        tables += [f"### {safe(name)}", "", _arms_table(part)]
    facts = {"base": comparison["model"], "trained on": comparison["train_problems"] or "not stated"}
    return _document(comparison["name"], lines, "\n".join(tables), comparison["notes"], facts)


def safe(text: str) -> str:
    """Returns text that neither Markdown nor HTML reads as anything but text, on one line and of bounded length.

    A name cannot mention a person (`@name`), link, or start an issue's number (`#1`).
    """
    line = " ".join(str(text).split())
    short = line if len(line) <= MAX_CHARS else f"{line[:MAX_CHARS]} …"
    entities = short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    broken = re.sub(r"(?<=(?<!\w)[@#])(?=\w)|(?<=:)(?=//)|(?<=www)(?=\.)", "\u200b", entities)
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", broken)


def _document(name: str, lines: Sequence[str], table: str, notes: Sequence[str], facts: Mapping[str, str]) -> str:
    """Returns the whole text."""
    shown = [f"- {safe(note)}" for note in notes[:MAX_NOTES]]
    if len(notes) > MAX_NOTES:
        shown.append(f"- {len(notes) - MAX_NOTES} more in the report.")
    rows = [f"- {safe(key)}: {safe(value)}" for key, value in facts.items()]
    parts = [f"## {safe(name)}", "", *lines, "", table, "", "**Read with care**", "", *shown, ""]
    return "\n".join([*parts, "<details><summary>Facts</summary>", "", *rows, "", "</details>", ""])


def _arms_table(part: Mapping[str, Any]) -> str:
    """Returns base and arms by pass@k."""
    ks = table_columns(part["k"])
    rows = [["base", *(_cell(part["base"]["pass@k"][str(k)], None) for k in ks)]]
    for name, arm in part["arms"].items():
        rows.append([name, *(_cell(arm["pass@k"][str(k)], arm["against_base"][str(k)]) for k in ks)])
    return _table(["arm", *(f"pass@{k}" for k in ks)], rows)


def _cell(estimate: Mapping[str, Any] | None, against: Mapping[str, Any] | None) -> str:
    """Returns `0.281 [0.240, 0.330] ▲ gain`."""
    if estimate is None:
        return number(None)
    verdict = f" {MARKS[against['verdict']]}" if against else ""
    return f"{number(estimate['estimate'])} {interval(estimate)}{verdict}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of GitHub's Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    rule = 1
    return "\n".join(
        f"| {' | '.join(cell if place == rule else safe(cell) for cell in line)} |" for place, line in enumerate(lines)
    )


def _measured(summary: Summary) -> dict[str, str]:
    """Returns what was measured with."""
    problems = summary["problems"]
    return {
        "problems": f"{problems['num_problems']} of {problems['name']} ({problems['content_id']})",
        "verifier": summary["verifier"],
        "draws": ", ".join(f"{probe['num_draws']:,}" for probe in summary["probes"]),
        "confidence": f"{summary['confidence']:.0%}",
    }
