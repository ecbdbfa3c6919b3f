"""The SQLite files of a store: one for each writer and kind, `draws` and `verdicts`, read as one.

Owns: durable transactions, reading the files of all writers in short transactions, and whether a writer works.
Does not own: opening what a stranger may have made (`probes.store.sqlite`), tables (`probes.store.versions`), what the
rows mean (`probes.store.store`).

SQLite's rollback journal is used, not its write-ahead log: that one needs shared memory, which network file systems do
not give. With it a reader holds a writer up: so each query here ends before its rows are used.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from probes.store.files import SEE_DOCTOR, disk_errors
from probes.store.sqlite import (
    BUSY_S,
    RecoveredCopies,
    decode,
    reading,
    require_harmless,
    require_schema,
    undo_cut_commit,
)
from probes.store.versions import COLUMNS, columns_of, prepare
from rlvr.errors import StoreDamageError
from rlvr.locks import is_held

ALL = 2**63 - 1  # beyond every draw index
PAGE_ROWS, PAGE_TEXTS = 20_000, 64  # rows of one query; those with texts may have 4 MB each
FREE_TEXT = ("completion", "engine", "answer", "reason")  # may hold what UTF-8 does not
Row = tuple[Any, ...]


class WriterFiles:
    """The files of a folder, with one writer's among them.

    Args:
        folder: of the store.
        writer: number of this writer; its files are the only ones written.
    """

    def __init__(self, folder: Path, writer: int) -> None:
        self.folder = folder
        self.writer = writer
        self._copies = RecoveredCopies()

    @contextmanager
    def opened(self, kind: str) -> Iterator[list["KindFile"]]:
        """Yields the files of all writers, open for reading.

        Raises:
            StoreError: one cannot be read, or is not what it should be.
        """
        with ExitStack() as stack:
            files = []
            for file in self.of(kind):
                with disk_errors(file):
                    is_written = self.is_written(file)
                    connection = stack.enter_context(reading(file, kind, is_written, self._copies))
                    files.append(KindFile(file, connection, kind))
            yield files

    def undo_cut_commits(self) -> None:
        """Undoes what this writer was killed in, under its lock: nobody can read its files before."""
        for kind in COLUMNS:
            file = self._own(kind)
            with disk_errors(file):
                undo_cut_commit(file)

    def _own(self, kind: str) -> Path:
        return self.folder / f"{kind}-{self.writer:05d}.sqlite"

    @contextmanager
    def writing(self, kind: str) -> Iterator[sqlite3.Connection]:
        """One durable transaction on this writer's file.

        Raises:
            StoreError: a row is there already, or the file cannot be written.
            StoreFullError: the disk is full.
        """
        file = self._own(kind)
        with disk_errors(file):
            require_harmless(file)
            with closing(sqlite3.connect(file, timeout=BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    require_schema(connection, file, kind)
                    prepare(connection, kind, file)
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise

    def of(self, kind: str) -> list[Path]:
        """Returns the files of a kind, in the order of the writers."""
        return sorted(self.folder.glob(f"{kind}-*.sqlite"))

    def is_written(self, file: Path) -> bool:
        """Returns whether the writer of a file works now, in this process or another."""
        return is_held(lock_of(self.folder, file.stem.rpartition("-")[2]))


class KindFile:
    """One open file of a kind. Each query ends before its rows are given out, so that no reader holds a writer up.

    Args:
        file: that is open, for messages.
        connection: to it.
        kind: name of its table.
    """

    def __init__(self, file: Path, connection: sqlite3.Connection, kind: str) -> None:
        self.file, self.connection, self.kind = file, connection, kind
        self._columns = set(columns_of(connection, kind))
        self._num_rows: Counter[tuple[str | None, str]] = Counter()

    def problem_ids(self, verifier_id: str | None = None) -> list[str]:
        """Returns the problems that have rows, ascending, and notes how many each has."""
        verifier, values = _of(verifier_id)
        where = f"WHERE {verifier}1" if verifier else ""
        query = f"SELECT problem_id, COUNT(*) FROM {self.kind} {where} GROUP BY problem_id"  # noqa: S608 - fixed texts
        for key, number in self.query(query, values):
            self._num_rows[verifier_id, key] += number
        return [key for name, key in self._num_rows if name == verifier_id]

    def verifier_ids(self) -> Iterator[str]:
        """Yields the verifiers that have rows, ascending; reads no row between."""
        query, last = "SELECT MIN(verifier_id) FROM verdicts WHERE verifier_id > ?", ""
        while (found := self.query(query, (last,))) and found[0][0] is not None:
            last = found[0][0]
            yield last

    def rows(
        self, problem_id: str, columns: Sequence[str], verifier_id: str | None = None, num_first: int = ALL
    ) -> Iterator[Row]:
        """Yields (draw_index, *columns) of one problem's first draws, in order; None for what an older file lacks.

        Raises:
            StoreDamageError: fewer rows were found than `problem_ids` has counted: a damaged key hides those behind it.
        """
        verifier, values = _of(verifier_id)
        query = (
            f"SELECT draw_index, {self._named(columns)} FROM {self.kind} WHERE {verifier}problem_id = ? AND "  # noqa: S608 - fixed texts
            "draw_index > ? AND draw_index < ? ORDER BY draw_index LIMIT ?"
        )
        size = PAGE_TEXTS if "completion" in columns else PAGE_ROWS
        last, num_rows, is_full = -ALL, 0, True
        while is_full:
            page = self.query(query, (*values, problem_id, last, num_first, size))
            num_rows += len(page)
            yield from page
            is_full = len(page) == size
            last = page[-1][0] if page else last
        if num_first == ALL and num_rows < self._num_rows[verifier_id, problem_id]:
            raise StoreDamageError(f"{self.file}: damaged (rows out of order){SEE_DOCTOR}")

    def rows_at(
        self, problem_id: str, indices: Sequence[int], columns: Sequence[str], verifier_id: str | None = None
    ) -> list[Row]:
        """Returns (draw_index, *columns) of some draws of one problem."""
        verifier, values = _of(verifier_id)
        query = (
            f"SELECT draw_index, {self._named(columns)} FROM {self.kind} WHERE {verifier}problem_id = ? AND "  # noqa: S608 - fixed texts
            "draw_index IN (SELECT value FROM json_each(?))"
        )
        return self.query(query, (*values, problem_id, json.dumps(list(indices))))

    def query(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """Returns the rows of a query that reads little; none where the file is empty.

        Raises:
            StoreError: the file is damaged.
        """
        is_free_text = any(name in query for name in FREE_TEXT)
        self.connection.text_factory = decode if is_free_text else str  # the latter is several times faster
        with disk_errors(self.file):
            return self.connection.execute(query, tuple(values)).fetchall() if self._columns else []

    def has(self, column: str) -> bool:
        """Returns whether the file has a column."""
        return column in self._columns

    def _named(self, columns: Sequence[str]) -> str:
        return ", ".join(name if name in self._columns else f"NULL AS {name}" for name in columns)


def _of(verifier_id: str | None) -> tuple[str, tuple[str, ...]]:
    return ("", ()) if verifier_id is None else ("verifier_id = ? AND ", (verifier_id,))


def lock_of(folder: Path, writer: str) -> Path:
    """Returns the lock of a writer, by its number as it stands in the names of files."""
    return folder / f"writer-{writer}.lock"
