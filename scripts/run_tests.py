"""Run the tests, part by part: `make test`.

    suite     everything but vLLM, in one process more than there are cores, since many wait for others; at most four
    kernels   the tests that train or sample, again, with torch's plainest kernels
    vllm      the tests of vLLM, in an environment of their own that is made first

Says at its start what it will do and how long each part took when last measured (tests/durations.json; `--record`
measures anew). Every part runs, whatever became of the one before. Exit code: 0 if all passed, 1 if a test failed, 3 if
none failed but the environment of vLLM could not be made.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
DURATIONS = ROOT / "tests" / "durations.json"
REPORT = ROOT / ".pytest_cache" / "suite.xml"
NUM_PROCESSES = min(4, (os.cpu_count() or 1) + 1)
# Nothing here may depend on the last digits; other kernels make others.
NUMERIC = (
    "tests/rlvr/algorithms",
    "tests/rlvr/models",
    "tests/probes/engines/test_transformers_engine.py",
    "tests/probes/scoring",
    "tests/probes/sampling/test_callback.py",
)
IN_PARALLEL = ("-n", str(NUM_PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder")
FAILED, NO_ENVIRONMENT = 1, 3


@dataclass(frozen=True)
class Part:
    """One part of the tests.

    Attributes:
        name: of the part.
        said: what it does, for people.
        commands: run one after the other, as long as each succeeds.
        environment: variables that are set for it.
    """

    name: str
    said: str
    commands: tuple[tuple[str, ...], ...]
    environment: dict[str, str] = field(default_factory=dict)


def parts() -> list[Part]:
    """Returns what `make test` does."""
    pytest = (sys.executable, "-m", "pytest")
    return [
        Part(
            "suite",
            f"everything but vLLM, in {NUM_PROCESSES} processes",
            ((*pytest, *IN_PARALLEL, "-o", "junit_duration_report=total", f"--junitxml={REPORT}"),),
        ),
        Part(
            "kernels",
            "what trains or samples, again, with torch's plainest kernels",
            ((*pytest, *IN_PARALLEL, *NUMERIC),),
            {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "AVX2"},
        ),
        Part(
            "vllm",
            "the tests of vLLM; its environment takes 4 minutes to make, once",
            (
                ("bash", "scripts/make_vllm_env.sh"),
                (str(ROOT / ".venv-vllm/bin/python"), "-m", "pytest", "tests/with_vllm"),
            ),
        ),
    ]


def run(part: Part) -> tuple[int, float]:
    """Returns the exit code of a part, and its seconds; `NO_ENVIRONMENT` where its first of two commands failed."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHON": os.environ.get("PYTHON", sys.executable), **part.environment}
    for at, command in enumerate(part.commands):
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        if code:
            is_setup = at + 1 < len(part.commands)
            return NO_ENVIRONMENT if is_setup else FAILED, time.monotonic() - started
    return 0, time.monotonic() - started


def measured() -> dict[str, dict[str, float]]:
    """Returns seconds by part and by file, as last measured."""
    return json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {"parts": {}, "files": {}}


def seconds_by_file(report: Path) -> dict[str, float]:
    """Returns the seconds of each test file in a JUnit report."""
    found: dict[str, float] = defaultdict(float)
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        words = case.attrib["classname"].split(".")
        while words and not (ROOT / "/".join(words)).with_suffix(".py").is_file():
            words.pop()  # the class of a test
        found["/".join(words) + ".py"] += float(case.attrib["time"])
    return {name: round(seconds, 1) for name, seconds in sorted(found.items(), key=lambda item: -item[1])}


def main() -> None:
    """Runs the parts that are asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help="suite, kernels, vllm; all by default")
    parser.add_argument("--record", action="store_true", help="write the seconds to tests/durations.json")
    arguments = parser.parse_args()
    chosen = [part for part in parts() if not arguments.part or part.name in arguments.part]
    before = measured()
    for part in chosen:
        known = before["parts"].get(part.name)
        took = f"{known / 60:.0f} min on two idle cores when last measured" if known else "not measured yet"
        print(f"{part.name}: {part.said} ({took})", flush=True)
    results = {}
    for part in chosen:
        print(f"\n== {part.name}", flush=True)
        results[part.name] = run(part)
    print()
    said = {0: "passed", FAILED: "FAILED", NO_ENVIRONMENT: "NOT RUN: its environment could not be made"}
    for name, (code, seconds) in results.items():
        print(f"{name}: {said[code]}, {seconds:.0f} s", flush=True)
    if arguments.record:
        took = {**before["parts"], **{name: round(seconds) for name, (_, seconds) in results.items()}}
        files = seconds_by_file(REPORT) if "suite" in results else before["files"]
        DURATIONS.write_text(json.dumps({"parts": took, "files": files}, indent=1) + "\n")
    codes = [code for code, _ in results.values()]
    sys.exit(FAILED if FAILED in codes else max(codes, default=0))


if __name__ == "__main__":
    main()
