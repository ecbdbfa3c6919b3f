"""Summaries made from simulated draws, with the unbiased estimator and bootstrap intervals."""

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
import pytest

KS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
NUM_DRAWS = 512
NUM_PROBLEMS = 60
MakeSummary = Callable[..., dict[str, Any]]


@pytest.fixture
def make_summary() -> MakeSummary:
    """Returns a function that makes a summary with probes at the given steps."""
    return simulate


def simulate(steps: tuple[int, ...] = (0, 50, 100, 200), seed: int = 3) -> dict[str, Any]:
    """Returns the summary of a run in which training sharpens and narrows a simulated model."""
    random = np.random.default_rng(seed)
    p_base = random.beta(0.55, 1.3, NUM_PROBLEMS)
    counts = [random.binomial(NUM_DRAWS, _narrowed(p_base, step / 200)) for step in steps]
    probes = [_probe(step, c, counts[0], random) for step, c in zip(steps, counts, strict=True)]
    return {
        "schema": "rlvr.summary/1",
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
        "plan": {"num_draws": NUM_DRAWS},
        "verifier": "countdown@1",
        "k": KS,
        "confidence": 0.95,
        "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 24},
        "probes": probes,
        "training": _training(random, steps[-1]),
        "examples": [_example(change, steps[-1]) for change in ("lost", "lost", "gained", "kept", "never")],
        "notes": ["The base and step 200 share prompt and stop rule."],
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
    values = {k: _pass_at_k(c, k) for k in KS}
    resampled = random.integers(0, len(c), (400, len(c)))
    estimates, differences = {}, {}
    for k in KS:
        lo, hi = np.quantile(values[k][resampled].mean(1), [0.025, 0.975])
        estimates[str(k)] = {
            "estimate": float(values[k].mean()),
            "se_draws": 0.002 if k <= 256 // 2 else None,
            "lo": float(lo),
            "hi": float(hi),
        }
        change = values[k] - _pass_at_k(base, k)
        low, high = np.quantile(change[resampled].mean(1), [0.005, 0.995])
        verdict = "gain" if low > 0 else "loss" if high < 0 else "cannot tell"
        differences[str(k)] = {
            "difference": float(change.mean()),
            "lo": float(low),
            "hi": float(high),
            "verdict": verdict,
        }
    total, correct = NUM_DRAWS * len(c), int(c.sum())
    unparsed = int(total * 0.1 * np.exp(-step / 80))
    cells = {
        "both": int(((c > 0) & (base > 0)).sum()),
        "base_only": int(((c == 0) & (base > 0)).sum()),
        "rl_only": int(((c > 0) & (base == 0)).sum()),
        "neither": int(((c == 0) & (base == 0)).sum()),
        "mcnemar_p": 0.004,
    }
    return {
        "step": step,
        "arm_id": f"{step:016x}",
        "num_draws": total,
        "seconds": 20.1,
        "complete": True,
        "pass@k": estimates,
        "bounds_if_errors": None,
        "outcomes": {
            "correct": correct,
            "wrong": total - correct - unparsed - 200,
            "unparsed": unparsed,
            "truncated": 200,
            "timeout": 0,
            "error": 0,
        },
        "truncation_rate": 200 / total,
        "no_answer_rate": unparsed / total,
        "mean_tokens": 9.1 + step / 200,
        "distinct_correct": 12.3 * float(np.exp(-step / 120)),
        "against_base": {"k": differences, "crossing": [4, 16], "cells": cells} if step else None,
        "gained": [f"p{i}" for i in np.flatnonzero((c > 0) & (base == 0))],
        "lost": [f"p{i}" for i in np.flatnonzero((c == 0) & (base > 0))],
    }


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


def _example(change: str, last: int) -> dict[str, Any]:
    """Returns one example with correct and wrong draws, before and after."""
    texts = [("correct", "3*5+7", "equals 22"), ("wrong", "3+5+7", "equals 15"), ("unparsed", "3*(5", "not closed")]
    draws = [
        {"step": step, "draw_index": i, "outcome": o, "text": text, "reason": reason, "truncated": o == "unparsed"}
        for step in sorted({0, last})
        for i, (o, text, reason) in enumerate(texts)
    ]
    return {"problem_id": "0123456789abcdef", "question": "3 5 7=22:", "answer": "22", "change": change, "draws": draws}
