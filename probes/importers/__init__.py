"""Importers: logs of other tools into a store of draws.

    import_logs(format, files, output, options) -> ImportReport

    formats    the tools' formats, a file each
    records    what a format yields: samples and what they say
    files      finding and opening logs
    zips       logs inside zip files
    scores     from a tool's score to an outcome
    survey     first pass: what all files hold, before anything is stored
    run        the order of an import
    writing    second pass: draws and verdicts into the store
    journal    which files a store holds already

Owns: the list of formats, the order of an import (survey all files, then store), and its report.
Does not own: the store (`probes.store`), the command (`probes.commands`).

Several files are more draws of one arm. A file is known by its content and never counts twice. What a log does not tell
is not made up: unknown token counts and sampling parameters are -1, a sample without a score has the outcome `error`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from probes.importers.records import ImportOptions
from rlvr.errors import RecipeError

if TYPE_CHECKING:
    from probes.importers.records import Reader

__all__ = ["FORMATS", "FileReport", "ImportOptions", "ImportReport", "import_logs"]

FORMATS = {
    "lm-eval": "lm_eval",
    "lighteval": "lighteval",
    "inspect": "inspect",
    "human-eval": "human_eval",
    "verl": "verl",
    "limit-of-rlvr": "limit_of_rlvr",
}


@dataclass(frozen=True)
class FileReport:
    """What became of one file.

    Attributes:
        path: as given.
        is_repeated: its content was imported before, now or earlier; nothing of it was stored again.
        num_rows: lines, documents or samples read.
        num_draws: stored from it.
        num_errors: of these, without a usable score.
        skipped: rows that hold no draw of their own, by reason.
    """

    path: Path
    is_repeated: bool = False
    num_rows: int = 0
    num_draws: int = 0
    num_errors: int = 0
    skipped: dict[str, int] | None = None


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        format: of the logs.
        store: folder of the store.
        arm_id: of the arm.
        model: its declared name.
        metric: that the verdicts are of.
        verifier_id: under which they are stored; None where draws were imported without verdicts.
        files: what became of each.
        num_problems: in the store.
        num_rows: read from the files that were not repeated.
        num_draws: stored by this import.
        num_errors: of these, without a usable score.
        skipped: rows that hold no draw of their own, by reason.
        notes: what a reader of the numbers should know, one line each.
    """

    format: str
    store: Path
    arm_id: str
    model: str
    metric: str
    verifier_id: str | None
    files: tuple[FileReport, ...]
    num_problems: int
    num_rows: int
    num_draws: int
    num_errors: int
    skipped: dict[str, int]
    notes: tuple[str, ...]


def import_logs(
    format: str,  # noqa: A002 - the flag's name
    files: Sequence[Path],
    output: Path,
    options: ImportOptions | None = None,
) -> ImportReport:
    """Brings logs of another tool into the store at `output`, made if absent.

    All files are read and checked before anything is written. A killed import is completed by the same call.

    Args:
        format: a key of `FORMATS`.
        files: logs of one arm.
        output: folder of the store; an earlier import of the same arm, tool and metric is added to.
        options: metric, threshold, and what the log does not tell.

    Raises:
        RecipeError: the format is unknown, or no file is given.
        ProblemError: a file or row cannot be used; names file and line.
        StoreError: files are of several arms, or the store holds another arm, metric or problem set.
    """
    from probes.importers.run import run_import

    reader = _reader(format)
    if not files:
        raise RecipeError(f"import: no file of format {format} given; name at least one.")
    return run_import(format, reader, [Path(file) for file in files], Path(output), options or ImportOptions())


def _reader(name: str) -> "Reader":
    if name not in FORMATS:
        near = get_close_matches(name, FORMATS, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise RecipeError(f"format: {name!r} is not known; expected one of {', '.join(FORMATS)}.{hint}")
    reader: Callable[..., object] = import_module(f"probes.importers.formats.{FORMATS[name]}").read
    return reader  # type: ignore[return-value]
