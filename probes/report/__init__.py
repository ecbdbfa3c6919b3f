"""The report: one HTML file that opens offline, from the summary of a run.

Owns: reading `summary.json`, writing the page. `schema` is its input, `figures` and `palette` the drawings, `words` the
sentences, `page` the tables and the assembly; `page.html`, `page.css` and `page.js` are the page itself.
Does not own: any number in it; those come from the summary.

Importing this package loads neither plotly nor jinja2.
"""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlvr.errors import InputError, RlvrError


def write_report(run_dir: Path, output: Path | None = None) -> Path:
    """Writes the report of a run and returns its path; a report that was there is replaced whole or not at all.

    Args:
        run_dir: folder that holds `summary.json`.
        output: file to write, `report.html` in the run's folder by default.

    Raises:
        InputError: there is no summary, it cannot be read, or the output cannot be written there.
    """
    source = run_dir / "summary.json"
    page = render(_read(source), where=str(source))
    output = output or run_dir / "report.html"
    _replace(output, page)
    return output


def render(summary: Mapping[str, Any], where: str = "summary") -> str:
    """Returns the report as one HTML document.

    Args:
        summary: object of schema `rlvr.summary/1`.
        where: name of the summary in messages.

    Raises:
        InputError: the summary is of another schema, or a part of it is missing or of another type.
    """
    from probes.report.page import render_page
    from probes.report.schema import require_summary

    return render_page(require_summary(summary, where))


def write_comparison_report(folder: Path) -> Path:
    """Writes `report.html` of a comparison from its `comparison.json`, and returns its path.

    Raises:
        InputError: there is no comparison, or it cannot be read.
    """
    from probes.report.comparison import render_comparison

    output = folder / "report.html"
    _replace(output, render_comparison(_read(folder / "comparison.json")))
    return output


def _read(path: Path) -> dict[str, Any]:
    """Returns the JSON object of a summary."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Give the folder of a run that was probed, then summarised.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Make it again from the run's stored draws.") from error


def _replace(path: Path, text: str) -> None:
    """Writes a file under a temporary name in its folder, then renames it."""
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
