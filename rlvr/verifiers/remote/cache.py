"""Judgements by content, on disk, so that what a judge has said is not asked for again.

Owns: one SQLite file in a folder.
Does not own: what a judgement means, and verdicts of this process (`rlvr.verifiers.base.Memory`).

Several processes may use one folder. A disk that fails later costs calls and no verdicts: it is logged once.
"""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from rlvr.errors import RecipeError

logger = logging.getLogger(__name__)

FILE = "judgements.sqlite"
BUSY_S = 60.0
PER_QUERY = 500  # keys; SQLite bounds the variables of a statement


class Judgements:
    """Judgements, each a JSON text, by the hash of what was asked.

    Args:
        folder: made where it does not exist.

    Raises:
        RecipeError: it cannot be written, or the file in it is something else.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._is_broken = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._open() as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS judgements (key TEXT PRIMARY KEY, judgement TEXT)")
        except (OSError, sqlite3.Error) as error:
            raise RecipeError(
                f"verifier: cache {str(folder)!r} cannot be used ({error}); name another folder."
            ) from None

    def recall(self, keys: Sequence[str]) -> dict[str, str]:
        """Returns the judgements that are there."""
        found: dict[str, str] = {}
        with self._failing_softly(), self._open() as connection:
            for start in range(0, len(keys), PER_QUERY):
                some = keys[start : start + PER_QUERY]
                marks = ", ".join("?" * len(some))
                found |= connection.execute(
                    f"SELECT key, judgement FROM judgements WHERE key IN ({marks})",  # noqa: S608 - question marks only
                    some,
                ).fetchall()
        return found

    def keep(self, key: str, judgement: str) -> None:
        """Stores a judgement at once: it has cost a call."""
        with self._failing_softly(), self._open() as connection:
            connection.execute("INSERT OR REPLACE INTO judgements VALUES (?, ?)", (key, judgement))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Opens the file; statements are committed one by one."""
        with closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as connection:
            yield connection

    @contextmanager
    def _failing_softly(self) -> Iterator[None]:
        """Logs the first failure of the disk."""
        try:
            yield
        except sqlite3.Error as error:
            if not self._is_broken:
                logger.warning("%s: %s; judgements are asked for anew and not kept.", self.path, error)
            self._is_broken = True
