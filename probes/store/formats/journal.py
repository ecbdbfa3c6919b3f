"""A writer's journal: the SQLite file into which it commits.

Owns: durable transactions, and reading such a file in short ones.
Does not own: opening what a stranger may have made (`probes.store.formats.sqlite`), tables (`probes.store.versions`).

SQLite's rollback journal is used, not its write-ahead log: that one needs shared memory, which network file systems do
not give. With it a reader holds a writer up: so each query here ends before its rows are used.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from probes.store.files import SEE_DOCTOR, disk_errors
from probes.store.formats.columns import ALL, UNKNOWN, Chunk, Coded, Numbers, Row
from probes.store.formats.sqlite import BUSY_S, decode, require_harmless, require_schema
from probes.store.versions import COLUMNS, columns_of, prepare
from rlvr.errors import StoreDamageError

COPIED_PAGES = 1_000  # at once; a writer gets its turn between
PAGE_ROWS, PAGE_TEXTS = 20_000, 64  # rows of one query; those with texts may have 4 MB each
FREE_TEXT = ("completion", "engine", "answer", "reason")  # may hold what UTF-8 does not


@contextmanager
def committing(file: Path, kind: str) -> Iterator[sqlite3.Connection]:
    """One durable transaction on a journal, which is made where there is none.

    Raises:
        StoreError: a row is there already, or the file cannot be written.
        StoreFullError: the disk is full.
    """
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


class JournalFile:
    """One open SQLite file of a kind. Each query ends before its rows are given out: no reader holds a writer up.

    Args:
        file: that is open, for messages.
        connection: to it.
        kind: name of its table.
    """

    has_checked_columns = False

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
            f"SELECT {self._named(columns)} FROM {self.kind} WHERE {verifier}problem_id = ? AND "  # noqa: S608 - fixed texts
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
            f"SELECT {self._named(columns)} FROM {self.kind} WHERE {verifier}problem_id = ? AND "  # noqa: S608 - fixed texts
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

    def columns(self, problem_id: str, columns: Sequence[str], verifier_id: str | None = None) -> list[Any]:
        """Returns the draw indices of one problem, ascending, and its columns: numbers, or texts as codes.

        Raises:
            StoreDamageError: a value has another type than its column.
        """
        rows = list(self.rows(problem_id, columns, verifier_id))
        values = zip(*rows, strict=True) if rows else [()] * (1 + len(columns))
        names = ("draw_index", *columns)
        return [
            self._numbers(each) if "INTEGER" in COLUMNS[self.kind][name] else self._coded(each)
            for name, each in zip(names, values, strict=True)
        ]

    def chunks(
        self, problem_ids: Sequence[str], columns: Sequence[str], verifier_id: str | None = None
    ) -> Iterator[Chunk]:
        """Yields [position of the problem among those asked for, draw index, *columns], a problem at a time."""
        for at, problem_id in enumerate(problem_ids):
            index_N, *values = self.columns(problem_id, columns, verifier_id)
            if len(index_N):
                yield [np.full(len(index_N), at), index_N, *values]

    def _numbers(self, values: Sequence[object]) -> Numbers:
        if None in values:
            values = [UNKNOWN if each is None else each for each in values]
        if not set(map(type, values)) <= {int}:
            raise StoreDamageError(f"{self.file}: damaged (text where a number belongs){SEE_DOCTOR}")
        return np.array(values, dtype=np.int64)

    def _coded(self, values: Sequence[object]) -> Coded:
        known = {value: code for code, value in enumerate(dict.fromkeys(values))}
        if strange := next((value for value in known if not isinstance(value, str | None)), None):
            raise StoreDamageError(f"{self.file}: damaged ({strange!r:.40} where a text belongs){SEE_DOCTOR}")
        return Coded(np.array([known[value] for value in values], dtype=np.int64), tuple(known))  # type: ignore[arg-type]

    def copy_to(self, target: Path) -> None:
        """Copies the file as of one moment between two commits, durably."""
        with disk_errors(target), closing(sqlite3.connect(target)) as copy:
            copy.execute("PRAGMA synchronous = FULL")
            self.connection.backup(copy, pages=COPIED_PAGES)

    def engines(self) -> set[str]:
        """Returns the engines of the draws."""
        query = "SELECT DISTINCT engine FROM draws WHERE problem_id = ?"
        return {row[0] for key in self.problem_ids() for row in self.query(query, (key,))}

    def has_other(self, verifier_id: str) -> bool:
        """Returns whether a verdict of this verifier has an outcome in its other mode."""
        query = "SELECT 1 FROM verdicts WHERE verifier_id = ? AND problem_id = ? AND other IS NOT NULL LIMIT 1"
        keys = self.problem_ids(verifier_id) if "other" in self._columns else []
        return any(self.query(query, (verifier_id, key)) for key in keys)

    def _named(self, columns: Sequence[str]) -> str:
        return ", ".join(["draw_index", *(name if name in self._columns else f"NULL AS {name}" for name in columns)])


def _of(verifier_id: str | None) -> tuple[str, tuple[str, ...]]:
    return ("", ()) if verifier_id is None else ("verifier_id = ? AND ", (verifier_id,))
