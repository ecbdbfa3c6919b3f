"""Rates of an arm: outcomes, truncation, no answer, length.

Owns: averages over draws, taken over the first draws of each problem, which every problem has whatever came out.
Does not own: pass@k (`probes.estimators`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from probes.outcomes import CODES, Outcomes
from rlvr.errors import InputError
from rlvr.verdicts import Outcome

NO_ANSWER = (Outcome.UNPARSED, Outcome.TRUNCATED)
SizeRow = tuple[str, int, int, bool]


@dataclass(frozen=True)
class Rates:
    """Averages over the first draws of each problem.

    Attributes:
        num_draws: draws that the averages are over.
        outcomes: their number by outcome.
        truncation_rate: share cut at the token limit.
        no_answer_rate: share judged `unparsed` or `truncated`.
        mean_tokens: per draw, the stop token included; NaN where no length is known.
    """

    num_draws: int
    outcomes: dict[str, int]
    truncation_rate: float
    no_answer_rate: float
    mean_tokens: float


def rates(outcomes: Outcomes, sizes: Iterable[SizeRow], num_first: int) -> Rates:
    """Returns the rates over the first `num_first` draws of each problem.

    Args:
        outcomes: of the arm.
        sizes: (problem_id, draw_index, num_tokens, truncated), as `ProbeStore.sizes` yields them.
        num_first: draws of each problem to read; a plan's first look, so that all problems have them.

    Raises:
        InputError: `num_first` is below 1.
    """
    if num_first < 1:
        raise InputError(f"num_first: {num_first} is too small; expected at least 1.")
    codes = outcomes.first(num_first).code_PD
    counts = {outcome.value: int((codes == code).sum()) for outcome, code in CODES.items()}
    known = set(outcomes.problem_ids)
    rows = [(tokens, cut) for key, index, tokens, cut in sizes if index < num_first and key in known]
    tokens, cut = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    total = max(1, len(rows))
    no_answer = sum(counts[outcome] for outcome in NO_ANSWER)
    known_tokens = tokens[tokens >= 0]  # imported draws may have none
    mean_tokens = float(known_tokens.mean()) if len(known_tokens) else float("nan")
    return Rates(len(rows), counts, float(cut.sum()) / total, no_answer / total, mean_tokens)
