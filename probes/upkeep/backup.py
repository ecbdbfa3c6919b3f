"""A consistent copy of a store that may be written meanwhile.

Owns: the order in which files are copied.
Does not own: what they hold (`probes.store`).

Each SQLite file is copied as of one moment between two commits. Verdicts are copied before draws, so that no verdict
stands there without its draw; a draw without a verdict is judged again by whoever goes on.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from probes.store.files import disk_errors
from probes.store.sqlite import RecoveredCopies, reading
from probes.store.store import ProbeStore
from probes.upkeep.checks import PAGES
from rlvr.durable import sync
from rlvr.errors import StoreError


def back_up(path: Path, target: Path) -> int:
    """Copies a store to a folder that does not exist yet, and returns the number of draws in the copy.

    Raises:
        StoreError: the folder exists, or a file cannot be read or written.
    """
    store = ProbeStore.open_existing(path)
    if target.exists():
        raise StoreError(f"{target}: exists already; name a folder that does not.")
    making = target.with_name(f".{target.name}.making")
    copies = RecoveredCopies()
    with disk_errors(target):
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        try:
            for kind in ("verdicts", "draws"):
                for file in store.files.of(kind):
                    with reading(file, kind, store.files.is_written(file), copies) as source:
                        _copy(source, making / file.name)
            for file in sorted(path.iterdir()):
                if file.suffix in (".json", ".jsonl") and not file.name.startswith("."):
                    shutil.copyfile(file, making / file.name)
            sync(making)
            making.rename(target)
            sync(target.parent)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
    return sum(1 for _ in ProbeStore.open_existing(target).sizes())


def _copy(source: sqlite3.Connection, target: Path) -> None:
    """Copies an open file as of one moment, durably."""
    with closing(sqlite3.connect(target)) as copy:
        copy.execute("PRAGMA synchronous = FULL")
        source.backup(copy, pages=PAGES)
