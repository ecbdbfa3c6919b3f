"""The report: one HTML file that opens offline, of a run, a pair or a comparison.

    inputs       which folders a report is of, read
    evidence     which draws stand on the page
    rollouts     which training rollouts do
    words        sentences computed from a summary
    figures      the drawings, a file a topic
    page         the page of a run, its safety and policy
    comparison   the page of several arms
    packing      packed text inside a page
    markdown, numbers, terminal    other forms of the same
    export       figures as files

Owns: how results are shown, and writing the page.
Does not own: any number in it; those come from `probes.results`.

Importing this package loads neither plotly nor jinja2.
"""

import errno
import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr.durable import write_atomically
from rlvr.errors import InputError, RlvrError, StoreError

if TYPE_CHECKING:
    from probes.report.evidence import Evidence
    from probes.report.inputs import ReportInput
    from probes.report.rollouts import TrainingRollouts


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Writes the report of a run or a comparison, and returns its path; an earlier one is replaced whole or not at all.

    Args:
        folder: holds `summary.json` or `comparison.json`.
        output: file to write, `report.html` in the folder by default.

    Raises:
        InputError: there is no summary, it cannot be read, or the output cannot be written there.
    """
    from probes.report.inputs import read_input

    target = report_path([folder], output)
    write_text(target, render_input(read_input([folder])))
    return target


def report_path(folders: Sequence[Path], output: Path | None) -> Path:
    """Returns the file of a page: the one that is given, or `report.html` in a lone folder.

    Raises:
        InputError: there are several folders and no file.
    """
    if output is None and len(folders) > 1:
        raise InputError(f"--output: missing; expected a file for the report of {len(folders)} folders.")
    return output or folders[0] / "report.html"


def render_as(form: str, given: "ReportInput") -> str:
    """Returns a report as `html`, `markdown`, `csv` or `json`."""
    from probes.report.markdown import comparison_markdown, run_markdown
    from probes.report.numbers import comparison_rows, summary_rows, to_csv

    if form == "html":
        return render_input(given)
    (first, *_), compared = given.arms.values(), given.comparison
    if form == "markdown":
        return comparison_markdown(compared) if compared else run_markdown(given.name, first)
    if form == "csv":
        rows = [summary_rows(name, summary) for name, summary in given.arms.items()]
        return to_csv(chain(comparison_rows(compared) if compared else (), *rows))
    value = {"comparison": compared, "summaries": given.arms} if compared else first
    return json.dumps(value, indent=1, allow_nan=False)


def write_figures(given: "ReportInput", folder: Path) -> int:
    """Writes every figure of a report as SVG and as PNG, and returns their number.

    Raises:
        InputError: kaleido or a Chromium is missing, or the folder cannot be written.
    """
    from probes.report.export import export_figures

    return export_figures(given, folder)


def render_input(given: "ReportInput") -> str:
    """Returns the report as one HTML document."""
    from probes.report.comparison import render_comparison
    from probes.report.page import render_run

    evidence = _evidence_of(given)
    if given.comparison is None:
        (summary,) = given.arms.values()
        return render_run(given.name, summary, evidence, _rollouts_of(given))
    return render_comparison(given.comparison, given.arms, evidence)


def _evidence_of(given: "ReportInput") -> "Evidence | str":
    """Returns the draws that the page shows, or why it has none; a report is written without them, too."""
    from probes.report.evidence import choose_evidence

    try:
        arms = given.load_draws()
    except StoreError as error:
        return str(error)
    return choose_evidence(arms) if arms else "no stored draws stand beside the summary."


def _rollouts_of(given: "ReportInput") -> "TrainingRollouts | str | None":
    """Returns the training rollouts that the page shows, why it cannot, or None where none were kept."""
    try:
        return given.load_rollouts()
    except StoreError as error:
        return str(error)


def render(summary: Mapping[str, Any], where: str = "summary") -> str:
    """Returns the report of a lone run, without its draws.

    Args:
        summary: object of schema `rlvr.summary/2`.
        where: name of the summary in messages.

    Raises:
        InputError: the summary is of another schema, or a part of it is missing or of another type.
    """
    from probes.report.page import render_run
    from probes.results.schema import require_summary

    found = require_summary(summary, where)
    return render_run(found["run"]["name"], found, "this page was made from the summary alone.")


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name in its folder, then renames it.

    Raises:
        RlvrError: the disk is full.
        InputError: the file cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise RlvrError(
                f"{path}: the disk is full; an earlier report is kept. Free space, then try again."
            ) from error
        raise InputError(f"{path}: cannot be written ({error.strerror}). Give another output file.") from error
