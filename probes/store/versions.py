"""Versions of what a store leaves on disk, and the way from one to the next.

Owns: the tables, the number of their version, what each version lacks, and the refusal of a newer one.
Does not own: reading and writing rows (`probes.store.writer_files`).

    1    rlvr 0.1.0    `probes.store/1`; no number in the files. Verdicts at first without `other`.
    2    rlvr 0.2.0    `probes.store/2`; draws have `checksum`, verdicts have `judged`; JSON files have a checksum.

Older stores are read as they are. The first write to one of them adds what it lacks, NULL for its rows; then programs
of the older version refuse it.
"""

import sqlite3
from pathlib import Path
from typing import Any

from rlvr.errors import StoreError, StoreNewerError

VERSION = 2
NEEDS = "rlvr>=0.2.0"  # what reads this version; written into each store, for programs that are older
FORMATS = {"probes.store/1": 1, "probes.store/2": 2}
FORMAT = "probes.store/2"
COLUMNS = {
    "draws": {
        "problem_id": "TEXT NOT NULL",
        "draw_index": "INTEGER NOT NULL",
        "completion": "TEXT NOT NULL",
        "num_tokens": "INTEGER NOT NULL",
        "truncated": "INTEGER NOT NULL",
        "engine": "TEXT NOT NULL",
        "checksum": "INTEGER",
    },
    "verdicts": {
        "verifier_id": "TEXT NOT NULL",
        "problem_id": "TEXT NOT NULL",
        "draw_index": "INTEGER NOT NULL",
        "outcome": "TEXT NOT NULL",
        "answer": "TEXT",
        "reason": "TEXT NOT NULL",
        "other": "TEXT",
        "judged": "INTEGER",
    },
}
KEYS = {"draws": ("problem_id", "draw_index"), "verdicts": ("verifier_id", "problem_id", "draw_index")}


def require_known(description: dict[str, Any], path: Path) -> None:
    """Raises `StoreError` unless the format named in a store's description is known here."""
    name = description.get("format")
    if name in FORMATS:
        return
    if isinstance(name, str) and name.startswith("probes.store/"):
        needed = description.get("needs")
        wanted = f"; it needs {needed}" if isinstance(needed, str) and len(needed) < 100 else "; it needs a newer rlvr"
        raise StoreNewerError(f"{path}: has format {name}, this program knows up to {FORMAT}{wanted}.")
    raise StoreError(f"{path}: format {name!r:.100} is not {FORMAT!r}; use another folder.")


def version_of(connection: sqlite3.Connection, file: Path) -> int:
    """Returns the version of a file's table; those without a number are of version 1.

    Raises:
        StoreNewerError: it is newer than this program.
    """
    number = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if number > VERSION:
        raise StoreNewerError(
            f"{file}: has version {number}, this program knows up to {VERSION}; probe.json beside it says which rlvr "
            "it needs."
        )
    return number or 1


def prepare(connection: sqlite3.Connection, kind: str, file: Path) -> None:
    """Makes the table of a kind, or adds what an older one lacks; within the caller's transaction."""
    old = set(columns_of(connection, kind))
    if not old:
        columns = ", ".join(f"{name} {type_}" for name, type_ in COLUMNS[kind].items())
        connection.execute(f"CREATE TABLE {kind} ({columns}, PRIMARY KEY ({', '.join(KEYS[kind])})) WITHOUT ROWID")
    elif version_of(connection, file) == VERSION:
        return
    for name in [name for name in COLUMNS[kind] if old and name not in old]:
        connection.execute(f"ALTER TABLE {kind} ADD COLUMN {name} {COLUMNS[kind][name]}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def columns_of(connection: sqlite3.Connection, kind: str) -> list[str]:
    """Returns the columns of the table; none where a process was killed before its first commit."""
    return [row[0] for row in connection.execute("SELECT name FROM pragma_table_xinfo(?)", (kind,))]
