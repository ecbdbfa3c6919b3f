"""Zip members, those compressed with Zstandard included.

Owns: reading one member of a zip archive whole, checked against its length and checksum.
Does not own: what is in it.

The zip module of Python reads Zstandard (method 93) from 3.14 on. Before, the bytes of such a member are found through
its local header (PKWARE's application note, 4.3.7) and decompressed by pyarrow, which `datasets` brings.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from probes.importers.files import require_ratio, require_size
from rlvr.errors import ProblemError

ZIP_MAGIC = b"PK\x03\x04"
ZSTANDARD = 93

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive.

    Raises:
        ProblemError: it is damaged, or a member is.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError) as error:
        raise ProblemError(
            f"{path}: damaged zip archive ({error}); copy the log again, or recover it with `inspect log recover`."
        ) from None


def read_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Returns the bytes of one member.

    Raises:
        ProblemError: it is too large, damaged, or compressed in a way that cannot be read.
    """
    where = f"{path}:{info.filename}"
    require_size(info.file_size, where)
    require_ratio(info.file_size, info.compress_size, where)
    if info.compress_type == ZSTANDARD:
        return _read_zstandard(path, info, where)
    try:
        return archive.read(info)
    except (NotImplementedError, RuntimeError) as error:
        raise ProblemError(f"{where}: {error}; convert the log with `inspect log convert --to json`.") from None


def _read_zstandard(path: Path, info: zipfile.ZipInfo, where: str) -> bytes:
    import pyarrow as pa

    with path.open("rb") as file:
        file.seek(info.header_offset)
        _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        file.seek(name_bytes + extra_bytes, 1)
        packed = file.read(info.compress_size)
    try:
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            data: bytes = stream.read(info.file_size + 1)
    except (OSError, pa.ArrowException) as error:
        raise ProblemError(f"{where}: damaged ({error}); copy the log again.") from None
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise ProblemError(f"{where}: length or checksum do not fit; copy the log again.")
    return data
