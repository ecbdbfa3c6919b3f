"""The histogram of accuracies: how many problems are solved never, seldom, often, always.

Owns: the twelve bins of Yue et al. 2025 (arXiv 2504.13837), figure 5.
Does not own: the estimate of each accuracy (`probes.statistics.estimators`).
"""

from dataclasses import dataclass

import numpy as np

from probes.statistics.estimators import Counts, pass_at_k

BINS = ("0", *(f"({low / 10:g}, {(low + 1) / 10:g}]" for low in range(9)), "(0.9, 1)", "1")


@dataclass(frozen=True)
class Histogram:
    """Numbers of problems by accuracy.

    Attributes:
        bins: names, ascending.
        num_problems: in each bin; they add up to all problems.
    """

    bins: tuple[str, ...]
    num_problems: tuple[int, ...]


def accuracy_histogram(counts: Counts) -> Histogram:
    """Returns the histogram of the unbiased success probabilities; `0` holds problems with c = 0, `1` those with c = n.

    With a fixed number of draws the probability is c / n. Noise of the draws widens the histogram.
    """
    p_P = pass_at_k(counts, [1]).per_problem_PK[:, 0]
    # Rounded, so that 3 of 10 lies in (0.2, 0.3] in spite of floating point.
    bin_P = np.clip(np.ceil(np.round(p_P * 10, 9)), 1, 10).astype(int)
    bin_P[counts.c_P == 0] = 0
    bin_P[counts.c_P == counts.n_P] = len(BINS) - 1
    return Histogram(BINS, tuple(np.bincount(bin_P, minlength=len(BINS)).tolist()))
