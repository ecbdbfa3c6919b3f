"""Scores: from what a tool logged to verdicts.

Owns: which scores say correct and wrong, which say neither, and a score that several draws share.
Does not own: where a score stands in a log (one module a format).

A score that is missing is an `error`: the draw exists and nobody knows what it is worth. It is never a zero.
"""

import math
import random
from dataclasses import replace

from probes.importers.records import NO_METRIC, NO_SCORE, ImportOptions, LogRow, LogSample
from rlvr.errors import ProblemError
from rlvr.verifiers.verdicts import Outcome, Verdict, account_for_truncation

MAX_TEXT = 1000  # characters of a verdict's answer and reason
WORDS = {"c": 1.0, "i": 0.0, "true": 1.0, "false": 0.0, "p": 0.5}
NO_ANSWER = "N"  # inspect's mark for a completion without an answer


def verdicts_of(row: LogRow, options: ImportOptions) -> list[Verdict | None]:
    """Returns one verdict per sample; None for all where draws are imported without verdicts.

    Raises:
        ProblemError: a score says neither correct nor wrong, or is shared by draws that it does not tell apart.
    """
    if row.metric == NO_METRIC:
        return [None] * len(row.samples)
    if row.shared_score is not NO_SCORE and len(row.samples) > 1:
        return list(_spread(row)) if options.spread_counts else _refuse_shared(row)
    samples = row.samples
    if row.shared_score is not NO_SCORE:
        samples = tuple(replace(sample, score=row.shared_score) for sample in samples)
    return [_verdict(sample, row, options.threshold) for sample in samples]


def _verdict(sample: LogSample, row: LogRow, threshold: float | None) -> Verdict:
    if sample.failure is not None:
        return Verdict(Outcome.ERROR, None, _line(sample.failure))
    outcome = sample.outcome or _outcome(sample.score, row, threshold)
    if outcome is Outcome.ERROR:
        return Verdict(outcome, None, _line(f"the log has no score for {row.metric}. {sample.reason}"))
    reason = sample.reason if sample.completion is not None else f"the log has no completion. {sample.reason}"
    answer = None if sample.answer is None else sample.answer[:MAX_TEXT]
    return account_for_truncation(Verdict(outcome, answer, _line(reason)), bool(sample.truncated))


def _outcome(score: object, row: LogRow, threshold: float | None) -> Outcome:
    if score is NO_SCORE:
        return Outcome.ERROR
    if score == NO_ANSWER:
        return Outcome.UNPARSED
    value = _number(score)
    if value is not None and math.isnan(value):
        return Outcome.ERROR
    if value is None or (threshold is None and value not in (0.0, 1.0)):
        raise ProblemError(
            f"{row.where}: {row.metric} is {score!r:.80}; expected 0 or 1. Give a threshold, from which on a score "
            "counts as correct, or name another metric."
        )
    return Outcome.CORRECT if value >= (1.0 if threshold is None else threshold) else Outcome.WRONG


def _number(score: object) -> float | None:
    """Returns a score as a number; None for what is none."""
    if isinstance(score, str) and score.strip().lower() in WORDS:
        return WORDS[score.strip().lower()]
    try:
        return float(score) if isinstance(score, (bool, int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def _spread(row: LogRow) -> list[Verdict]:
    """Returns as many `correct` as the average over the draws says, at random places that the problem decides.

    Draws are exchangeable: given their number, every choice of places is equally likely. So counts, and what is made
    of counts, keep their distribution; the link between a text and its verdict does not.
    """
    n = len(row.samples)
    average = _number(row.shared_score)
    num_correct = round(n * average) if average is not None and math.isfinite(average) else -1
    if average is None or not 0 <= num_correct <= n or abs(num_correct - n * average) > 1e-6 * n:
        raise ProblemError(
            f"{row.where}: {row.metric} is {row.shared_score!r:.80} for {n} draws; expected an average of zeros and "
            f"ones over all {n}, a multiple of 1/{n}. Name another metric, or {NO_METRIC!r} and judge the draws here."
        )
    chosen = random.Random(f"{row.problem.problem_id}|{n}|{num_correct}")  # noqa: S311 - reproducible, not secret
    places = set(chosen.sample(range(n), num_correct))
    reason = f"the log says {num_correct} of {n} draws correct, not which"
    return [Verdict(Outcome.CORRECT if i in places else Outcome.WRONG, None, reason) for i in range(n)]


def _refuse_shared(row: LogRow) -> list[Verdict | None]:
    raise ProblemError(
        f"{row.where}: one {row.metric} ({row.shared_score!r:.80}) for {len(row.samples)} draws does not say which are "
        f"correct. Import with metric {NO_METRIC!r} and judge with `probes verify`; or, if it is their average, spread "
        "the counts."
    )


def _line(text: str) -> str:
    """Returns text in one line of bounded length."""
    return " ".join(text.split())[:MAX_TEXT]
