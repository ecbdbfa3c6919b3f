"""Sealing: what a journal holds, written once as Parquet, by problem.

Owns: the columns of a sealed file, its row groups, and the moment at which it takes a journal's place.
Does not own: Parquet with checksums (`rlvr.parquet`), reading it (`probes.store.formats.sealed`), when a journal is
sealed (`probes.store.writer_files`).

A row group holds whole problems where they fit, so a reader of one problem reads little. The footer says how many rows
each has in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from probes.store.draws import checksum_of_draw
from probes.store.files import SEE_DOCTOR
from probes.store.formats.names import stem_of
from probes.store.formats.sqlite import RecoveredCopies, reading
from probes.store.versions import COLUMNS, KEYS, NEEDS, columns_of
from rlvr.errors import StoreDamageError
from rlvr.parquet import ODD_TEXT, numbers_of, odd_texts, texts, write_hashed

FORMAT = "probes.sealed/1"
GROUP_ROWS, GROUP_BYTES = 1 << 16, 1 << 25
REPEATED = ("verifier_id", "problem_id", "engine", "outcome", "other")
_TYPES = {"draw_index": pa.int32(), "truncated": pa.bool_()}


@cache
def schema_of(kind: str) -> pa.Schema:
    """Returns the columns of a sealed file: those of the journal, and `odd_text`.

    `odd_text` is null but where a text of the row has lone surrogates, which no UTF-8 text can hold: a JSON object of
    the exact texts by column. The column itself has a replacement character in their place.
    """
    types = {
        name: _TYPES.get(name) or (pa.int64() if "INTEGER" in type_ else pa.string())
        for name, type_ in COLUMNS[kind].items()
    }
    fields = [pa.field(name, type_, "NOT NULL" not in COLUMNS[kind][name]) for name, type_ in types.items()]
    return pa.schema([*fields, pa.field(ODD_TEXT, pa.string())])


def seal(journal: Path, kind: str) -> Path:
    """Writes what a journal holds to a sealed file, which takes its place; returns it. The journal may then be removed.

    Only its writer may call this, under its lock.

    Raises:
        StoreDamageError: a row is not as it was stored.
        OSError: the disk is full.
    """
    groups = ((table, {"keys": _keys(table, kind)}) for table in _groups(journal, kind))
    about = {"format": FORMAT, "needs": NEEDS, "kind": kind}
    return write_hashed(journal.parent, stem_of(journal), schema_of(kind), groups, about, REPEATED)


def _keys(table: pa.Table, kind: str) -> list[list[Any]]:
    """Returns [verifier_id where there is one, problem_id, number of rows] for each run of rows, in their order."""
    names = KEYS[kind][:-1]
    columns = [table[name].combine_chunks().dictionary_encode() for name in names]
    codes = np.stack([numbers_of(each.indices) for each in columns])
    starts = np.flatnonzero(np.r_[True, (codes[:, 1:] != codes[:, :-1]).any(axis=0)])
    lengths = np.diff(np.r_[starts, len(table)])
    return [
        [
            *(each.dictionary[int(code)].as_py() for each, code in zip(columns, codes[:, start], strict=True)),
            int(length),
        ]
        for start, length in zip(starts, lengths, strict=True)
    ]


def _groups(journal: Path, kind: str) -> Iterator[pa.Table]:
    """Yields the rows of a journal in the order of their keys, cut where a problem ends, or where it is too large."""
    names, keys = list(COLUMNS[kind]), KEYS[kind]
    with reading(journal, kind, True, RecoveredCopies()) as connection:
        has = set(columns_of(connection, kind))
        listed = ", ".join(name if name in has else f"NULL AS {name}" for name in names)
        connection.text_factory = bytes
        rows: list[tuple[Any, ...]] = []
        num_bytes, num_keys, last = 0, len(keys) - 1, None
        for row in connection.execute(f"SELECT {listed} FROM {kind} ORDER BY {', '.join(keys)}"):  # noqa: S608 - fixed texts
            key = row[:num_keys]
            is_full = len(rows) >= GROUP_ROWS or num_bytes >= GROUP_BYTES
            if rows and ((is_full and key != last) or len(rows) >= 4 * GROUP_ROWS or num_bytes >= 2 * GROUP_BYTES):
                yield _table(rows, kind, journal)
                rows, num_bytes = [], 0
            rows.append(row)
            num_bytes += 64 + sum(len(value) for value in row if isinstance(value, bytes))
            last = key
        if rows:
            yield _table(rows, kind, journal)


def _table(rows: Sequence[tuple[Any, ...]], kind: str, journal: Path) -> pa.Table:
    """Returns rows as a table; those of draws must match their checksums."""
    names, schema = list(COLUMNS[kind]), schema_of(kind)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    if kind == "draws":
        _require_unchanged(columns, journal)
    odd: dict[int, dict[str, str]] = {}
    arrays = []
    for name in names:
        type_ = schema.field(name).type
        if pa.types.is_string(type_):
            arrays.append(texts(name, columns[name], odd))
        else:
            arrays.append(pa.array([None if v is None else int(v) for v in columns[name]], pa.int64()).cast(type_))
    return pa.Table.from_arrays([*arrays, odd_texts(odd, len(rows))], schema=schema)


def _require_unchanged(columns: Mapping[str, Sequence[Any]], journal: Path) -> None:
    """Raises `StoreDamageError` where a draw does not match its checksum; those of version 1 have none."""
    names = ("problem_id", "draw_index", "num_tokens", "truncated", "engine", "completion")
    for checksum, *values in zip(columns["checksum"], *(columns[name] for name in names), strict=True):
        if checksum is not None and checksum != checksum_of_draw(*values):
            raise StoreDamageError(
                f"{journal}: draw {values[1]} does not match its checksum: the file was changed or damaged{SEE_DOCTOR}"
            )
