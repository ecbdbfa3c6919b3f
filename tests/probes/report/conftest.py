"""Summaries made from simulated draws, with the unbiased estimator and bootstrap intervals."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from math import comb
from typing import Any

import numpy as np
import pytest

from probes.analyses.cells import expected_cells, same_model_null
from probes.analyses.histogram import accuracy_histogram
from probes.results.studies import study_run
from probes.statistics.estimators import Counts
from probes.store.files import plain
from tests.probes.report.browser import close_browser

KS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
NUM_DRAWS = 512
NUM_PROBLEMS = 60
MakeSummary = Callable[..., dict[str, Any]]
HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "</pre></details>'\"><b>%{y} {{ 7 * 7 }} <!--<script>\x00\ud800\u2028"
)
CLOSED = {"schema", "verdict", "outcome", "bins", "label"}


@pytest.fixture(scope="module", autouse=True)
def ends_its_browser() -> Iterator[None]:
    """Ends the browser of a file's tests."""
    yield
    close_browser()


@pytest.fixture
def make_summary() -> MakeSummary:
    """Returns a function that makes a summary with probes at the given steps."""
    return simulate


@pytest.fixture
def poison() -> Callable[..., Any]:
    """Returns a function that makes every free text of a summary hostile."""
    return poisoned


def poisoned(value: Any, text: str = HOSTILE) -> Any:
    """Returns the value with every free text in it, names of facts included, made hostile."""
    if isinstance(value, str):
        return text
    if isinstance(value, list):
        return [poisoned(item, text) for item in value]
    if isinstance(value, dict):
        parts = {key: item if key in CLOSED else poisoned(item, text) for key, item in value.items()}
        if "facts" in parts:
            parts["facts"] = {text: text}
        return parts
    return value


def simulate(steps: tuple[int, ...] = (0, 50, 100, 200), seed: int = 3) -> dict[str, Any]:
    """Returns the summary of a run in which training sharpens and narrows a simulated model."""
    random = np.random.default_rng(seed)
    p_base = random.beta(0.55, 1.3, NUM_PROBLEMS)
    counts = [random.binomial(NUM_DRAWS, _narrowed(p_base, step / 200)) for step in steps]
    probes = [_probe(step, c, counts[0], random) for step, c in zip(steps, counts, strict=True)]
    return {
        "schema": "rlvr.summary/2",
        "run": {
            "name": "demo",
            "algorithm": "grpo",
            "model": "countdown-tiny",
            "facts": {"learning_rate": "1e-4", "trl": "1.16.0", "loss_type": "dapo"},
        },
        "problems": {
            "name": "countdown:probe",
            "content_id": "ab12cd34ef56ab78",
            "num_problems": NUM_PROBLEMS,
            "num_duplicates": 0,
        },
        "plan": {"looks": [32, 64, NUM_DRAWS], "stop_at": 16, "give_up_at": None},
        "verifier": "countdown@1",
        "k": list(KS),
        "confidence": 0.95,
        "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 24},
        "probes": probes,
        "training": _training(random, steps[-1]),
        "notes": ["The base and step 200 share prompt and stop rule."],
        "studies": _studies(steps, counts),
    }


def _narrowed(p: np.ndarray, amount: float) -> np.ndarray:
    """Returns success rates after training: likely answers become likelier, rare ones vanish."""
    pivot = 0.12 / 0.88
    odds = pivot * (p / (1 - p) / pivot) ** (1 + 1.2 * amount)
    return np.where(p < 0.04 * amount, 0.0, odds / (1 + odds))


def _pass_at_k(c: np.ndarray, k: int) -> np.ndarray:
    """Returns the unbiased pass@k of each problem."""
    return np.array([1 - comb(NUM_DRAWS - int(x), k) / comb(NUM_DRAWS, k) for x in c])


def _probe(step: int, c: np.ndarray, base: np.ndarray, random: np.random.Generator) -> dict[str, Any]:
    """Returns the record of one step."""
    resampled = random.integers(0, len(c), (400, len(c)))
    values = {k: _pass_at_k(c, k) for k in KS}
    changes = {k: values[k] - _pass_at_k(base, k) for k in KS}
    differences = {str(k): _difference(changes[k], resampled) for k in KS}
    against = {"k": differences, "crossing": _crossing(differences), "cells": _cells(c, base)}
    total, correct = NUM_DRAWS * len(c), int(c.sum())
    unparsed, truncated = int(total * 0.1 * np.exp(-step / 80)), 200
    wrong = total - correct - unparsed - truncated
    outcomes = {"correct": correct, "wrong": wrong, "unparsed": unparsed, "truncated": truncated}
    return {
        "step": step,
        "label": f"step {step}",
        "cost": {
            "draws": total,
            "fixed_draws": 2 * total,
            "seconds": 20.1,
            "rollouts": 512 * step,
            "tokens": 9000 * step,
            "train_seconds": 3.0 * step,
        },
        "arm_id": f"{step:016x}",
        "num_draws": total,
        "seconds": 20.1,
        "num_rate_draws": 3200,
        "scores": _scores(step),
        "pass@k": {str(k): _estimate(values[k], resampled, k) for k in KS},
        "bounds_if_errors": None,
        "all_outcomes": {**outcomes, "timeout": 0, "error": 0},
        "outcomes": {**outcomes, "timeout": 0, "error": 0},
        "truncation_rate": truncated / total,
        "no_answer_rate": unparsed / total,
        "mean_tokens": 9.1 + step / 200,
        "distinct_correct": 12.3 * float(np.exp(-step / 120)),
        "against_base": against if step else None,
        "gained": [f"p{i}" for i in np.flatnonzero((c > 0) & (base == 0))],
        "lost": [f"p{i}" for i in np.flatnonzero((c == 0) & (base > 0))],
    }


