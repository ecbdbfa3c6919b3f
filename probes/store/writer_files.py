"""The SQLite files of a store: one for each writer and kind, `draws` and `verdicts`, read as one.

Owns: their tables, durable transactions, and reading the files of all writers.
Does not own: what the rows mean (`probes.store`).

SQLite's rollback journal is used, not its write-ahead log: that one needs shared memory, which network file systems do
not give.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from probes.store.files import disk_errors

READ_ROWS = 100_000
TABLES = {
    "draws": """
CREATE TABLE IF NOT EXISTS draws (
  problem_id TEXT NOT NULL, draw_index INTEGER NOT NULL, completion TEXT NOT NULL, num_tokens INTEGER NOT NULL,
  truncated INTEGER NOT NULL, engine TEXT NOT NULL, PRIMARY KEY (problem_id, draw_index)
) WITHOUT ROWID""",
    "verdicts": """
CREATE TABLE IF NOT EXISTS verdicts (
  verifier_id TEXT NOT NULL, problem_id TEXT NOT NULL, draw_index INTEGER NOT NULL, outcome TEXT NOT NULL,
  answer TEXT, reason TEXT NOT NULL, other TEXT, PRIMARY KEY (verifier_id, problem_id, draw_index)
) WITHOUT ROWID""",
}


class WriterFiles:
    """The files of a folder, with one writer's among them.

    Args:
        folder: of the store.
        writer: number of this writer; its files are the only ones written.
    """

    def __init__(self, folder: Path, writer: int) -> None:
        self.folder = folder
        self.writer = writer

    def num_writers(self, kind: str) -> int:
        """Returns the number of files of a kind."""
        return len(self._of(kind))

    def rows(
        self, kind: str, query: str, values: Sequence[Any] = (), column: str = "problem_id"
    ) -> Iterator[Sequence[Any]]:
        """Yields the rows of a query over the files of all writers that have the column."""
        return chain.from_iterable(self.chunks(kind, query, values, column))

    def chunks(
        self, kind: str, query: str, values: Sequence[Any] = (), column: str = "problem_id"
    ) -> Iterator[list[Sequence[Any]]]:
        """Yields the rows of `rows` in lists of bounded length."""
        for connection in self.connections(kind, column):
            cursor = connection.execute(query, values)
            while chunk := cursor.fetchmany(READ_ROWS):
                yield chunk

    def connections(self, kind: str, column: str = "problem_id") -> Iterator[sqlite3.Connection]:
        """Yields an open file of each writer that has the column, one after another."""
        for file in self._of(kind):
            with disk_errors(file):
                connection = sqlite3.connect(file, timeout=60)
                try:
                    if has_column(connection, kind, column):
                        yield connection
                finally:
                    connection.close()

    @contextmanager
    def writing(self, kind: str) -> Iterator[sqlite3.Connection]:
        """One durable transaction on this writer's file.

        Raises:
            StoreError: a row is there already, or the file cannot be written.
            StoreFullError: the disk is full.
        """
        file = self.folder / f"{kind}-{self.writer:05d}.sqlite"
        with disk_errors(file):
            connection = sqlite3.connect(file, timeout=60, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    connection.execute(TABLES[kind])
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            finally:
                connection.close()

    def _of(self, kind: str) -> list[Path]:
        """Returns the files of a kind, in the order of the writers."""
        return sorted(self.folder.glob(f"{kind}-*.sqlite"))


def has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    """Returns False for the empty file of a process killed before its first commit, and for an older file's column."""
    query = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"
    return connection.execute(query, (table, column)).fetchone() is not None
