"""Files: whole or not at all, and errors of the disk in words.

Owns: atomic writing, JSON values and objects, and the translation of errors of SQLite and of the disk.
Does not own: what the files mean.
"""

import json
import math
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rlvr.errors import StoreError, StoreFullError


def write_atomically(path: Path, text: str) -> None:
    """Writes a file whole or not at all: temporary file, synchronise, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the errors of SQLite and of a full disk into errors that say what to do."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise StoreError(
            f"{path}: a draw was to be stored twice ({error}); is another process writing here?"
        ) from error
    except sqlite3.OperationalError as error:
        if "full" in str(error) or "disk I/O" in str(error):
            raise StoreFullError(_full(path)) from error
        raise StoreError(f"{path}: {error}; check the file and its permissions.") from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: {error}; restore the file, or delete it to make its rows again.") from error
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise StoreFullError(_full(path)) from error
        raise


def _full(path: Path) -> str:
    return f"{path}: the disk is full; earlier draws are safe. Free space and start the same command again."


def read_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object of a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); use another folder or restore the file.") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path}: expected a JSON object; use another folder or restore the file.")
    return value


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
