"""Run the longer proofs: `make proofs`, or `python scripts/proofs.py NAME...`.

    kernels   the whole suite under each of torch's and oneDNN's choices of kernels that this processor has
    seeds     what trains or samples, with five other tiny bases: no test may depend on what a base happens to write
    busy      the whole suite with two busy loops beside it
    hostile   a thousand pathological answers to the math verifier

Prints one line each, as docs/results.md has them: what ran, what it came to, how long it took.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from run_tests import IN_PARALLEL, NUMERIC, ROOT  # beside this script

SEEDS = (2, 3, 4, 5, 6)
WITH_A_BASE = (*NUMERIC, "tests/rlvr/training", "tests/rlvr/jobs/test_train.py", "tests/probes/commands")
BUSY = "while True: pass"


def kernels() -> Iterator[tuple[str, tuple[str, ...], dict[str, str]]]:
    """Yields (name, tests, environment) for each choice of kernels that the processor has."""
    import torch

    best = torch.backends.cpu.get_cpu_capability().lower()
    choices = ("default", "avx2", "avx512")
    for choice in choices[: choices.index(best) + 1] if best in choices else ("default",):
        yield f"kernels, ATEN_CPU_CAPABILITY={choice}", (), {"ATEN_CPU_CAPABILITY": choice}
    yield "kernels, ONEDNN_MAX_CPU_ISA=AVX2", (), {"ONEDNN_MAX_CPU_ISA": "AVX2"}


def seeds() -> Iterator[tuple[str, tuple[str, ...], dict[str, str]]]:
    """Yields (name, tests, environment) for each seed of the tiny base."""
    for seed in SEEDS:
        yield f"seeds, tiny base of seed {seed}", WITH_A_BASE, {"RLVR_TEST_SEED": str(seed)}


def busy() -> Iterator[tuple[str, tuple[str, ...], dict[str, str]]]:
    """Yields the whole suite, which `main` runs with busy loops beside it."""
    yield "busy, two loops beside it", (), {}


def hostile() -> Iterator[tuple[str, tuple[str, ...], dict[str, str]]]:
    """Yields the test of pathological answers, with ten times as many as in the suite."""
    test = "tests/rlvr/verifiers/answers/test_math_verifier.py::test_many_pathological_answers_end_at_their_deadlines"
    yield "hostile, 1,000 pathological answers", (test,), {"RLVR_NUM_PATHOLOGICAL": "1000"}


PROOFS = {"kernels": kernels, "seeds": seeds, "busy": busy, "hostile": hostile}


@contextmanager
def busy_loop() -> Iterator[None]:
    """Keeps one core busy for as long as the block runs."""
    with subprocess.Popen([sys.executable, "-c", BUSY]) as process:
        try:
            yield
        finally:
            process.kill()


def run(name: str, tests: tuple[str, ...], environment: dict[str, str], num_busy: int) -> bool:
    """Runs tests, prints a line, and returns whether they passed."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", *IN_PARALLEL, *tests]
    with ExitStack() as stack:
        for _ in range(num_busy):
            stack.enter_context(busy_loop())
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=False
        )
    came_to = re.findall(r"^=*\s*(.*\b(?:passed|failed|error)\b.*?) in ", done.stdout, re.MULTILINE)
    print(
        f"| {name} | {came_to[-1] if came_to else 'no result'} | {(time.monotonic() - started) / 60:.1f} min |",
        flush=True,
    )
    if done.returncode:
        print(done.stdout[-4000:], file=sys.stderr)
    return done.returncode == 0


def main() -> None:
    """Runs the proofs that are asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("proof", nargs="*", help="all by default")
    chosen = parser.parse_args().proof or list(PROOFS)
    if unknown := set(chosen) - set(PROOFS):
        parser.error(f"{', '.join(sorted(unknown))} is not known; use {', '.join(PROOFS)}.")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    passed = [run(*each, num_busy=2 if name == "busy" else 0) for name in chosen for each in PROOFS[name]()]
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
