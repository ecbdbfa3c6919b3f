"""Measure the store at scale: python scripts/bench_store.py [--num 1000000 10000000] [--text model repetitive].

For each number of draws and kind of text: draws and verdicts written a second (sealing included), bytes a draw with its
verdict, and, each in a new process: seconds to open, to count, and to compare two such stores (2,000 resamples at up
to 11 values of k), with processor seconds (start-up included) and the
peak of memory. Draws have 500 characters, on 5,000 problems, as one writer makes them.

`model` is text as a model writes it: a random walk over the words of real completions (scripts/smollm2_gsm8k.jsonl), no
two alike. `repetitive` is one sentence over and over.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from probes.store.arm import Sampling, declared_arm
from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.problems import Problem, ProblemSet
from rlvr.verifiers.verdicts import Outcome, Verdict

NUM_PROBLEMS, NUM_CHARS, CHUNK = 5_000, 500, 100  # draws of a problem that are stored together
WORDS = Path(__file__).with_name("smollm2_gsm8k.jsonl")
OPEN, COUNT, COMPARE = "open", "count", "compare"


def texts(kind: str) -> Callable[[], str]:
    """Returns a function that makes one completion."""
    if kind == "repetitive":
        return lambda: ("x = 3 * 4 + 5; so the answer is 17. " * 14)[:NUM_CHARS]
    follows: dict[str, list[str]] = defaultdict(list)
    for line in WORDS.read_text(encoding="utf-8").splitlines():
        words = json.loads(line)["completion"].split(" ")
        for word, after in pairwise(words):
            follows[word].append(after)
    chance, starts = random.Random(0), sorted(follows)  # noqa: S311 - text, not a secret
    long = " ".join(walk(follows, starts, chance, 20_000_000))
    return lambda: long[(at := chance.randrange(len(long) - NUM_CHARS)) : at + NUM_CHARS]


def walk(follows: dict[str, list[str]], starts: list[str], chance: random.Random, num: int) -> list[str]:
    """Returns words that follow each other as they do in the text that was read."""
    words = [chance.choice(starts)]
    while len(words) < num:
        words.append(chance.choice(follows.get(words[-1]) or starts))
    return words


def fill(path: Path, num: int, kind: str) -> dict[str, float]:
    """Makes a store of judged draws; returns draws and verdicts a second and bytes a draw."""
    problems = ProblemSet.of("scale", [Problem(f"{number}?", "1") for number in range(NUM_PROBLEMS)])
    store = ProbeStore.create(path, declared_arm("scale", {}, Sampling()), problems)
    make, per_problem = texts(kind), num // NUM_PROBLEMS
    chance = random.Random(1)  # noqa: S311
    seconds, used = {"draws": 0.0, "verdicts": 0.0}, {"draws": 0.0, "verdicts": 0.0}
    with store.writing():
        for first in range(0, per_problem, CHUNK):
            for begin in range(0, NUM_PROBLEMS, 20):  # 2,000 draws a transaction
                draws = [
                    Draw(problem.problem_id, index, make(), 120, False, "vllm")
                    for problem in problems[begin : begin + 20]
                    for index in range(first, min(first + CHUNK, per_problem))
                ]
                verdicts = [verdict_of(chance) for _ in draws]
                for what in seconds:
                    began, used_before = time.perf_counter(), time.process_time()
                    if what == "draws":
                        store.add_draws(draws)
                    else:
                        store.add_verdicts("math@5", zip(draws, verdicts, strict=True))
                    seconds[what] += time.perf_counter() - began
                    used[what] += time.process_time() - used_before
    size = sum(file.stat().st_size for file in path.iterdir())
    return {
        "draws_per_s": round(num / seconds["draws"]),
        "verdicts_per_s": round(num / seconds["verdicts"]),
        "draws_per_cpu_s": round(num / used["draws"]),
        "verdicts_per_cpu_s": round(num / used["verdicts"]),
        "bytes_a_draw": round(size / num, 1),
    }


def verdict_of(chance: random.Random) -> Verdict:
    """Returns a verdict as the math verifier gives them."""
    answer = chance.randrange(200)
    return Verdict(Outcome.CORRECT if answer < 40 else Outcome.WRONG, str(answer), "")


def work(what: str, stores: list[Path]) -> dict[str, float]:
    """Does one thing with a store, or two; returns seconds and the peak of memory."""
    from probes.statistics.intervals import compare_counts

    started = time.perf_counter()
    opened = [ProbeStore.open_existing(path) for path in stores]
    if what == OPEN:
        for store in opened:
            store.problems()
            with store.files.opened("draws"), store.files.opened("verdicts"):
                pass
    else:
        counts = [store.counts() for store in opened]
        if what == COMPARE:
            ks = [2**power for power in range(11) if 2**power <= counts[0].largest_k]
            compare_counts(counts[0], counts[1], ks, num_resamples=2000)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds, used = time.perf_counter() - started, time.process_time()
    return {"seconds": round(seconds, 2), "cpu_s": round(used, 2), "peak_mib": round(peak)}


def measure(num: int, kind: str) -> dict[str, object]:
    """Returns all figures of one store."""
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "s", Path(folder) / "t"
        found: dict[str, object] = dict(fill(path, num, kind))
        shutil.copytree(path, other)
        for what, stores in ((OPEN, [path]), (COUNT, [path]), (COMPARE, [path, other])):
            command = [sys.executable, __file__, "--work", what, *map(str, stores)]
            found[what] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        return found


def main() -> None:
    """Prints JSON by kind of text and number of draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--text", nargs="+", choices=("model", "repetitive"), default=["model", "repetitive"])
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        what, *stores = options.work
        print(json.dumps(work(what, [Path(each) for each in stores])))
        return
    for kind in options.text:
        for num in options.num:
            print(json.dumps({"text": kind, "num": num, **measure(num, kind)}), flush=True)


if __name__ == "__main__":
    main()
