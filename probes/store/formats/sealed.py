"""A sealed file: Parquet that is read by problem and by column.

Owns: which rows are of which problem, and reading them.
Does not own: checking what is read (`rlvr.parquet`), how it is written (`probes.store.formats.sealing`).
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from probes.store.draws import Draw
from probes.store.files import SEE_DOCTOR, of_the_disk
from probes.store.formats.columns import ALL, UNKNOWN, Chunk, Coded, Numbers, Row
from probes.store.formats.sealing import FORMAT, schema_of
from rlvr.durable import sync
from rlvr.errors import StoreNewerError
from rlvr.parquet import ODD_TEXT, HashedFile, numbers_of

FREE_TEXTS = ("completion", "engine", "answer", "reason")
Key = tuple[str, ...]


class SealedFile:
    """One open sealed file. It keeps the columns of the row group that was read last: read problems in their order.

    Args:
        file: Parquet file with the hash of its footer in its name.
        kind: `draws` or `verdicts`.

    Raises:
        StoreDamageError: it is not as it was written.
        StoreNewerError: a newer program wrote it.
    """

    has_checked_columns = True

    def __init__(self, file: Path, kind: str) -> None:
        self.file, self.kind = file, kind
        try:
            self._hashed = HashedFile(file, SEE_DOCTOR)
        except OSError as error:
            raise of_the_disk(file, error) from error
        about = self._hashed.about
        if about["format"] != FORMAT:
            raise StoreNewerError(f"{file}: has format {about['format']!r:.40}; it needs {about['needs']!r:.40}.")
        if about["kind"] != kind or self._hashed.schema.names != schema_of(kind).names:
            raise self._hashed.damaged(f"it does not hold {kind}")
        self._where: dict[Key, list[tuple[int, int, int]]] = defaultdict(list)  # group, first row, row after the last
        for at, group in enumerate(about["groups"]):
            first = 0
            for *key, num_rows in group["keys"]:
                self._where[tuple(key)].append((at, first, first + num_rows))
                first += num_rows
        self._group, self._columns = -1, dict[str, Any]()
        self._texts = {field.name for field in schema_of(kind) if pa.types.is_string(field.type)}

    def close(self) -> None:
        """Closes the file."""
        self._hashed.close()

    def copy_to(self, target: Path) -> None:
        """Copies the whole file, durably."""
        self._hashed.stream.seek(0)
        with target.open("wb") as copy:
            shutil.copyfileobj(self._hashed.stream, copy, 1 << 24)
        sync(target)

    def problem_ids(self, verifier_id: str | None = None) -> list[str]:
        """Returns the problems that have rows, ascending."""
        return sorted({key[-1] for key in self._where if verifier_id is None or key[0] == verifier_id})

    def verifier_ids(self) -> Iterator[str]:
        """Yields the verifiers that have rows, ascending."""
        yield from sorted({key[0] for key in self._where})

    def rows(
        self, problem_id: str, columns: Sequence[str], verifier_id: str | None = None, num_first: int = ALL
    ) -> Iterator[Row]:
        """Yields (draw_index, *columns) of one problem's first draws, in order."""
        for group, first, end in self._pieces(problem_id, verifier_id):
            index_N = self._column(group, "draw_index")[first:end]
            end = first + int(np.searchsorted(index_N, num_first))
            yield from self._rows(group, range(first, end), columns)

    def rows_at(
        self, problem_id: str, indices: Sequence[int], columns: Sequence[str], verifier_id: str | None = None
    ) -> list[Row]:
        """Returns (draw_index, *columns) of some draws of one problem."""
        wanted = np.array(sorted(indices), dtype=np.int64)
        found: list[Row] = []
        for group, first, end in self._pieces(problem_id, verifier_id):
            is_wanted = np.isin(self._column(group, "draw_index")[first:end], wanted)
            found += self._rows(group, (first + np.flatnonzero(is_wanted)).tolist(), columns)
        return found

    def columns(self, problem_id: str, columns: Sequence[str], verifier_id: str | None = None) -> list[Any]:
        """Returns the draw indices of one problem, ascending, and its columns: numbers, or texts as codes."""
        names = ("draw_index", *columns)
        pieces = [
            [self._piece(group, name, slice(first, end)) for name in names]
            for group, first, end in self._pieces(problem_id, verifier_id)
        ]
        if len(pieces) == 1:
            return pieces[0]
        return [_joined([piece[at] for piece in pieces], self._is_text(name)) for at, name in enumerate(names)]

    def chunks(
        self, problem_ids: Sequence[str], columns: Sequence[str], verifier_id: str | None = None
    ) -> Iterator[Chunk]:
        """Yields [position of the problem among those asked for, draw index, *columns], a row group at a time."""
        pieces: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for at, problem_id in enumerate(problem_ids):
            for group, first, end in self._pieces(problem_id, verifier_id):
                pieces[group].append((first, end, at))
        for group, found in sorted(pieces.items()):
            first_R, end_R, at_R = np.array(sorted(found), dtype=np.int64).T
            is_run = bool((end_R[:-1] == first_R[1:]).all())
            rows = slice(first_R[0], end_R[-1]) if is_run else np.concatenate(list(map(np.arange, first_R, end_R)))
            values = [self._piece(group, name, rows) for name in ("draw_index", *columns)]
            yield [np.repeat(at_R, end_R - first_R), *values]

    def engines(self) -> set[str]:
        """Returns the engines of the draws."""
        return {name for name in self.values("engine") if name}

    def has_other(self, verifier_id: str) -> bool:
        """Returns whether a verdict of this verifier has an outcome in its other mode."""
        own = [pieces for key, pieces in self._where.items() if key[0] == verifier_id]
        return any(
            self._column(group, "other").slice(first, end - first).null_count < end - first
            for group, first, end in sorted(piece for pieces in own for piece in pieces)
        )

    def check(self) -> None:
        """Reads all of the file.

        Raises:
            StoreDamageError: something in it is not as it was written.
        """
        for group in range(self._hashed.num_groups):
            for name in schema_of(self.kind).names:
                self._column(group, name)

    def values(self, name: str) -> set[str | None]:
        """Returns the different texts of a column."""
        return {
            text for group in range(self._hashed.num_groups) for text in self._column(group, name).unique().to_pylist()
        }

    def num_without(self, name: str) -> int:
        """Returns how many rows have none in a column of numbers: they are of an older version."""
        return sum(int((self._column(group, name) == UNKNOWN).sum()) for group in range(self._hashed.num_groups))

    def _pieces(self, problem_id: str, verifier_id: str | None) -> list[tuple[int, int, int]]:
        """Returns where the rows of a problem are: row group, first row, row after the last."""
        return self._where.get((problem_id,) if self.kind == "draws" else (verifier_id or "", problem_id), [])

    def _is_text(self, name: str) -> bool:
        return name in self._texts

    def _piece(self, group: int, name: str, rows: slice | Numbers) -> Numbers | Coded:
        column = self._column(group, name)
        if not self._is_text(name):
            return column[rows]  # type: ignore[no-any-return]
        codes = self._columns.get(f"{name} codes")
        if codes is None:
            encoded = column.dictionary_encode(null_encoding="encode")
            codes = Coded(numbers_of(encoded.indices), tuple(encoded.dictionary.to_pylist()))
            self._columns[f"{name} codes"] = codes
        return Coded(codes.code_N[rows], codes.values)

    def _rows(self, group: int, at: Sequence[int], columns: Sequence[str]) -> Iterator[Row]:
        """Yields (draw_index, *columns) of rows of a group."""
        if not at:
            return
        values = [self._taken(group, name, at) for name in ("draw_index", *columns)]
        if not set(columns).intersection(FREE_TEXTS):
            yield from zip(*values, strict=True)
            return
        for row, odd in zip(zip(*values, strict=True), self._taken(group, ODD_TEXT, at), strict=True):
            if odd is None:
                yield row
            else:
                exact = json.loads(odd)
                yield (row[0], *(exact.get(name, value) for name, value in zip(columns, row[1:], strict=True)))

    def _taken(self, group: int, name: str, at: Sequence[int]) -> list[Any]:
        """Returns the values of a column at some rows; None for null."""
        column = self._column(group, name)
        if self._is_text(name):
            is_run = isinstance(at, range)
            taken = column.slice(at.start, len(at)) if is_run else column.take(pa.array(at, pa.int64()))  # type: ignore[attr-defined]
            return taken.to_pylist()  # type: ignore[no-any-return]
        values = column[at.start : at.stop] if isinstance(at, range) else column[np.asarray(at)]
        return [None if each == UNKNOWN else each for each in values.tolist()]

    def _column(self, group: int, name: str) -> Any:
        """Returns a column of a row group: numbers as an array of NumPy, texts as one of Arrow.

        Raises:
            StoreDamageError: it is not as it was written.
        """
        if group != self._group:
            self._group, self._columns = group, {}
        if name not in self._columns:
            column = self._hashed.column(group, name)
            self._columns[name] = column if self._is_text(name) else numbers_of(column, UNKNOWN)
        return self._columns[name]


