"""What was drawn, and which verdicts are of it.

Owns: the draws of a problem over the files of all writers, each once, with their checksums; and that a verdict counts
for the draw that was judged only.
Does not own: the files (`probes.store.writer_files`), the meaning of outcomes (`probes.statistics.outcomes`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from probes.store.files import SEE_DOCTOR
from probes.store.writer_files import KindFile, Row
from rlvr.errors import StoreDamageError, StoreError

MAX_DRAWS = 2**20  # per problem; bounds the memory that a stray index can ask for
UNKNOWN = -(2**63)  # the checksum of a row of version 1


@dataclass(frozen=True, eq=False)
class Drawn:
    """The draws of one problem.

    Shapes:
        index_N: (N,) int64, ascending.
        checksum_N: (N,) int64; `UNKNOWN` for draws of an older version.
    """

    index_N: npt.NDArray[np.int64]
    checksum_N: npt.NDArray[np.int64]

    @classmethod
    def of(cls, files: Iterable[KindFile], problem_id: str, path: Path) -> "Drawn":
        """Returns the draws of a problem over all writers.

        Raises:
            StoreError: two writers made the same draw, or an index is out of bounds.
        """
        rows = [row for file in files for row in file.rows(problem_id, ("checksum",))]
        index_N, checksum_N = _numbers(rows, path)
        if (index_N[1:] <= index_N[:-1]).any():  # of several writers
            order = np.argsort(index_N, kind="stable")
            index_N, checksum_N = index_N[order], checksum_N[order]
        found = cls(index_N, checksum_N)
        if len(index_N) and not (found.index_N[0] >= 0 and found.index_N[-1] < MAX_DRAWS):
            stray = found.index_N[0] if found.index_N[0] < 0 else found.index_N[-1]
            raise StoreError(f"{path}: holds draw {stray}; expected indices below {MAX_DRAWS}.")
        repeated = found.index_N[1:][found.index_N[1:] == found.index_N[:-1]]
        if repeated.size:
            raise StoreError(
                f"{path}: two writers made draw {repeated[0]} of problem {problem_id!r:.40}, and {repeated.size - 1} "
                "more of it; `probes doctor --repair` sets those of one writer aside."
            )
        return found

    def is_judged(self, rows: Sequence[Row], path: Path) -> npt.NDArray[np.bool_]:
        """Returns which verdict rows (draw_index, judged, ...) are of these draws; what others say is stale.

        A verdict without a checksum is of a draw without one: both are of an older version.
        """
        index_V, judged_V = _numbers(rows, path)
        if not len(self.index_N):
            return np.zeros(len(rows), dtype=bool)
        at_V = np.minimum(np.searchsorted(self.index_N, index_V), len(self.index_N) - 1)
        checksum_V = self.checksum_N[at_V]
        is_same_V = (checksum_V == judged_V) | (checksum_V == UNKNOWN)
        is_of_them_V: npt.NDArray[np.bool_] = is_same_V & (self.index_N[at_V] == index_V)
        return is_of_them_V


def _numbers(rows: Sequence[Row], path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns draw indices and checksums of rows that start with them.

    Raises:
        StoreDamageError: one is no number.
    """
    if not rows:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    indices, checksums, *_ = zip(*rows, strict=True)
    if None in checksums:
        checksums = tuple(UNKNOWN if each is None else each for each in checksums)
    if not {*map(type, indices), *map(type, checksums)} <= {int}:
        raise StoreDamageError(f"{path}: damaged (text where a number belongs){SEE_DOCTOR}")
    return np.array(indices, dtype=np.int64), np.array(checksums, dtype=np.int64)
