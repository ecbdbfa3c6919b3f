"""Reasoning: a right answer by wrong steps is not a solution. CoT-pass@k from two verdicts on each draw.

Owns: what counts as right, wrong and unknown, and the estimate.
Does not own: the judge. Which model or rule reads the steps is the user's choice (`probes.sampling.reasoning`), and its
errors enter every number here.
"""

from dataclasses import dataclass

import numpy as np

from probes.statistics.estimators import Counts, PassAtK, pass_at_k
from probes.statistics.outcomes import CODES, CORRECT, ERROR, NOT_JUDGED, Outcomes
from rlvr.errors import InputError
from rlvr.verifiers.verdicts import Outcome

CANNOT_TELL = (NOT_JUDGED, ERROR, CODES[Outcome.TIMEOUT])


@dataclass(frozen=True)
class Judged:
    """What a judge said of correct completions.

    Attributes:
        right: by problem, draws whose answer and reasoning are right (D).
        unknown: by problem, correct draws of which the judge could not tell, or that it was not given.
    """

    right: dict[str, int]
    unknown: dict[str, int]


def judged_reasoning(answers: Outcomes, reasoning: Outcomes) -> Judged:
    """Returns what a judge said of the draws whose answer is correct; its verdicts on others are passed over.

    Args:
        answers: of the verifier, of the draws that count.
        reasoning: of the judge, of the same problems and at least these draws.
    """
    code_PD = reasoning.code_PD[:, : answers.code_PD.shape[1]]
    is_correct_PD = answers.code_PD == CORRECT
    right_P = (is_correct_PD & (code_PD == CORRECT)).sum(axis=1).tolist()
    unknown_P = (is_correct_PD & np.isin(code_PD, CANNOT_TELL)).sum(axis=1).tolist()
    ids = answers.problem_ids
    return Judged(dict(zip(ids, right_P, strict=True)), dict(zip(ids, unknown_P, strict=True)))


def cot_pass_at_k(counts: Counts, judged: Judged, ks: list[int]) -> tuple[PassAtK, PassAtK]:
    """Returns CoT-pass@k = 1 - C(n - d, k) / C(n, k) with all unknown draws wrong, and with all of them right.

    d counts draws whose answer and reasoning are right. Unknown are correct draws whose reasoning was not judged, among
    them all of a problem that was not judged, and draws whose answer the verifier failed to judge. For a fixed number
    of draws: a plan that stops at a number of right answers does not stop at a number of right reasonings; take the
    first look's draws.

    Raises:
        InputError: the draws stopped early, or more draws were judged than are correct.

    Source: Wen et al. 2025 (arXiv 2506.14245), equation 4.
    """
    if counts.plan_P:
        raise InputError("the draws stopped early; take the first look's: outcomes.first(plan.first_look).counts().")
    right_P = np.array([judged.right.get(key, 0) for key in counts.problem_ids])
    unknown_P = np.array(
        [_unknown(judged, key, c) for key, c in zip(counts.problem_ids, counts.c_P.tolist(), strict=True)]
    )
    if (right_P + unknown_P > counts.c_P).any():
        raise InputError("more draws were judged than have a right answer; judge the draws that are counted.")
    n_P, most_P = counts.n_P + counts.errors_P, right_P + unknown_P + counts.errors_P
    low, high = (pass_at_k(Counts(counts.problem_ids, n_P, d_P), ks) for d_P in (right_P, most_P))
    return low, high


def _unknown(judged: Judged, problem_id: str, num_correct: int) -> int:
    """Returns the correct draws whose reasoning is not known: all of them where the problem was not judged."""
    is_judged = problem_id in judged.right or problem_id in judged.unknown
    return judged.unknown.get(problem_id, 0) if is_judged else num_correct
