"""Every number of a report as rows of one long table, for pandas, R or a spreadsheet.

Owns: the rows and their CSV.
Does not own: the numbers (the summary, the comparison).

A row has a path: the names and places that lead to the number in the JSON, for example `probes`, `150`, `pass@k`, `16`,
`estimate`. So the table is complete whatever the schema has, and a number is found as it is found in the JSON.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from probes.results.schema import Summary

COLUMNS = ("arm", "part", "where", "k", "metric", "value")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
Row = tuple[str, str, str, str, str, str]


def summary_rows(arm: str, summary: Summary) -> Iterator[Row]:
    """Yields the numbers and verdicts of a run's probes, studies and training log.

    Args:
        arm: name of the run.
        summary: of the run.
    """
    labels = [probe["label"] for probe in summary["probes"]]
    for label, probe in zip(labels, summary["probes"], strict=True):
        yield from _rows(arm, "probe", label, probe)
    studies = summary.get("studies", {})
    for label, study in zip(labels, studies.get("arms", []), strict=False):
        yield from _rows(arm, "study", label, study)
    for label, study in zip(labels[1:], studies.get("against_base", []), strict=False):
        yield from _rows(arm, "study against base", label, study)
    yield from _rows(arm, "study", "run", studies.get("flow", {}))
    training = summary.get("training", {})
    for place, step in enumerate(training.get("step", [])):
        values = {key: column[place] for key, column in training.items() if key != "step"}
        yield from _rows(arm, "training", f"step {step:g}" if step is not None else "", values)


def comparison_rows(comparison: Mapping[str, Any]) -> Iterator[Row]:
    """Yields the numbers and verdicts of a comparison."""
    for name, states in comparison["sets"].items():
        for by, part in states.items():
            yield from _rows("base", f"compared by {by}", name, part["base"])
            for arm, record in part["arms"].items():
                yield from _rows(arm, f"compared by {by}", name, record)
            yield ("", f"compared by {by}", name, "", "budget", repr(part["budget"]))
    for row in comparison["trajectory"]:
        yield from _rows(row["arm"], "trajectory", f"step {row['step']}", row)


def to_csv(rows: Iterator[Row]) -> str:
    """Returns rows as CSV with a header (RFC 4180); a quote goes before text that a spreadsheet would run."""
    output = io.StringIO()
    writer = csv.writer(output)
    writer.writerow(COLUMNS)
    for *texts, value in rows:
        writer.writerow([*map(_harmless, texts), value])
    return output.getvalue()


def _rows(arm: str, part: str, where: str, value: Mapping[str, Any]) -> Iterator[Row]:
    """Yields a row for each number or verdict in a nested value; a name that is a whole number is a k."""
    for path, leaf in _leaves(value):
        ks = [step for step in path if step.isdigit()]
        metric = ".".join(step for step in path if not step.isdigit())
        yield (arm, part, where, ks[0] if ks else "", metric, leaf if isinstance(leaf, str) else repr(leaf))


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields (path, number or verdict); of other texts none, since they are no numbers."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _leaves(item, (*path, str(place)))
    elif isinstance(value, (int, float)) or (path and path[-1] == "verdict"):
        yield path, value


def _harmless(text: str) -> str:
    """Returns text that no spreadsheet runs."""
    return f"'{text}" if text.startswith(FORMULA) else text
