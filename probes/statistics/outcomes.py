"""Outcomes: what became of each draw of an arm, and what a plan makes of that.

Owns: the matrix of outcomes by problem and draw index, and replaying a plan over it: which draws are owed, and the
counts at the point where each problem stops.
Does not own: storage (`probes.store`), the estimates (`probes.statistics.estimators`).

Draws count in the order of their indices. So the counts of a plan follow from the draws alone: not from the order in
which they were made, nor from draws beyond the point where the plan stops.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from probes.statistics.estimators import Counts
from probes.statistics.plan import Plan
from rlvr.errors import StoreError
from rlvr.verifiers.verdicts import Outcome

CodeArray = npt.NDArray[np.int8]

NOT_DRAWN, NOT_JUDGED = -1, -2
CODES = {outcome: code for code, outcome in enumerate(Outcome)}
CORRECT, WRONG, ERROR = CODES[Outcome.CORRECT], CODES[Outcome.WRONG], CODES[Outcome.ERROR]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The outcome of every draw of one arm under one verifier.

    Shapes:
        code_PD: (P, D) int8, a position in `Outcome`, or `NOT_DRAWN`, or `NOT_JUDGED`.

    Attributes:
        problem_ids: in the order of the rows.
        cluster_P: family of each problem, None for a problem of its own.
    """

    problem_ids: tuple[str, ...]
    cluster_P: tuple[str | None, ...]
    code_PD: CodeArray

    @property
    def num_draws(self) -> int:
        """Draws over all problems, judged or not."""
        return int((self.code_PD != NOT_DRAWN).sum())

    @property
    def num_unjudged(self) -> int:
        """Draws without a verdict."""
        return int((self.code_PD == NOT_JUDGED).sum())

    @property
    def num_errors(self) -> int:
        """Draws that the verifier failed to judge."""
        return int((self.code_PD == ERROR).sum())

    def tally(self) -> dict[str, int]:
        """Returns the number of judged draws by outcome."""
        return {outcome.value: int((self.code_PD == code).sum()) for outcome, code in CODES.items()}

    def of(self, problem_ids: set[str]) -> "Outcomes":
        """Returns the rows of some problems."""
        rows = [row for row, problem_id in enumerate(self.problem_ids) if problem_id in problem_ids]
        names = tuple(self.problem_ids[row] for row in rows)
        return Outcomes(names, tuple(self.cluster_P[row] for row in rows), self.code_PD[rows])

    def num_first(self, plan: Plan | None) -> int:
        """Returns how many first draws every problem has, whatever came out: a plan's first look."""
        if plan is not None:
            return plan.first_look
        return int((self.code_PD != NOT_DRAWN).sum(axis=1).min())

    def first(self, num_draws: int) -> "Outcomes":
        """Returns the first draws of each problem; up to a plan's first look, no problem has fewer than another."""
        return replace(self, code_PD=self.code_PD[:, :num_draws])

    def owed(self, plan: Plan) -> dict[str, tuple[int, ...]]:
        """Returns the draw indices that each problem owes up to its next look, ascending; no entry where it stops.

        A draw that the verifier failed to judge counts as no success here: the problem draws on.

        Raises:
            StoreError: a draw is not judged, so that it is not known which problems stop.
        """
        stop_P = self._stop_looks(plan)
        return dict(self._missing(plan, stop_P))

    def counts(self, plan: Plan | None = None) -> Counts:
        """Returns n and c of every problem at the point where the plan stops it.

        Args:
            plan: under which the draws were made; None counts all draws of each problem, for draws whose number does
                not depend on their outcomes.

        Raises:
            StoreError: draws are not judged or owed, or a problem has no draw.
        """
        counts = self._counts(plan)
        if not counts.errors_P.any():
            return counts
        all_wrong, all_correct = (self._errors_as(code)._counts(plan) for code in (WRONG, CORRECT))
        return replace(counts, extremes=(all_wrong, all_correct))

    def _counts(self, plan: Plan | None) -> Counts:
        used_P = self._used(plan)
        is_used_PD = np.arange(self.code_PD.shape[1]) < used_P[:, None]
        errors_P = ((self.code_PD == ERROR) & is_used_PD).sum(axis=1)
        drawn_P = ((self.code_PD >= 0) & is_used_PD).sum(axis=1)
        c_P = ((self.code_PD == CORRECT) & is_used_PD).sum(axis=1)
        plans = () if plan is None or plan.is_fixed else tuple(self._judged_plan(plan, row) for row in range(len(c_P)))
        return Counts(self.problem_ids, drawn_P - errors_P, c_P, errors_P, self.cluster_P, plans)

    def _used(self, plan: Plan | None) -> npt.NDArray[np.int64]:
        """Returns how many of each problem's first draws count, (P,)."""
        self._require_judged()
        if plan is None:
            if empty := [key for key, row in zip(self.problem_ids, self.code_PD, strict=True) if (row < 0).all()]:
                raise StoreError(f"{len(empty)} problems have no draw, {empty[0]} among them; draw them first.")
            return np.full(len(self.problem_ids), self.code_PD.shape[1])
        stop_P = self._stop_looks(plan)
        owed = dict(self._missing(plan, stop_P))
        if owed:
            raise StoreError(
                f"{len(owed)} of {len(self.problem_ids)} problems owe draws under the plan (at least "
                f"{sum(map(len, owed.values()))} draws); make them first: the same command again goes on."
            )
        return np.array([plan.looks[look] for look in stop_P], dtype=np.int64)

    def _stop_looks(self, plan: Plan) -> npt.NDArray[np.int64]:
        """Returns the position of the look at which each problem stops, or of the first that it has not reached."""
        self._require_judged()
        look_P = np.full(len(self.problem_ids), -1, dtype=np.int64)
        for position, num_draws in enumerate(plan.looks):
            c_P = (self.code_PD[:, :num_draws] == CORRECT).sum(axis=1)
            is_short_P = (self.code_PD[:, :num_draws] >= 0).sum(axis=1) < num_draws
            ends_P = np.array([plan.stops(num_draws, c) for c in c_P.tolist()], dtype=bool) | is_short_P
            look_P[(look_P < 0) & ends_P] = position
        return look_P

    def _missing(self, plan: Plan, look_P: npt.NDArray[np.int64]) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yields the missing draws of each problem that has some up to its look."""
        for row, look in enumerate(look_P):
            codes_D = self.code_PD[row, : plan.looks[look]]
            missing = [*np.flatnonzero(codes_D == NOT_DRAWN).tolist(), *range(len(codes_D), plan.looks[look])]
            if missing:
                yield self.problem_ids[row], tuple(missing)

    def _judged_plan(self, plan: Plan, row: int) -> Plan:
        """Returns the plan with its looks counted in judged draws, where some could not be judged.

        Leaving failures of the verifier out is right where they do not depend on the answer; the extremes bound it.
        """
        is_error_D = self.code_PD[row] == ERROR
        if not is_error_D.any():
            return plan
        judged = {num_draws: num_draws - int(is_error_D[:num_draws].sum()) for num_draws in plan.looks}
        looks = tuple(sorted({num_draws for num_draws in judged.values() if num_draws > 0}))
        return replace(plan, looks=looks, give_up_at=plan.give_up_at and judged[plan.give_up_at])

    def judged_as(self, code: int) -> "Outcomes":
        """Returns these outcomes with every draw that is not judged counted as of one outcome."""
        return replace(self, code_PD=np.where(self.code_PD == NOT_JUDGED, np.int8(code), self.code_PD))

    def _errors_as(self, code: int) -> "Outcomes":
        return replace(self, code_PD=np.where(self.code_PD == ERROR, np.int8(code), self.code_PD))

    def _require_judged(self) -> None:
        if self.num_unjudged:
            raise StoreError(f"{self.num_unjudged} draws have no verdict; judge them first.")
