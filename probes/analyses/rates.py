"""Rates of an arm: outcomes, truncation, no answer, length.

Owns: averages over draws, taken over the first draws of each problem, which every problem has whatever came out.
Does not own: pass@k (`probes.statistics.estimators`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from probes.statistics.outcomes import CODES, Outcomes
from rlvr.errors import InputError
from rlvr.verifiers.verdicts import Outcome

NO_ANSWER = (Outcome.UNPARSED, Outcome.TRUNCATED)
TotalRow = tuple[str, int, int, int, int]


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


def rates(outcomes: Outcomes, totals: Iterable[TotalRow], num_first: int) -> Rates:
    """Returns the rates over the first `num_first` draws of each problem.

    Args:
        outcomes: of the arm.
        totals: sums over these draws by problem, as `ProbeStore.totals` yields them.
        num_first: draws of each problem to read; a plan's first look, so that all problems have them.

    Raises:
        InputError: `num_first` is below 1.
    """
    if num_first < 1:
        raise InputError(f"num_first: {num_first} is too small; expected at least 1.")
    codes = outcomes.first(num_first).code_PD
    counts = {outcome.value: int((codes == code).sum()) for outcome, code in CODES.items()}
    known = set(outcomes.problem_ids)
    rows = [sums for problem_id, *sums in totals if problem_id in known]
    draws, cut, sized, tokens = (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0, 0, 0)
    no_answer = sum(counts[outcome] for outcome in NO_ANSWER)
    mean_tokens = tokens / sized if sized else float("nan")  # imported draws may have no length
    return Rates(draws, counts, cut / max(1, draws), no_answer / max(1, draws), mean_tokens)
