"""Checks of one file of a store, all of it.

Owns: reading a file that may be damaged: what its format says of it, and which rows are as they were stored.
Does not own: what follows from it (`probes.upkeep.doctor`, `probes.upkeep.repair`).
"""

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from probes.store.draws import Draw
from probes.store.files import SEE_DOCTOR, disk_errors
from probes.store.formats.journal import COPIED_PAGES
from probes.store.formats.names import is_sealed
from probes.store.formats.sqlite import RecoveredCopies, reading
from probes.store.store import ProbeStore
from probes.store.versions import columns_of
from rlvr.errors import StoreDamageError
from rlvr.verifiers.verdicts import Outcome


@dataclass(frozen=True)
class FileCheck:
    """What was found in one file.

    Attributes:
        fault: what is wrong with the file as a whole; None where nothing is.
        num_changed: draws that do not match their checksum.
        num_unchecked: rows of version 1, which have none.
    """

    fault: str | None
    num_changed: int = 0
    num_unchecked: int = 0


def check_file(store: ProbeStore, kind: str, file: Path) -> FileCheck:
    """Returns what is wrong with a file; reads all of it and changes nothing.

    Raises:
        StoreDamageError: it is no file of its kind.
        StoreError: it cannot be read.
    """
    if is_sealed(file):
        return _check_sealed(kind, file)
    with disk_errors(file), opened_at_rest(store, kind, file) as connection:
        found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if found != "ok":
            return FileCheck(found)
        columns = columns_of(connection, kind)
        if strange := _strange_outcomes(connection, columns) if kind == "verdicts" else []:
            return FileCheck(f"holds outcomes that do not exist, {strange[0]!r:.40} among them")
        mark = {"draws": "checksum", "verdicts": "judged"}[kind]
        absent = f"SELECT COUNT(*) FROM {kind}" + (f" WHERE {mark} IS NULL" if mark in columns else "")  # noqa: S608 - fixed texts
        num_unchecked = connection.execute(absent).fetchone()[0] if columns else 0
        rows = draws_in(connection) if kind == "draws" and columns else iter(())
        return FileCheck(None, sum(draw is None for draw in rows), num_unchecked)


def _check_sealed(kind: str, file: Path) -> FileCheck:
    """Returns what is wrong with a sealed file, by the hashes of its columns."""
    from probes.store.formats.sealed import SealedFile

    with closing(SealedFile(file, kind)) as sealed:
        try:
            sealed.check()
        except StoreDamageError as error:
            what = str(error).removesuffix(f"){SEE_DOCTOR}").removeprefix(f"{file}: damaged (")
            return FileCheck(what)
        known = {None, *(outcome.value for outcome in Outcome)}
        names = ("outcome", "other") if kind == "verdicts" else ()
        if strange := [value for name in names for value in sealed.values(name) if value not in known]:
            return FileCheck(f"holds outcomes that do not exist, {strange[0]!r:.40} among them")
        return FileCheck(None, 0, sealed.num_without("checksum" if kind == "draws" else "judged"))


def _strange_outcomes(connection: sqlite3.Connection, columns: Sequence[str]) -> list[object]:
    """Returns the outcomes of an open file of verdicts that are none."""
    known = {None, *(outcome.value for outcome in Outcome)}
    names = [name for name in ("outcome", "other") if name in columns]
    rows = (row for name in names for row in connection.execute(f"SELECT DISTINCT {name} FROM verdicts"))  # noqa: S608 - fixed texts
    return [value for (value,) in rows if value not in known]


@contextmanager
def opened_at_rest(store: ProbeStore, kind: str, file: Path) -> Iterator[sqlite3.Connection]:
    """Yields a file that nobody writes: where its writer works, a copy as of one moment, to hold nobody up."""
    is_written = store.files.is_written(file)
    with reading(file, kind, is_written, RecoveredCopies()) as source:
        if not is_written:
            yield source
            return
        with tempfile.TemporaryDirectory(prefix="probes-") as folder:
            with closing(sqlite3.connect(Path(folder) / file.name)) as copy:
                source.backup(copy, pages=COPIED_PAGES)
            with reading(Path(folder) / file.name, kind, False, RecoveredCopies()) as connection:
                yield connection


def draws_in(connection: sqlite3.Connection) -> Iterator[Draw | None]:
    """Yields each draw of an open file that is as it was stored, and None for each that is not."""
    checksum = "checksum" if "checksum" in columns_of(connection, "draws") else "NULL"
    query = f"SELECT problem_id, draw_index, completion, num_tokens, truncated, engine, {checksum} FROM draws"  # noqa: S608 - fixed texts
    for key, index, text, num_tokens, truncated, engine, stored in connection.execute(query):
        is_typed = [*map(type, (key, index, text, num_tokens, truncated, engine))] == [str, int, str, int, int, str]
        draw = Draw(key, index, text, num_tokens, bool(truncated), engine)
        yield draw if is_typed and stored in (None, draw.checksum) else None
