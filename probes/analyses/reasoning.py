"""Reasoning: a right answer by wrong steps is not a solution. The hook for a judge, and CoT-pass@k.

Owns: the protocol of a judge, and the estimate from its judgements.
Does not own: a judge. Which model or rule reads the steps is the user's choice, and its errors enter every number here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from probes.statistics.estimators import Counts, PassAtK, pass_at_k
from probes.store.draws import Draw
from rlvr.errors import InputError
from rlvr.problems import Problem


class ReasoningJudge(Protocol):
    """Reads the steps of a correct completion."""

    def __call__(self, problem: Problem, completion: str, /) -> bool | None:
        """Returns whether the reasoning is right; None where the judge cannot tell."""


@dataclass(frozen=True)
class Judged:
    """What a judge said of correct completions.

    Attributes:
        right: by problem, draws whose answer and reasoning are right (D).
        unknown: by problem, correct draws of which the judge could not tell, or that it was not given.
    """

    right: dict[str, int]
    unknown: dict[str, int]


def judge_reasoning(
    draws: Iterable[Draw], correct: Mapping[str, set[int]], problems: Mapping[str, Problem], judge: ReasoningJudge
) -> Judged:
    """Returns the judgements of the correct draws; others are not read. Correct draws not given here stay unknown.

    Args:
        draws: of one arm.
        correct: by problem, the indices of the draws with a right answer.
        problems: by problem id.
        judge: reads one completion at a time.
    """
    right, unknown = dict.fromkeys(correct, 0), {key: len(indices) for key, indices in correct.items()}
    for draw in draws:
        if draw.draw_index not in correct.get(draw.problem_id, ()):
            continue
        said = judge(problems[draw.problem_id], draw.completion)
        right[draw.problem_id] += said is True
        unknown[draw.problem_id] -= said is not None
    return Judged(right, unknown)


def cot_pass_at_k(counts: Counts, judged: Judged, ks: list[int]) -> tuple[PassAtK, PassAtK]:
    """Returns CoT-pass@k = 1 - C(n - d, k) / C(n, k) with all unknown reasoning wrong, and with all of it right.

    d counts draws whose answer and reasoning are right. All correct draws of a problem that was not judged are unknown.
    For a fixed number of draws: a plan that stops at a number of right answers does not stop at a number of right
    reasonings; take the first look's draws.

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
    ends = (Counts(counts.problem_ids, counts.n_P, d_P) for d_P in (right_P, right_P + unknown_P))
    low, high = (pass_at_k(end, ks) for end in ends)
    return low, high


def _unknown(judged: Judged, problem_id: str, num_correct: int) -> int:
    """Returns the correct draws whose reasoning is not known: all of them where the problem was not judged."""
    is_judged = problem_id in judged.right or problem_id in judged.unknown
    return judged.unknown.get(problem_id, 0) if is_judged else num_correct
