"""Answers: how many different ones an arm gives, and how evenly.

    answer_entropy    entropy of the extracted answers -> AnswerEntropy
    distinct_correct  distinct correct answers, among any number of draws -> DistinctCorrect

Owns: statistics of answers, over the first draws of each problem. Every problem has these, whatever came out; all draws
of a plan that stops early would show more answers of hard problems than of easy ones.
Does not own: what counts as one answer: the verifier's normal form (`rlvr.verifiers.verdicts.Verdict.answer`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probes.statistics.estimators import fail_at_k
from rlvr.errors import InputError
from rlvr.verifiers.verdicts import Outcome

AnswerTimes = Mapping[tuple[str, str, str | None], int]  # draws by (problem_id, outcome, answer)


@dataclass(frozen=True)
class AnswerEntropy:
    """Entropy of the distribution of answers, in nats.

    Attributes:
        mean: over problems with an answer; NaN where there is none: cannot tell.
        per_problem: by problem id.
        num_draws: first draws of each problem that were read.
        num_without_answer: draws among them without an answer; they are left out.
    """

    mean: float
    per_problem: dict[str, float]
    num_draws: int
    num_without_answer: int


@dataclass(frozen=True)
class DistinctCorrect:
    """Distinct correct answers per problem.

    Attributes:
        num_draws: m, the draws that are counted for each problem.
        mean: expected number among m draws, mean over problems.
        per_problem: by problem id.
    """

    num_draws: int
    mean: float
    per_problem: dict[str, float]


def answer_entropy(found: AnswerTimes, num_first: int) -> AnswerEntropy:
    """Returns -sum f log f over the distinct answers of each problem, f their shares among draws with an answer.

    A plug-in estimate: on average too low by about (answers - 1) / (2 draws). Compare arms at equal `num_first`.

    Args:
        found: draws by (problem_id, outcome, answer), as `ProbeStore.answers` returns them.
        num_first: draws of each problem among them; a plan's first look, so that all problems have them.

    Source: Wu et al. 2025 (arXiv 2507.14843).
    """
    times = defaultdict[str, defaultdict[str, int]](lambda: defaultdict(int))
    for (problem_id, _, answer), num in found.items():
        if answer is not None:
            times[problem_id][answer] += num
    num_without = sum(num for (_, _, answer), num in found.items() if answer is None)
    entropies = {problem_id: _entropy(list(each.values())) for problem_id, each in times.items()}
    mean = float(np.mean(list(entropies.values()))) if entropies else float("nan")
    return AnswerEntropy(mean, entropies, num_first, num_without)


def distinct_correct(
    found: AnswerTimes, problem_ids: Sequence[str], num_first: int, num_draws: int | None = None
) -> DistinctCorrect:
    """Returns the expected number of distinct correct answers among `num_draws` of the first `num_first` draws.

    Each answer is missed with probability C(n - c, m) / C(n, m) (rarefaction), so arms with different first looks can
    be compared at the smaller one.

    Args:
        found: draws by (problem_id, outcome, answer), as `ProbeStore.answers` returns them.
        problem_ids: all problems; one without a correct answer counts 0.
        num_first: draws of each problem among them.
        num_draws: m; by default `num_first`.

    Raises:
        InputError: `num_draws` is not between 1 and `num_first`.

    Source: Hurlbert 1971, "The nonconcept of species diversity", equation 14.
    """
    num_draws = num_draws or num_first
    if not 1 <= num_draws <= num_first:
        raise InputError(f"num_draws: {num_draws} is not between 1 and the {num_first} draws that are read.")
    times = defaultdict[str, list[int]](list)
    for (problem_id, outcome, answer), num in found.items():
        if outcome == Outcome.CORRECT and answer is not None:
            times[problem_id].append(num)
    expected = {problem_id: _expected(times[problem_id], num_first, num_draws) for problem_id in problem_ids}
    return DistinctCorrect(num_draws, float(np.mean(list(expected.values()))), expected)


def _entropy(times: Sequence[int]) -> float:
    shares = np.array(times) / sum(times)
    return float(-(shares * np.log(shares)).sum()) + 0.0  # not -0.0


def _expected(times: Sequence[int], num_first: int, num_draws: int) -> float:
    if not times:
        return 0.0
    times_U = np.array(times, dtype=np.int64)
    return float((1.0 - fail_at_k(np.full_like(times_U, num_first), times_U, num_draws)).sum())
