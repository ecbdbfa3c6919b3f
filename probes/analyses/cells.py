"""Solved sets: which problems each arm solves at least once, and what finite n alone would show.

    four_cells        problems solved by both, one, neither, with exact McNemar -> Cells
    expected_cells    the same for k fresh draws of each arm, without bias -> ExpectedCells
    same_model_null   what two sets of draws of one model would show -> ExpectedCells
    support           what training kept of the base's solved set, and what it added -> Support
    cells_over_steps  cells of each step against the first, problems gained and lost and when -> Flow

Owns: statements about sets of problems; the ratios of Wu et al. 2025, "The Invisible Leash" (arXiv 2507.14843).
Does not own: pass@k (`probes.statistics.estimators`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from probes.statistics.estimators import Counts, FloatArray, fail_of
from rlvr.errors import InputError


@dataclass(frozen=True)
class Cells:
    """Numbers of problems by who solves them at least once, and the exact McNemar test of the two middle cells.

    Attributes:
        both: c >= 1 in both arms.
        base_only: solved by the base arm alone (shrinkage).
        rl_only: solved by the other arm alone (expansion).
        neither: solved by none.
        mcnemar_p: two-sided; 1 when no problem is solved by one arm alone.
    """

    both: int
    base_only: int
    rl_only: int
    neither: int
    mcnemar_p: float


@dataclass(frozen=True)
class ExpectedCells:
    """Expected numbers of problems by who solves them within k fresh draws; unbiased, not whole numbers.

    Attributes:
        k: draws of each arm.
        both: solved by both.
        base_only: solved by the base arm alone.
        rl_only: solved by the other arm alone.
        neither: solved by none.
    """

    k: int
    both: float
    base_only: float
    rl_only: float
    neither: float


@dataclass(frozen=True)
class Transition:
    """Numbers of problems by what became of them between two consecutive probes.

    Attributes:
        kept: solved at both.
        lost: solved at the earlier one only.
        gained: solved at the later one only.
        never: solved at neither.
    """

    kept: int
    lost: int
    gained: int
    never: int


@dataclass(frozen=True)
class Flow:
    """Solved sets through training.

    Attributes:
        steps: probed steps.
        cells: each step against the first; the first against itself has empty middle cells.
        transitions: between consecutive steps, one less than steps.
        gained: by problem, the first step that solves it, for problems that the first step does not solve.
        lost: by problem, the last step that solves it, for problems that the first step solves and the last does not.
        forgetting: share of problems solved at some step and not at the last.
    """

    steps: tuple[int, ...]
    cells: tuple[Cells, ...]
    transitions: tuple[Transition, ...]
    gained: dict[str, int]
    lost: dict[str, int]
    forgetting: float


def four_cells(base: Counts, other: Counts) -> Cells:
    """Returns how many problems both arms, one arm, or neither solve at least once, with exact McNemar.

    Exact for the draws at hand. Finite n alone fills the middle cells: the same model drawn twice shows problems "of
    one arm only". An arm with more draws solves more, so compare arms of equal n.

    Raises:
        InputError: the arms hold different problems; the message names them.

    Source: McNemar 1947; the two-sided exact binomial test of the discordant pairs.
    """
    # Most of the start-up time of scipy.stats would otherwise fall on commands that do not need it.
    from scipy.stats import binomtest

    base_P, other_P = base.c_P > 0, other.aligned_to(base).c_P > 0
    base_only, rl_only = int((base_P & ~other_P).sum()), int((other_P & ~base_P).sum())
    num_discordant = base_only + rl_only
    p = float(binomtest(rl_only, num_discordant, 0.5).pvalue) if num_discordant else 1.0
    return Cells(int((base_P & other_P).sum()), base_only, rl_only, int((~base_P & ~other_P).sum()), p)


def expected_cells(base: Counts, other: Counts, k: int) -> ExpectedCells:
    """Returns the cells that k fresh draws of each arm would show on average.

    The arms are independent, so products of unbiased estimates of q^k are unbiased. Unlike the cells of the draws at
    hand, these compare arms with different numbers of draws.

    Raises:
        InputError: the arms hold different problems, or k cannot be estimated.
    """
    base_P, other_P = fail_of(base, [k])[:, 0], fail_of(other.aligned_to(base), [k])[:, 0]
    return _expected(k, base_P, other_P, both_fail_P=base_P * other_P)


def same_model_null(base: Counts) -> ExpectedCells | None:
    """Returns the cells that two independent sets of k draws of the base arm would show, k half of what it allows.

    With a fixed number of draws it is the average over all ways to take two sets of k from them: one solves and the
    other does not in q^k - q^2k of the cases. Middle cells of a comparison that are no larger than these say nothing.
    None where a problem has a single draw, which cannot be split.
    """
    k = base.largest_k // 2
    if k < 1:
        return None
    once_P, twice_P = fail_of(base, [k, 2 * k]).T
    return _expected(k, once_P, once_P, both_fail_P=twice_P)


def _expected(k: int, base_P: FloatArray, other_P: FloatArray, both_fail_P: FloatArray) -> ExpectedCells:
    """Returns the cells from the chances that each arm fails, and that both do."""
    neither = float(both_fail_P.sum())
    base_only, rl_only = float(other_P.sum()) - neither, float(base_P.sum()) - neither
    return ExpectedCells(k, len(base_P) - base_only - rl_only - neither, base_only, rl_only, neither)


def cells_over_steps(probes: Sequence[tuple[int, Counts]]) -> Flow:
    """Returns the solved sets of (step, counts) pairs, ascending by step.

    Raises:
        InputError: there is no probe, steps do not ascend, or the probes hold different problems.

    Source: temporal forgetting, Li et al. 2025 (arXiv 2505.20196).
    """
    if not probes:
        raise InputError("cells over steps: no probe; expected at least one.")
    base = probes[0][1]
    steps = tuple(step for step, _ in probes)
    if any(step >= later for step, later in pairwise(steps)):
        raise InputError(f"cells over steps: steps {list(steps)}; expected them ascending, each once.")
    solved_SP = np.stack([counts.aligned_to(base).c_P > 0 for _, counts in probes])
    first_P, last_P, ever_P = solved_SP[0], solved_SP[-1], solved_SP.any(axis=0)
    gained = {
        base.problem_ids[row]: steps[int(solved_SP[:, row].argmax())] for row in np.flatnonzero(ever_P & ~first_P)
    }
    backwards_SP = solved_SP[::-1]
    lost = {
        base.problem_ids[row]: steps[len(steps) - 1 - int(backwards_SP[:, row].argmax())]
        for row in np.flatnonzero(first_P & ~last_P)
    }
    cells = tuple(four_cells(base, counts) for _, counts in probes)
    transitions = tuple(_transition(was_P, is_P) for was_P, is_P in pairwise(solved_SP))
    return Flow(steps, cells, transitions, gained, lost, float((ever_P & ~last_P).mean()))


def _transition(was_P: npt.NDArray[np.bool_], is_P: npt.NDArray[np.bool_]) -> Transition:
    """Returns what became of problems that were, and are, solved or not."""
    pairs = ((was_P & is_P), (was_P & ~is_P), (~was_P & is_P), (~was_P & ~is_P))
    return Transition(*(int(pair_P.sum()) for pair_P in pairs))


@dataclass(frozen=True)
class Support:
    """Ratios of solved sets; P solved by both, S by the base only, E by the other arm only. NaN: cannot tell (0 / 0).

    Attributes:
        retention: SRR, P / (P + S): share of the base's solved problems that stay solved.
        discovery: NDR, E / (P + E): share of the other arm's solved problems that are new.
        harmonic: SDS, harmonic mean of the two.
        net_change: NSCR, (E - S) / (P + E + S).
    """

    retention: float
    discovery: float
    harmonic: float
    net_change: float


def support(cells: Cells | ExpectedCells) -> Support:
    """Returns the ratios of observed or expected cells.

    Example:
        >>> support(Cells(both=8, base_only=2, rl_only=0, neither=0, mcnemar_p=0.5)).retention
        0.8
    """
    p, s, e = cells.both, cells.base_only, cells.rl_only
    retention, discovery = _ratio(p, p + s), _ratio(e, p + e)
    return Support(retention, discovery, _ratio(2 * p * e, p * p + 2 * p * e + e * s), _ratio(e - s, p + e + s))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
