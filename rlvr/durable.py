"""Files that survive a kill and a power cut: whole or not at all, and on the disk before anybody relies on them.

Owns: atomic writing, and making what others have written durable.
Does not own: what the files mean.
"""

import os
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Writes a file whole or not at all, durably: temporary file, synchronise, rename, synchronise the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Has a file, or the names in a folder, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
