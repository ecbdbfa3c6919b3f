"""Outcomes of all draws at once: a matrix, filled from the columns of every file, a block of problems at a time.

Owns: where a draw stands in the matrix, and which of several verdicts on it counts.
Does not own: the files (`probes.store.formats`), the draws of one problem (`probes.store.drawn`), the meaning of
outcomes (`probes.statistics.outcomes`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from probes.statistics.outcomes import CODES, ERROR, NOT_DRAWN, NOT_JUDGED, CodeArray
from probes.store.drawn import MAX_DRAWS, Drawn
from probes.store.files import SEE_DOCTOR
from probes.store.formats.columns import UNKNOWN, Coded, KindFile, Numbers
from rlvr.errors import StoreDamageError, StoreError
from rlvr.verifiers.verdicts import Outcome

MAX_CELLS = 2**31  # of a matrix of outcomes, one byte each
BLOCK = 128  # problems; bounds what is held besides the outcomes: 9 bytes a cell
_CODES: dict[str | None, int] = {None: NOT_JUDGED, **{outcome.value: code for outcome, code in CODES.items()}}


@dataclass(frozen=True, eq=False)
class Cells:
    """The draws of a block of B problems; draw `index` of the problem in row `row` is cell `row * width + index`.

    Shapes:
        checksum_C: (B * width,) int64; `UNKNOWN` for draws of an older version, and where nothing was drawn.
        is_drawn_C: (B * width,) bool
    """

    problem_ids: Sequence[str]
    width: int
    checksum_C: Numbers
    is_drawn_C: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, files: Sequence[KindFile], problem_ids: Sequence[str], path: Path) -> "Cells":
        """Returns the draws of a block over all writers.

        Raises:
            StoreError: two writers made the same draw, an index is out of bounds, or the files are damaged.
        """
        chunks = [chunk for file in files for chunk in file.chunks(problem_ids, ("checksum",))]
        row_N, index_N, checksum_N = (
            (np.concatenate(each) for each in zip(*chunks, strict=True)) if chunks else np.empty((3, 0), dtype=np.int64)
        )
        is_bounded = not len(index_N) or (index_N.min() >= 0 and index_N.max() < MAX_DRAWS)
        width = int(index_N.max()) + 1 if is_bounded and len(index_N) else 0
        is_drawn_C = np.zeros(len(problem_ids) * width, dtype=bool)
        checksum_C = np.full(len(is_drawn_C), UNKNOWN, dtype=np.int64)
        if is_bounded:
            cell_N = row_N * width + index_N
            is_drawn_C[cell_N] = True
            checksum_C[cell_N] = checksum_N
        if not is_bounded or np.count_nonzero(is_drawn_C) < len(index_N):
            for key in problem_ids:
                Drawn.of(files, key, path)  # says which
        return cls(problem_ids, width, checksum_C, is_drawn_C)

    def outcomes(self, files: Sequence[KindFile], verifier_id: str, column: str, path: Path) -> CodeArray:
        """Returns what a column of the verdicts, `outcome` or `other`, says of each cell, (B, width) int8.

        Of several verdicts the first counts, in the order of the files, but one that is not `error` before one that is.
        """
        outcome_C = np.where(self.is_drawn_C, np.int8(NOT_JUDGED), np.int8(NOT_DRAWN))
        found_C = outcome_C if column == "outcome" else outcome_C.copy()
        asked = tuple(dict.fromkeys(("judged", "outcome", column)))
        for chunk in (chunk for file in files for chunk in file.chunks(self.problem_ids, asked, verifier_id)):
            row_V, index_V, judged_V, *said = chunk
            codes = [codes_of(each, path) for each in said]
            is_of_them_V = self._is_judged(row_V, index_V, judged_V)
            cell_V = (row_V * self.width + index_V)[is_of_them_V]
            outcome_V, found_V = codes[0][is_of_them_V], codes[-1][is_of_them_V]
            held_V = outcome_C[cell_V]
            is_first_V = (held_V == NOT_JUDGED) | ((held_V == ERROR) & (outcome_V != ERROR))
            outcome_C[cell_V[is_first_V]] = outcome_V[is_first_V]
            if found_C is not outcome_C:
                found_C[cell_V[is_first_V]] = found_V[is_first_V]
        return found_C.reshape(len(self.problem_ids), self.width)

    def _is_judged(self, row_V: Numbers, index_V: Numbers, judged_V: Numbers) -> npt.NDArray[np.bool_]:
        """Returns which verdicts are of these draws, as `Drawn.is_judged` does; what others say is stale."""
        if not self.width:
            return np.zeros(len(index_V), dtype=bool)
        is_inside_V = (index_V >= 0) & (index_V < self.width)
        cell_V = np.where(is_inside_V, row_V * self.width + index_V, 0)
        checksum_V = self.checksum_C[cell_V]
        is_same_V = (checksum_V == judged_V) | (checksum_V == UNKNOWN)
        is_of_them_V: npt.NDArray[np.bool_] = is_inside_V & self.is_drawn_C[cell_V] & is_same_V
        return is_of_them_V


def blocks(files: Sequence[KindFile], problem_ids: Sequence[str], path: Path) -> Iterator[Cells]:
    """Yields the draws of all problems, in the order of the files.

    Raises:
        StoreError: two writers made the same draw, an index is out of bounds, or there are too many cells.
    """
    ordered = sorted(problem_ids)
    for first in range(0, len(ordered), BLOCK):
        cells = Cells.of(files, ordered[first : first + BLOCK], path)
        if len(problem_ids) * cells.width > MAX_CELLS:
            raise StoreError(
                f"{path}: holds draw {cells.width - 1} of one of {len(problem_ids)} problems: more than {MAX_CELLS} "
                "draws."
            )
        yield cells


def outcome_matrix(
    draw_files: Sequence[KindFile],
    verdict_files: Sequence[KindFile],
    problem_ids: Sequence[str],
    verifier_id: str,
    column: str,
    path: Path,
) -> CodeArray:
    """Returns what a column of a verifier's verdicts says of every draw, (P, D) int8.

    Raises:
        StoreError: see `blocks`; or a verdict says what is no outcome.
    """
    found = [
        (cells.problem_ids, cells.outcomes(verdict_files, verifier_id, column, path))
        for cells in blocks(draw_files, problem_ids, path)
    ]
    row = {problem_id: at for at, problem_id in enumerate(problem_ids)}
    width = max((code_BD.shape[1] for _, code_BD in found), default=0)
    code_PD = np.full((len(problem_ids), width), NOT_DRAWN, dtype=np.int8)
    for block, code_BD in found:
        code_PD[[row[problem_id] for problem_id in block], : code_BD.shape[1]] = code_BD
    return code_PD


def codes_of(outcomes: Coded, path: Path) -> Numbers:
    """Returns the codes of outcomes as they stand in a file; there is none of a second mode that is not there."""
    try:
        return outcomes.map(_CODES)
    except KeyError as error:
        raise StoreDamageError(
            f"{path}: a verdict says {error.args[0]!r:.40}; expected one of {', '.join(Outcome)}{SEE_DOCTOR}"
        ) from None