def salvage(file: Path) -> Iterator[Draw]:
    """Yields the draws of a damaged sealed file that match their checksums, from row groups that can be read."""
    try:
        parquet = pq.ParquetFile(file)
        num_groups = parquet.num_row_groups
    except (pa.ArrowException, OSError):
        return
    for group in range(num_groups):
        try:
            rows = parquet.read_row_group(group).to_pylist()
            draws = [(_draw_of(row), row["checksum"]) for row in rows]
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
            continue
        yield from (draw for draw, checksum in draws if checksum in (None, draw.checksum))


def _draw_of(row: dict[str, Any]) -> Draw:
    row |= json.loads(row[ODD_TEXT] or "{}")
    names = ("problem_id", "draw_index", "completion", "num_tokens", "truncated", "engine")
    return Draw(*(row[name] for name in names))


def _joined(pieces: Sequence[Any], is_text: bool) -> Numbers | Coded:
    """Returns pieces of a column as one."""
    if not is_text:
        return np.concatenate([np.empty(0, dtype=np.int64), *pieces])
    values: list[str | None] = []
    codes = [np.empty(0, dtype=np.int64)]
    for piece in pieces:
        codes.append(piece.code_N + len(values))
        values += piece.values
    return Coded(np.concatenate(codes), tuple(values))
