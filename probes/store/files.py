"""Files of measurement: JSON with a checksum, and errors of the disk in words.

Owns: JSON values and objects with a checksum, and the translation of errors of SQLite and of the disk.
Does not own: writing whole and durably (`rlvr.durable`), what the files mean.
"""

import errno
import json
import math
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rlvr.durable import write_atomically
from rlvr.errors import StoreDamageError, StoreError, StoreFullError
from rlvr.problems.types import content_hash

CHECKSUM = "checksum"
SEE_DOCTOR = "; `probes doctor` says what can be done."


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the errors of SQLite and of the disk into errors that say what to do."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise StoreError(
            f"{path}: a draw was to be stored twice ({error}); is another process writing here?"
        ) from error
    except sqlite3.OperationalError as error:
        raise _of_sqlite(path, error) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise StoreDamageError(f"{path}: damaged ({error}){SEE_DOCTOR}") from error
    except OSError as error:
        raise of_the_disk(path, error) from error


def _of_sqlite(path: Path, error: sqlite3.OperationalError) -> StoreError:
    """Returns what an error of SQLite means; why input or output failed it does not say: the disk is asked."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if "decode" in str(error):  # by Python, which gives it no code
        return StoreDamageError(f"{path}: damaged (text that is not UTF-8){SEE_DOCTOR}")
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path)):
        return StoreFullError(_full(path))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"{path}: another program has held it for too long ({error}); end that one, then start this one again."
        )
    return StoreError(f"{path}: {error}; check the file and its permissions.")


def of_the_disk(path: Path, error: OSError) -> StoreError:
    """Returns an error of the operating system in words: what failed, on which file, and why."""
    where = path if error.filename is None else error.filename
    if error.errno == errno.ENOSPC:
        return StoreFullError(_full(path))
    return StoreError(f"{str(where)[:500]}: {error.strerror or error}; check the path and its permissions.")


def _is_full(path: Path) -> bool:
    """Returns whether the disk has less than one block of a write left."""
    found = os.statvfs(path if path.exists() else path.parent)
    return found.f_bavail * found.f_frsize < 64 * 1024


def _full(path: Path) -> str:
    return f"{path}: the disk is full; earlier draws are safe. Free space and start the same command again."


def read_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object of a file."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("no regular file")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); use another folder or restore the file.") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path}: expected a JSON object; use another folder or restore the file.")
    return value


def write_checked(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON object with a checksum of itself under `checksum`."""
    write_atomically(path, json.dumps({**value, CHECKSUM: checksum_of(value)}, indent=1))


def read_checked(path: Path) -> dict[str, Any]:
    """Returns the JSON object of a file, without its checksum; one that has none is of an older version.

    Raises:
        StoreError: it cannot be read, or was changed.
    """
    value = read_json(path)
    said = value.pop(CHECKSUM, None)
    if said is not None and said != checksum_of(value):
        raise StoreDamageError(
            f"{path}: does not match the checksum in it: it was changed or damaged; restore the file."
        )
    return value


def checksum_of(value: Mapping[str, Any]) -> str:
    """Returns 16 hex digits of the SHA-256 of a JSON object in canonical form."""
    return content_hash(json.loads(json.dumps(value)))[:16]


def plain(value: Any) -> Any:
    """Returns JSON values: NumPy scalars become numbers, and what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
