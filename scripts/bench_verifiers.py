"""Verdicts per second of the math verifier against math-verify, called in one process, one answer after the other.

    probe       completions of a real probe (`smollm2_gsm8k.jsonl`: SmolLM2-135M-Instruct on GSM8K), duplicates included
    distinct    answers that are all different and that strings do not decide
    overlap     a probe with verification against the same probe's generation alone

Record the completions anew from a store of draws:

    python scripts/bench_verifiers.py --record STORE
"""

import argparse
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from rlvr.problems import Problem
from rlvr.verifiers.math import MathVerifier

RECORDED = Path(__file__).parent / "smollm2_gsm8k.jsonl"
TAIL_CHARS = 200  # of a completion: where its answer stands
Item = tuple[Problem, str]


def recorded_items() -> list[Item]:
    """Returns the recorded completions with their gold answers."""
    rows = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    return [(Problem(row["problem"], row["answer"]), row["completion"]) for row in rows]


def distinct_items(num: int) -> list[Item]:
    """Returns answers that are all different; half of them are right."""
    return [
        (Problem(f"q{i}", rf"\frac{{{i}x+1}}{{{i + 7}}}"), rf"So it is $\boxed{{({i * (1 + i % 2)}x+1)/{i + 7}}}$.")
        for i in range(1, num + 1)
    ]


def serial_seconds(items: Sequence[Item]) -> tuple[float, list[bool]]:
    """Returns seconds of math-verify, and its verdicts."""
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    start = time.perf_counter()
    found = [bool(verify(parse(f"${problem.answer}$"), parse(completion))) for problem, completion in items]
    return time.perf_counter() - start, found


def our_seconds(items: Sequence[Item]) -> tuple[float, list[bool]]:
    """Returns seconds of the verifier with its workers started, and its verdicts."""
    verifier = MathVerifier()
    verifier.verify([(Problem("warm-up", "y+1"), r"\boxed{1+y}")])
    start = time.perf_counter()
    found = [verdict.correct for verdict in verifier.verify(items)]
    seconds = time.perf_counter() - start
    verifier.close()
    return seconds, found


def compare(items: Sequence[Item], num_rounds: int) -> dict[str, float]:
    """Returns the best times of both over the rounds, taken in turn, and how many verdicts differ."""
    serial_seconds(items[:20])  # its first use is slow
    rounds = [(serial_seconds(items), our_seconds(items)) for _ in range(num_rounds)]
    serial, ours = min(serial[0] for serial, _ in rounds), min(ours[0] for _, ours in rounds)
    differ = sum(a != b for a, b in zip(rounds[0][0][1], rounds[0][1][1], strict=True))
    return {
        "num": len(items),
        "num_distinct": len({(problem.answer, completion) for problem, completion in items}),
        "serial_per_s": len(items) / serial,
        "ours_per_s": len(items) / ours,
        "ratio": serial / ours,
        "num_different": differ,
    }


def bench_verifiers(num_rounds: int = 3) -> dict[str, dict[str, float]]:
    """Returns both comparisons."""
    return {"probe": compare(recorded_items(), num_rounds), "distinct": compare(distinct_items(1000), num_rounds)}


def record(store: Path) -> None:
    """Writes the tails of a store's completions and their gold answers."""
    from probes.store import ProbeStore

    opened = ProbeStore.open_existing(store)
    problems = {problem.problem_id: (row, problem.answer) for row, problem in enumerate(opened.problems())}
    draws = sorted(opened.draws(), key=lambda draw: (problems[draw.problem_id][0], draw.draw_index))
    with RECORDED.open("w", encoding="utf-8") as file:
        for draw in draws:
            row, answer = problems[draw.problem_id]
            line = {"problem": f"problem {row}", "answer": answer, "completion": draw.completion[-TAIL_CHARS:]}
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, metavar="STORE")
    args = parser.parse_args()
    if args.record:
        record(args.record)
    else:
        print(json.dumps(bench_verifiers(), indent=1))
