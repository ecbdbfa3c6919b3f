"""A consistent copy of a store that may be written meanwhile.

Owns: the order in which files are copied.
Does not own: what they hold (`probes.store`).

Each file is copied as of one moment: a journal between two commits, a sealed file as it is. Verdicts are copied
before draws, so that no verdict stands there without its draw; a draw without a verdict is judged again by whoever goes
on.
"""

import shutil
from pathlib import Path

from probes.store.files import disk_errors
from probes.store.store import ProbeStore
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
    with disk_errors(target):
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        try:
            for kind in ("verdicts", "draws"):
                with store.files.opened(kind) as files:
                    for each in files:
                        each.copy_to(making / each.file.name)
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
