"""What was drawn, and which verdicts are of it.

Owns: the draws of a problem over the files of all writers, each once, with their checksums; and that a verdict counts
for the draw that was judged only.
Does not own: the files (`probes.store.formats`), the meaning of outcomes (`probes.statistics.outcomes`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from probes.store.formats.columns import UNKNOWN, KindFile, Numbers
from rlvr.errors import StoreError

MAX_DRAWS = 2**20  # per problem; bounds the memory that a stray index can ask for
_NONE = np.empty(0, dtype=np.int64)


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
        parts = [file.columns(problem_id, ("checksum",)) for file in files]
        parts = [part for part in parts if len(part[0])] or parts[:1] or [[_NONE, _NONE]]
        index_N, checksum_N = (
            parts[0] if len(parts) == 1 else (np.concatenate(each) for each in zip(*parts, strict=True))
        )
        if (index_N[1:] <= index_N[:-1]).any():  # of several files
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

    @property
    def width(self) -> int:
        """One more than the last index; 0 where nothing was drawn."""
        return int(self.index_N[-1]) + 1 if len(self.index_N) else 0

    def is_judged(self, index_V: Numbers, judged_V: Numbers) -> npt.NDArray[np.bool_]:
        """Returns which verdicts, by index and checksum, are of these draws; what others say is stale.

        A verdict without a checksum is of a draw without one: both are of an older version.
        """
        if not len(self.index_N):
            return np.zeros(len(index_V), dtype=bool)
        at_V = np.minimum(np.searchsorted(self.index_N, index_V), len(self.index_N) - 1)
        checksum_V = self.checksum_N[at_V]
        is_same_V = (checksum_V == judged_V) | (checksum_V == UNKNOWN)
        is_of_them_V: npt.NDArray[np.bool_] = is_same_V & (self.index_N[at_V] == index_V)
        return is_of_them_V
