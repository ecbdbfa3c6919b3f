"""What a file of a store gives, whatever its format.

Owns: the protocol of such a file, and the types of its columns.
Does not own: the formats (`probes.store.formats.journal`, `probes.store.formats.sealed`).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Row = tuple[Any, ...]
Numbers = npt.NDArray[np.int64]
Chunk = list[Any]  # columns of one length

UNKNOWN = -(2**63)  # stands in a column of numbers where a row of an older version has none
ALL = 2**63 - 1  # beyond every draw index


class Coded(NamedTuple):
    """A column of texts that repeat: `values[code]` for each row.

    Shapes:
        code_N: (N,) int64
    """

    code_N: Numbers
    values: tuple[str | None, ...]

    def map(self, codes: Mapping[str | None, int]) -> Numbers:
        """Returns each row's text as a number of the caller's.

        Raises:
            KeyError: a text that is used has none.
        """
        if not len(self.code_N):
            return self.code_N
        table = np.array([codes.get(value, UNKNOWN) for value in self.values], dtype=np.int64)
        found_N: Numbers = table[self.code_N]
        if (strange_N := found_N == UNKNOWN).any():
            raise KeyError(self.values[self.code_N[strange_N.argmax()]])
        return found_N


class KindFile(Protocol):
    """One open file of draws or of verdicts.

    Attributes:
        file: that is open, for messages.
        kind: `draws` or `verdicts`.
        has_checked_columns: columns are checked when they are read; else a row is, by its checksum, where all is read.
    """

    file: Path
    kind: str
    has_checked_columns: bool

    def problem_ids(self, verifier_id: str | None = None) -> list[str]:
        """Returns the problems that have rows, ascending."""

    def verifier_ids(self) -> Iterator[str]:
        """Yields the verifiers that have rows, ascending."""

    def rows(
        self, problem_id: str, columns: Sequence[str], verifier_id: str | None = None, num_first: int = ALL
    ) -> Iterator[Row]:
        """Yields (draw_index, *columns) of one problem's first draws, in order; None for what an older file lacks."""

    def rows_at(
        self, problem_id: str, indices: Sequence[int], columns: Sequence[str], verifier_id: str | None = None
    ) -> list[Row]:
        """Returns (draw_index, *columns) of some draws of one problem."""

    def columns(self, problem_id: str, columns: Sequence[str], verifier_id: str | None = None) -> list[Any]:
        """Returns the draw indices of one problem, ascending, and its columns: numbers, or texts as codes.

        Raises:
            StoreDamageError: the file is damaged.
        """

    def chunks(
        self, problem_ids: Sequence[str], columns: Sequence[str], verifier_id: str | None = None
    ) -> Iterator[Chunk]:
        """Yields [position of the problem among those asked for, draw index, *columns], as `columns` does.

        Args:
            problem_ids: ascending.
            columns: numbers, or texts as codes.
            verifier_id: whose verdicts.
        """

    def copy_to(self, target: Path) -> None:
        """Copies the file as of one moment, durably."""

    def engines(self) -> set[str]:
        """Returns the engines of the draws."""

    def has_other(self, verifier_id: str) -> bool:
        """Returns whether a verdict of this verifier has an outcome in its other mode."""
