"""Locks of files that the operating system frees when their holder ends, however it ends.

Owns: taking one, asking whether one is held, waiting for one.
Does not own: what a lock stands for (`probes.store.claims`, `rlvr.training.run_folder`).
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PATIENCE_S = 2.0  # who asks whether a lock is held holds it for an instant


@contextmanager
def held(file: Path) -> Iterator[IO[str] | None]:
    """Yields the locked file, open for writing, or None where another process holds it; frees it at the end."""
    with file.open("a+", encoding="utf-8") as lock:
        yield lock if take(lock) else None


def take(lock: IO[str]) -> bool:
    """Locks an open file until it is closed; returns whether it could."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        else:
            return True


def is_held(file: Path) -> bool:
    """Returns whether a process holds a lock; one that is not there is free."""
    try:
        with file.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