def _estimate(values: np.ndarray, resampled: np.ndarray, k: int) -> dict[str, float | None]:
    """Returns pass@k with an interval over resampled problems."""
    lo, hi = np.quantile(values[resampled].mean(1), [0.025, 0.975])
    spread = 0.002 if 2 * k <= NUM_DRAWS // 2 else None
    band_lo, band_hi = max(0.0, float(lo) - 0.02), min(1.0, float(hi) + 0.02)
    ends = {"lo": float(lo), "hi": float(hi), "band_lo": band_lo, "band_hi": band_hi}
    return {"estimate": float(values.mean()), "se_draws": spread, **ends}


def _scores(step: int) -> dict[str, Any]:
    """Returns perplexities and entropy of a step."""

    def of(perplexity: float, entropy: float) -> dict[str, Any]:
        ends = {"estimate": perplexity, "lo": perplexity - 0.05, "hi": perplexity + 0.05}
        return {"perplexity": ends, "token_entropy": {"estimate": entropy, "lo": entropy - 0.02, "hi": entropy + 0.02}}

    own = of(1.6 - step / 1000, 0.5 - step / 1000)
    return {"own": own, "base": of(1.6 + step / 400, 0.5)} if step else {"own": own}


def _studies(steps: tuple[int, ...], counts: list[np.ndarray]) -> dict[str, Any]:
    """Returns the studies that the page draws, from the counts by the functions that make them."""
    ids = tuple(f"p{i}" for i in range(NUM_PROBLEMS))
    arms = [Counts(ids, np.full(NUM_PROBLEMS, NUM_DRAWS), c) for c in counts]
    null = same_model_null(arms[0])
    pairs = [
        {"same_model_null": asdict(null), "expected_cells": asdict(expected_cells(arms[0], arm, null.k))}
        for arm in arms[1:]
    ]
    entropies = [2.0 - step / 200 for step in steps]
    each = [
        {"histogram": asdict(accuracy_histogram(arm)), "answer_entropy": {"mean": entropy, "num_without_answer": 3}}
        for arm, entropy in zip(arms, entropies, strict=True)
    ]
    flow = plain(study_run(list(zip(steps, arms, strict=True))))
    return {"arms": plain(each), "against_base": pairs, "flow": flow}


def _difference(change: np.ndarray, resampled: np.ndarray) -> dict[str, Any]:
    """Returns a paired difference with a band and its verdict."""
    low, high = np.quantile(change[resampled].mean(1), [0.005, 0.995])
    verdict = "gain" if low > 0 else "loss" if high < 0 else "cannot tell"
    return {"difference": float(change.mean()), "lo": float(low), "hi": float(high), "verdict": verdict}


def _cells(c: np.ndarray, base: np.ndarray) -> dict[str, Any]:
    """Returns the problems by who solved them."""
    gained, lost = int(((c > 0) & (base == 0)).sum()), int(((c == 0) & (base > 0)).sum())
    both, neither = int(((c > 0) & (base > 0)).sum()), int(((c == 0) & (base == 0)).sum())
    p_value = _mcnemar(gained, lost)
    return {"both": both, "base_only": lost, "rl_only": gained, "neither": neither, "mcnemar_p": p_value}


def _crossing(differences: dict[str, dict[str, Any]]) -> list[int] | None:
    """Returns the last k with a gain and the first with a loss, where there are both."""
    gains = [int(k) for k, cell in differences.items() if cell["verdict"] == "gain"]
    losses = [int(k) for k, cell in differences.items() if cell["verdict"] == "loss"]
    return [max(gains), min(losses)] if gains and losses else None


def _mcnemar(b: int, c: int) -> float:
    """Returns the exact two-sided p-value."""
    return float(min(1.0, 2 * sum(comb(b + c, i) for i in range(min(b, c) + 1)) / 2 ** (b + c)))


def _training(random: np.random.Generator, num_steps: int) -> dict[str, list[float | None]]:
    """Returns logged curves with a gap."""
    steps = np.arange(1, num_steps + 1)
    noise = random.normal(0, 0.03, (3, num_steps))
    reward: list[float | None] = [float(x) for x in 0.2 + 0.15 * (1 - np.exp(-steps / 60)) + noise[0]]
    if reward:
        reward[len(reward) // 2] = None
    return {
        "step": [float(step) for step in steps],
        "reward": reward,
        "entropy": [float(x) for x in 1.2 * np.exp(-steps / 90) + 0.1 + noise[1] / 2],
        "loss": [float(x) for x in noise[2] / 10],
        "completions/mean_length": [9.0 + step / 200 for step in range(num_steps)],
    }
