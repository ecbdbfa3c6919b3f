"""SQLite files that a stranger may have made, or a writer that was killed may have left.

Owns: opening a file for reading without changing anything, seeing that it is what it should be, and the refusal of what
SQLite would do on the word of the file: roll a journal back, delete what a journal names, run a view or a trigger.
Does not own: tables and versions (`probes.store.versions`), rows (`probes.store.writer_files`).

Readers open with `mode=ro`, which leaves a hot journal alone: the one of a writer that was killed in the middle of a
commit. Where no writer works, they read a private copy in which SQLite has rolled it back. In the store only a writer
does so, under its lock.
"""

import shutil
import sqlite3
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from probes.store.files import SEE_DOCTOR
from probes.store.versions import COLUMNS, columns_of, version_of
from rlvr.errors import StoreDamageError, StoreError

BUSY_S = 60.0
RECOVERY_S = 5.0
MAX_VALUE_BYTES = 4_000_000  # of one text; the longest completion that is stored has fewer
_JOURNAL = bytes.fromhex("d9d505f920a163d7")
_HEADER = b"SQLite format 3\0"
_SETTINGS = ("PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON")


def journal_of(file: Path) -> Path:
    """Returns where SQLite keeps what a transaction on a file replaces."""
    return file.with_name(f"{file.name}-journal")


def has_hot_journal(file: Path) -> bool:
    """Returns whether a transaction was cut, or is in progress: the file alone may be half changed."""
    return _head(journal_of(file), len(_JOURNAL)) == _JOURNAL and _size(file) > 0


def require_harmless(file: Path) -> None:
    """Raises `StoreError` where opening the file would have SQLite touch other files.

    A journal can name another journal, of a transaction over several files, which SQLite deletes when it rolls back
    (sqlite.org/fileformat.html, section 3). A file with a write-ahead log needs files beside it. This program's files
    have neither.
    """
    for each in (file, journal_of(file)):
        if each.exists() and not each.is_file():
            raise StoreError(f"{each}: is no regular file; it is not opened.")
    head = _head(file, 20)
    if head and head[: len(_HEADER)] != _HEADER:
        raise StoreDamageError(f"{file}: damaged (not an SQLite file){SEE_DOCTOR}")
    if 2 in head[18:20]:
        raise StoreError(f"{file}: has a write-ahead log, which this program does not make; it is not opened.")
    for beside in ("-wal", "-shm"):
        if file.with_name(file.name + beside).exists():
            raise StoreError(f"{file}{beside}: this program makes no such file; {file.name} is not opened.")
    if _tail(journal_of(file), len(_JOURNAL)) == _JOURNAL:
        raise StoreError(
            f"{journal_of(file)}: names a file that SQLite would delete; this program makes no such journal. "
            "Do not trust this folder."
        )


@contextmanager
def reading(file: Path, kind: str, is_written: bool, copies: "RecoveredCopies") -> Iterator[sqlite3.Connection]:
    """Yields a file of a kind, opened so that nothing on disk changes and nothing in it runs.

    Args:
        file: SQLite file.
        kind: the one table that it may hold.
        is_written: whether its writer works now: its journal is its own, and the reader waits for it.
        copies: where the file of a killed writer is read from.

    Raises:
        StoreError: it is not such a file.
    """
    require_harmless(file)
    source = copies.of(file) if not is_written and has_hot_journal(file) else None
    address = f"{(source or file).absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        connection.text_factory = decode
        for setting in _SETTINGS:
            connection.execute(setting)
        _wait_for_recovery(connection)
        require_schema(connection, file, kind)
        yield connection


def _wait_for_recovery(connection: sqlite3.Connection) -> None:
    """Waits while a writer that has just begun undoes the commit that the one before it was killed in."""
    until = time.monotonic() + RECOVERY_S
    while True:
        try:
            connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_READONLY or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def require_schema(connection: sqlite3.Connection, file: Path, kind: str) -> None:
    """Raises `StoreError` where a file holds anything but the table of its kind: a view, a trigger, another table."""
    found = connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    for type_, name, sql in found:
        is_table = type_ == "table" and name == kind and str(sql)[:13].upper() == "CREATE TABLE "
        if not is_table:
            raise StoreDamageError(
                f"{file}: holds {type_} {name!r:.80}; expected the table {kind} alone. It is not read{SEE_DOCTOR}"
            )
    version_of(connection, file)
    if strange := set(columns_of(connection, kind)) - COLUMNS[kind].keys():
        raise StoreDamageError(
            f"{file}: has the columns {sorted(strange)!r:.200}, which this version does not know{SEE_DOCTOR}"
        )


def undo_cut_commit(file: Path) -> bool:
    """Has SQLite roll back a commit that was cut; returns whether there was one. Only a writer may, under its lock.

    Raises:
        StoreError: the journal names other files.
    """
    if not has_hot_journal(file):
        return False
    require_harmless(file)
    with closing(sqlite3.connect(file, timeout=BUSY_S)) as connection:
        connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
    return True


class RecoveredCopies:
    """Private copies of files whose writer was killed in a commit, rolled back to the last commit before it."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._copies: dict[tuple[object, ...], Path] = {}

    def of(self, file: Path) -> Path | None:
        """Returns the copy of a file as it is now, made if absent; None where a writer has undone it meanwhile."""
        try:
            before = _state(file)
            copy = self._copy(file, before)
            return copy if _state(file) == before else None
        except FileNotFoundError:
            return None

    def _copy(self, file: Path, state: tuple[object, ...]) -> Path:
        key = (file, *state)
        if key not in self._copies:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="probes-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            copy = self._folder / f"{len(self._copies)}.sqlite"
            shutil.copyfile(journal_of(file), journal_of(copy))
            shutil.copyfile(file, copy)
            undo_cut_commit(copy)
            self._copies[key] = copy
        return self._copies[key]


def _state(file: Path) -> tuple[object, ...]:
    """Returns what changes when a file or its journal does."""
    return tuple((each.stat().st_size, each.stat().st_mtime_ns) for each in (file, journal_of(file)))


def encode(text: str) -> str | bytes:
    """Returns text as SQLite takes it; what UTF-8 does not have, lone surrogates, as bytes for `CAST(? AS TEXT)`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def decode(data: bytes) -> str:
    """Returns text as it was encoded."""
    return data.decode("utf-8", "surrogatepass")


def _head(file: Path, num_bytes: int) -> bytes:
    """Returns the first bytes of a regular file."""
    if not file.is_file():  # a pipe would be waited for
        return b""
    try:
        with file.open("rb") as opened:
            return opened.read(num_bytes)
    except FileNotFoundError:
        return b""


def _tail(file: Path, num_bytes: int) -> bytes:
    """Returns the last bytes of a file; none of one that is shorter, or that its writer has just removed."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, opened.seek(0, 2) - num_bytes))
            return opened.read()
    except FileNotFoundError:
        return b""


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
