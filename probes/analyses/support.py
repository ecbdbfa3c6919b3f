"""Support: what training kept of what the base could solve, and what it added.

Owns: the ratios of Wu et al. 2025, "The Invisible Leash" (arXiv 2507.14843).
Does not own: the cells that they are made of (`probes.analyses.cells`).
"""

import math
from dataclasses import dataclass

from probes.analyses.cells import Cells, ExpectedCells


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
