"""The files of a store: for each writer and kind, `draws` and `verdicts`, a journal and what was sealed before it.

Owns: the files of all writers read as one, one durable transaction of one writer, when a journal is sealed, and whether
a writer works.
Does not own: the formats (`probes.store.formats`), what the rows mean (`probes.store.store`).

A writer commits to a journal. One that has grown large is written to Parquet under the same stem, and removed; so is
what is left when the writer ends, if it is not small. The next commit makes the next journal. A reader that has opened
a journal keeps it, removed or not. Names are listed again after all files are opened: a reader has the files of one
moment.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from probes.store.files import disk_errors
from probes.store.formats.columns import KindFile
from probes.store.formats.journal import JournalFile, committing
from probes.store.formats.names import KINDS, files_of, is_sealed, journal_of_writer, superseded, writer_of
from probes.store.formats.sqlite import RecoveredCopies, reading, undo_cut_commit
from rlvr.durable import sync
from rlvr.errors import StoreError
from rlvr.locks import is_held

SEAL_BYTES = 1 << 28  # of a journal, while its writer works
SETTLE_BYTES = 1 << 23  # of a journal, when its writer ends
ATTEMPTS = 20  # to find the files as of one moment, while their writers seal


class WriterFiles:
    """The files of a folder, with one writer's among them.

    Args:
        folder: of the store.
        writer: number of this writer; its files are the only ones written.
    """

    def __init__(self, folder: Path, writer: int) -> None:
        self.folder = folder
        self.writer = writer
        self._copies = RecoveredCopies()

    @contextmanager
    def opened(self, kind: str) -> Iterator[list[KindFile]]:
        """Yields the files of all writers, open for reading, as of one moment.

        Raises:
            StoreError: one cannot be read, or is not what it should be.
        """
        with ExitStack() as stack:
            yield self._open_all(kind, stack)

    def _open_all(self, kind: str, stack: ExitStack) -> list[KindFile]:
        """Opens the files of a kind; again, where one was sealed or removed meanwhile."""
        for attempt in range(ATTEMPTS):
            listed = self.of(kind)
            with ExitStack() as opening:
                try:
                    files = [self._open(kind, file, opening) for file in listed]
                except StoreError:
                    if self.of(kind) == listed or attempt == ATTEMPTS - 1:
                        raise
                    continue
                if self.of(kind) == listed:
                    stack.push(opening.pop_all())
                    return files
        raise StoreError(f"{self.folder}: its files change faster than they can be opened; try again.")

    def _open(self, kind: str, file: Path, stack: ExitStack) -> KindFile:
        if is_sealed(file):
            from probes.store.formats.sealed import SealedFile

            sealed = SealedFile(file, kind)
            stack.callback(sealed.close)
            return sealed
        with disk_errors(file):
            connection = stack.enter_context(reading(file, kind, self.is_written(file), self._copies))
            return JournalFile(file, connection, kind)

    def tidy(self) -> None:
        """Ends what this writer was killed in, under its lock: a commit, or the removal of a journal that is sealed."""
        for kind in KINDS:
            for journal in superseded(self.folder, kind, self.writer):
                _remove(journal)
            journal = journal_of_writer(self.folder, kind, self.writer)
            with disk_errors(journal):
                undo_cut_commit(journal)

    @contextmanager
    def writing(self, kind: str) -> Iterator[sqlite3.Connection]:
        """One durable transaction on this writer's journal, which is sealed where it has grown large.

        Raises:
            StoreError: a row is there already, or the file cannot be written.
            StoreFullError: the disk is full.
        """
        journal = journal_of_writer(self.folder, kind, self.writer)
        with committing(journal, kind) as connection:
            yield connection
        self._seal(kind, SEAL_BYTES)

    def settle(self) -> None:
        """Seals this writer's journals when it ends, but for small ones; see `_seal`."""
        for kind in KINDS:
            self._seal(kind, SETTLE_BYTES)

    def _seal(self, kind: str, num_bytes: int) -> None:
        """Writes this writer's journal to a sealed file and removes it, if it has so many bytes.

        Raises:
            StoreDamageError: a row of it is not as it was stored.
            StoreFullError: the disk is full; the journal stays.
        """
        journal = journal_of_writer(self.folder, kind, self.writer)
        if journal.exists() and journal.stat().st_size >= num_bytes:
            from probes.store.formats.sealing import seal

            with disk_errors(journal):
                seal(journal, kind)
                _remove(journal)

    def of(self, kind: str) -> list[Path]:
        """Returns the files of a kind, in the order of the writers."""
        return files_of(self.folder, kind)

    def is_written(self, file: Path) -> bool:
        """Returns whether the writer of a file works now, in this process or another."""
        return is_held(lock_of(self.folder, writer_of(file)))


def _remove(journal: Path) -> None:
    """Removes a journal whose rows stand in a sealed file."""
    with disk_errors(journal):
        journal.unlink(missing_ok=True)
        sync(journal.parent)


def lock_of(folder: Path, writer: int) -> Path:
    """Returns the lock of a writer."""
    return folder / f"writer-{writer:05d}.lock"
