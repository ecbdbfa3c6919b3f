"""Studies: all analyses of one arm, of two, and of a run, as JSON values.

Owns: which analyses are made of what, with which settings; for `summary.json` and `probes analyze`.
Does not own: the analyses (`probes.analyses`), and those that need a model: `probes.scoring.perplexity`.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from probes.analyses.cells import cells_over_steps, expected_cells, four_cells, same_model_null, support
from probes.analyses.curves import curve_rows, efficiency_gap, pass_at_k_curve
from probes.analyses.extrapolation import extrapolate
from probes.analyses.guessability import guessable
from probes.analyses.histogram import accuracy_histogram
from probes.analyses.prompts import prompt_effect
from probes.analyses.reasoning import cot_pass_at_k, judged_reasoning
from probes.analyses.reliability import cover_at_tau, g_pass_at_k, mg_pass_at_k, pass_hat_k
from probes.results.measured import Measured
from probes.statistics.estimators import Counts, pass_at_k
from probes.statistics.intervals import problem_interval
from probes.statistics.outcomes import CORRECT, Outcomes
from probes.statistics.plan import k_grid
from probes.store.store import ProbeStore
from rlvr.errors import InputError

TAUS = (0.25, 0.5, 0.75, 1.0)
MAX_RELIABILITY_K = 16
BEYOND = (2, 4, 16)  # times the largest k


def study_arm(measured: Measured, k_max: int, seed: int = 0) -> dict[str, Any]:
    """Returns the analyses of one arm that need no model."""
    first, entropy, distinct = measured.num_first, measured.answers.entropy, measured.answers.distinct
    return {
        "num_first_draws": first,
        "rates": asdict(measured.rates),
        "histogram": asdict(accuracy_histogram(measured.counts)),
        "answer_entropy": {"mean": entropy.mean, "num_without_answer": entropy.num_without_answer},
        "distinct_correct": {"mean": distinct.mean, "num_draws": distinct.num_draws},
        "reliability": study_reliability(measured.outcomes.first(first).counts()),
        "extrapolation": study_extrapolation(measured.counts, k_max, seed),
    }


def study_verifiers(measured: Measured, ks: Sequence[int], seed: int = 0) -> dict[str, Any] | None:
    """Returns pass@k of the problems of each verifier; None where no problem names its own."""
    return {
        name: {"num_problems": counts.num_problems, "pass@k": curve_rows(pass_at_k_curve(counts, ks, seed=seed))}
        for name, counts in measured.counts_by_verifier.items()
    } or None


def study_reliability(counts: Counts) -> dict[str, Any]:
    """Returns pass^k, G-Pass@k and Cover@tau over the first draws."""
    ks = k_grid(min(MAX_RELIABILITY_K, counts.largest_k))
    k = ks[-1]
    return {
        "pass^k": dict(zip(map(str, ks), pass_hat_k(counts, ks).tolist(), strict=True)),
        "k": k,
        "g_pass@k": {str(tau): g_pass_at_k(counts, k, tau) for tau in TAUS},
        "mg_pass@k": mg_pass_at_k(counts, k),
        "cover@tau": dict(zip(map(str, TAUS), cover_at_tau(counts, TAUS).tolist(), strict=True)),
    }


def study_extrapolation(counts: Counts, k_max: int, seed: int) -> dict[str, Any] | None:
    """Returns the fit and pass@k beyond the draws; None where there is too little to fit."""
    try:
        found = extrapolate(counts, [times * k_max for times in BEYOND], seed=seed)
    except InputError:
        return None
    rows = zip(found.ks, found.estimate_K, found.lo_K, found.hi_K, strict=True)
    return {
        "a": found.a,
        "b": found.b,
        "never": found.never,
        "fits": found.fits,
        "fit_p": found.fit_p,
        "pass@k": {str(k): {"estimate": value, "lo": lo, "hi": hi} for k, value, lo, hi in rows},
    }


def study_pair(base: Counts, other: Counts, k_max: int, seed: int = 0) -> dict[str, Any]:
    """Returns the analyses of two arms on the same problems."""
    null = same_model_null(base)
    expected = expected_cells(base, other, null.k) if null and null.k <= other.largest_k else None
    return {
        "efficiency_gap": asdict(efficiency_gap(base, other, k_max, seed=seed)),
        "support": asdict(support(four_cells(base, other))),
        "same_model_null": asdict(null) if null else None,
        "expected_cells": asdict(expected) if expected else None,
    }


def study_run(probes: Sequence[tuple[int, Counts]]) -> dict[str, Any]:
    """Returns the solved sets through the steps of a run."""
    flow = cells_over_steps(probes)
    return asdict(flow)


def study_guesses(store: ProbeStore, verifier_id: str, guesses: Counts, ks: Sequence[int]) -> dict[str, Any]:
    """Returns pass@k over the problems that an arm without reasoning does not solve, and which were left out.

    Raises:
        InputError: the two arms hold different problems, or guessing solves all of them.
    """
    outcomes = store.outcomes(verifier_id)
    split = guessable(guesses.aligned_to(outcomes.counts(store.plan())))
    if not split.kept:
        raise InputError(f"guessing solves all {len(split.left_out)} problems; use harder ones.")
    curve = pass_at_k(outcomes.of(set(split.kept)).counts(store.plan()), ks).estimate_K.tolist()
    return {
        "num_kept": len(split.kept),
        "left_out": list(split.left_out),
        "threshold": split.threshold,
        "pass@k": dict(zip(map(str, ks), curve, strict=True)),
    }


def study_prompts(first: ProbeStore, second: ProbeStore, verifier_id: str, ks: Sequence[int]) -> dict[str, Any]:
    """Returns what the second arm's prompt changes, the model being the same."""
    arms = [(store.arm, store.counts(verifier_id)) for store in (first, second)]
    found = prompt_effect(arms[0], arms[1], ks)
    return {"moves": found.moves, "k": found.comparison.rows()}


def study_reasoning(answers: Outcomes, reasoning: Outcomes, seed: int = 0) -> dict[str, Any]:
    """Returns CoT-pass@k beside pass@k of the same draws, with both ends for what the judge cannot tell.

    The interval is over problems like these, from the lower end with all unknown draws wrong to the upper end with all
    of them right.

    Args:
        answers: of the verifier, of the first draws of each problem.
        reasoning: of the judge.
        seed: of the intervals.
    """
    judged, counts = judged_reasoning(answers, reasoning), answers.counts()
    ks = k_grid(max(1, counts.largest_k // 4))
    low, high = cot_pass_at_k(counts, judged, list(ks))
    lo_K, _ = problem_interval(low.per_problem_PK, counts.cluster_P, seed=seed)
    _, hi_K = problem_interval(high.per_problem_PK, counts.cluster_P, seed=seed)
    rows = zip(ks, *(ends.tolist() for ends in (low.estimate_K, high.estimate_K, lo_K, hi_K)), strict=True)
    return {
        "num_draws": answers.code_PD.shape[1],
        "num_correct_answers": int((answers.code_PD == CORRECT).sum()),
        "num_right": sum(judged.right.values()),
        "num_unknown": sum(judged.unknown.values()),
        "num_errors": answers.num_errors,
        "pass@k": {
            k: {name: row[name] for name in ("estimate", "lo", "hi")}
            for k, row in curve_rows(pass_at_k_curve(counts, ks, seed=seed)).items()
        },
        "cot_pass@k": {
            str(k): {"unknown_wrong": wrong, "unknown_right": right, "lo": lo, "hi": hi}
            for k, wrong, right, lo, hi in rows
        },
    }
