"""The report: one HTML file that opens offline, of a run, a pair or a comparison.

Owns: writing the page. `inputs` reads what it shows, `schema` checks it; `figures` and `palette` are the drawings,
`plots` says which stand where; `words` and `labels` are the sentences, `page` and `comparison` assemble the rest.
Does not own: any number in it; those come from the summary and the comparison.

Importing this package loads neither plotly nor jinja2.
"""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr.errors import InputError, RlvrError, StoreError

if TYPE_CHECKING:
    from probes.report.evidence import Evidence
    from probes.report.inputs import ReportInput


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Writes the report of a run or a comparison, and returns its path; an earlier one is replaced whole or not at all.

    Args:
        folder: holds `summary.json` or `comparison.json`.
        output: file to write, `report.html` in the folder by default.

    Raises:
        InputError: there is no summary, it cannot be read, or the output cannot be written there.
    """
    return write_report_of([folder], output)


def write_report_of(folders: Sequence[Path], output: Path | None = None, **options: Any) -> Path:
    """Writes the report of one or more folders, and returns its path.

    Args:
        folders: see `inputs.read_input`, which takes the options too.
        output: file to write; may be left out for a single folder, then `report.html` in it.
        options: of `inputs.read_input`.

    Raises:
        InputError: see `inputs.read_input`; or the output is not given, or cannot be written.
    """
    from probes.report.inputs import read_input

    if output is None and len(folders) > 1:
        raise InputError(f"output: missing; expected a file for the report of {len(folders)} folders.")
    page = render_input(read_input(folders, **options))
    output = output or folders[0] / "report.html"
    write_text(output, page)
    return output


def render_input(given: "ReportInput") -> str:
    """Returns the report as one HTML document."""
    from probes.report.comparison import render_comparison
    from probes.report.page import render_run

    evidence = _evidence_of(given)
    if given.comparison is None:
        (summary,) = given.arms.values()
        return render_run(given.name, summary, evidence)
    return render_comparison(given.comparison, given.arms, evidence)


def _evidence_of(given: "ReportInput") -> "Evidence | str":
    """Returns the draws that the page shows, or why it has none; a report is written without them, too."""
    from probes.report.evidence import choose_evidence

    try:
        arms = given.load_draws()
    except StoreError as error:
        return str(error)
    return choose_evidence(arms) if arms else "no stored draws stand beside the summary."


def render(summary: Mapping[str, Any], where: str = "summary") -> str:
    """Returns the report of a lone run, without its draws.

    Args:
        summary: object of schema `rlvr.summary/2`.
        where: name of the summary in messages.

    Raises:
        InputError: the summary is of another schema, or a part of it is missing or of another type.
    """
    from probes.report.page import render_run
    from probes.report.schema import require_summary

    found = require_summary(summary, where)
    return render_run(found["run"]["name"], found, "this page was made from the summary alone.")


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name in its folder, then renames it.

    Raises:
        RlvrError: the disk is full.
        InputError: the file cannot be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise RlvrError(
                f"{path}: the disk is full; an earlier report is kept. Free space, then try again."
            ) from error
        raise InputError(f"{path}: cannot be written ({error.strerror}). Give another output file.") from error
    finally:
        temporary.unlink(missing_ok=True)
