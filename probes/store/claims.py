"""Claims: who may make which draws of a store.

Owns: the lock of a writer, and the refusal of a second one for the same problems.
Does not own: the writer's files (`probes.store.writer_files`).

A writer holds `writer-NNNNN.lock`, which lists the problems that it draws for. The operating system frees a lock when
its process ends, however it ends; what a dead writer had claimed is free.
"""

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from probes.store.files import disk_errors
from probes.store.writer_files import lock_of
from rlvr.errors import StoreError
from rlvr.locks import held, is_held


@contextmanager
def writing(folder: Path, writer: int, problem_ids: Iterable[str]) -> Iterator[None]:
    """Holds the right to write as one writer, and to make draws for some problems.

    Raises:
        StoreError: another process writes as this writer, or makes draws for one of the problems.
    """
    claimed, file = set(problem_ids), lock_of(folder, writer)
    with disk_errors(file), held(file) as lock:
        if lock is None:
            raise StoreError(f"{folder}: another process is writing here; wait until it ends, or use another folder.")
        with (folder / "claims.lock").open("a") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            _require_free(folder, file, claimed)
            lock.truncate(0)
            lock.write(json.dumps(sorted(claimed)))
            lock.flush()
        yield


def _require_free(folder: Path, own: Path, claimed: set[str]) -> None:
    """Raises `StoreError` where another writer that works now has claimed one of these problems."""
    for other in sorted(folder.glob("writer-*.lock")):
        if other == own or not is_held(other):
            continue
        try:
            theirs = set(json.loads(other.read_text(encoding="utf-8") or "[]"))
        except ValueError:
            theirs = claimed  # an older program, which does not say what it draws for
        if common := claimed & theirs:
            raise StoreError(
                f"{folder}: another process ({other.stem}) makes draws for {len(common)} of the same problems; "
                "start all processes with the same number of processes, or wait until it ends."
            )
