"""Parquet files of which every byte that is read is checked.

Owns: writing such a file whole or not at all, and reading its columns.
Does not own: what the rows are (`probes.store.formats`, `rlvr.rollouts.kept`).

The footer has a hash of each column of each row group, and the file's name the hash of the footer: STEM.HASH.parquet.
Pages have the checksums of the format too, for other programs.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from rlvr.durable import sync
from rlvr.errors import StoreDamageError

METADATA = b"rlvr"  # of the footer: a JSON object
ODD_TEXT = "odd_text"
ZSTD_LEVEL = 3
MAX_GROUP_BYTES = 1 << 28  # in memory
NULL = -(2**63)  # among numbers, in a hash
Number = TypeVar("Number", np.int64, np.float64)


def write_hashed(
    folder: Path,
    stem: str,
    schema: pa.Schema,
    groups: Iterable[tuple[pa.Table, Mapping[str, Any]]],
    about: Mapping[str, Any],
    repeated: Sequence[str] = (),
) -> Path:
    """Writes a file durably, whole or not at all, and returns it.

    Args:
        folder: where it stands.
        stem: the part of its name before the first dot.
        schema: of the rows.
        groups: row groups, each with what the footer says of it.
        about: what the footer says of the file; `groups` is added.
        repeated: columns of texts that few values suffice for.

    Raises:
        OSError: the disk is full, or the folder may not be written to.
    """
    making = folder / f".{stem}.making"
    listed = []
    try:
        with pq.ParquetWriter(
            making,
            schema,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=[name for name in repeated if name in schema.names],
            write_page_checksum=True,
            store_schema=False,
        ) as writer:
            for table, said in groups:
                writer.write_table(table, row_group_size=max(1, len(table)))
                listed.append({**said, "hashes": {name: hash_of(table[name]) for name in table.schema.names}})
            writer.add_key_value_metadata({METADATA: json.dumps({**about, "groups": listed}).encode()})
        final = folder / f"{stem}.{xxhash.xxh3_64_hexdigest(_footer_of(making))}.parquet"
        sync(making)
        making.rename(final)
        sync(folder)
    finally:
        making.unlink(missing_ok=True)
    return final


class HashedFile:
    """One open file, read by row group and column.

    Args:
        file: as `write_hashed` has made it.
        advice: ends each message.

    Attributes:
        about: what the footer says of the file.
        schema: of the rows.

    Raises:
        StoreDamageError: it is not as it was written.
        OSError: it cannot be read.
    """

    def __init__(self, file: Path, advice: str = "") -> None:
        self.file, self.advice = file, advice
        if xxhash.xxh3_64_hexdigest(_footer_of(file)) != file.name.split(".")[1]:
            raise self.damaged("its footer does not match the hash in its name")
        self.stream = file.open("rb")
        try:
            self._parquet = pq.ParquetFile(self.stream, page_checksum_verification=True)
            self.schema: pa.Schema = self._parquet.schema_arrow
            self.about: dict[str, Any] = json.loads(self._parquet.metadata.metadata[METADATA])
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise self.damaged(f"{error!r:.100}") from error

    def close(self) -> None:
        """Closes the file."""
        self.stream.close()

    @property
    def num_groups(self) -> int:
        """Row groups."""
        return len(self.about["groups"])

    def column(self, group: int, name: str) -> pa.Array:
        """Returns a column of a row group.

        Raises:
            StoreDamageError: it is not as it was written.
        """
        if self._parquet.metadata.row_group(group).total_byte_size > MAX_GROUP_BYTES:
            raise self.damaged(f"row group {group} is larger than any that is written")
        try:
            column = self._parquet.read_row_group(group, columns=[name])[name].combine_chunks()
            found = hash_of(column)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise self.damaged(f"column {name} of row group {group}: {error!r:.100}") from error
        if found != self.about["groups"][group]["hashes"][name]:
            raise self.damaged(f"column {name} of row group {group} does not match its hash")
        return column

    def damaged(self, what: str) -> StoreDamageError:
        """Returns the error that says so."""
        return StoreDamageError(f"{self.file}: damaged ({what}){self.advice}")


def _footer_of(path: Path) -> bytes:
    """Returns the bytes of a Parquet file's footer, with its length and magic; all of a file that is shorter."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        length = int.from_bytes(file.read(8)[:4], "little")
        file.seek(max(0, size - 8 - length))
        return file.read()


def hash_of(column: pa.ChunkedArray | pa.Array) -> str:
    """Returns the XXH3 hash of a column, 16 hex digits: of numbers as 8 bytes each, of texts as lengths and bytes."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    digest = xxhash.xxh3_64()
    if pa.types.is_string(array.type):
        digest.update(numbers_of(pc.binary_length(array), -1).data)
        _, offsets, data = array.buffers()
        if data is not None and len(array):
            at = np.frombuffer(offsets, dtype=np.int32)[array.offset : array.offset + len(array) + 1]
            digest.update(memoryview(data)[at[0] : at[-1]])
    elif pa.types.is_floating(array.type):
        digest.update(_values(pc.fill_null(array.cast(pa.float64()), float("nan")), np.float64).data)
    else:
        digest.update(numbers_of(array).data)
    return digest.hexdigest()


def numbers_of(array: pa.Array, null: int = NULL) -> npt.NDArray[np.int64]:
    """Returns a column of integers or truth values, (N,), with `null` for those that are null."""
    filled = pc.fill_null(array.cast(pa.int64()), null) if array.null_count else array.cast(pa.int64())
    return _values(filled, np.int64)


def _values(array: pa.Array, kind: type[Number]) -> npt.NDArray[Number]:
    """Returns numbers without nulls as they stand in memory, read-only; Arrow's own `to_numpy` would import pandas."""
    if not len(array):
        return np.empty(0, dtype=kind)
    size = np.dtype(kind).itemsize
    return np.frombuffer(array.buffers()[1], dtype=kind, count=len(array), offset=array.offset * size)


def texts(name: str, values: Sequence[str | bytes | None], odd: dict[int, dict[str, str]]) -> pa.Array:
    """Returns a column of texts; lone surrogates, which UTF-8 cannot hold, are replaced, and the exact text is noted.

    Args:
        name: of the column.
        values: texts, or bytes as UTF-8 with three bytes for a lone surrogate.
        odd: exact texts by row and column, for `odd_texts`.
    """
    try:
        return pa.array(values, pa.binary()).cast(pa.string())
    except (pa.ArrowInvalid, UnicodeEncodeError):
        found = [each.decode("utf-8", "surrogatepass") if isinstance(each, bytes) else each for each in values]
    for at, text in enumerate(found):
        if text is not None and not _is_utf8(text):
            odd.setdefault(at, {})[name] = text
    return pa.array([None if text is None else text.encode("utf-8", "replace").decode() for text in found], pa.string())


def odd_texts(odd: Mapping[int, Mapping[str, str]], num_rows: int) -> pa.Array:
    """Returns the column `odd_text`: a JSON object of exact texts by column, or null."""
    return pa.array([json.dumps(odd[at]) if at in odd else None for at in range(num_rows)], pa.string())


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
