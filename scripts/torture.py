"""Torture stores and runs: `python scripts/torture.py --rounds 200`, or `--rounds 20 --kinds kill flip torn`.

Each round makes a fault of one kind, and holds what is read afterwards against what was there, or against a store that
nothing happened to:

    kill      a prober is killed at a random moment again and again, until one ends; the store equals the untouched one
    flip      one bit of one file is flipped; readers return what was there, or an error
    torn      a file is cut, or a block of it overwritten; the same
    writers   a plain prober and one of two processes start together; no draw is made twice
    disk      the file system is full in the middle, then has space; the store equals the untouched one (needs root)
    copy      the store is copied while it is written; each copy is whole and has what was durable before it began
    train     `rlvr train` is killed at a random moment, then runs to its end; probes and model equal an untouched run's
              (a minute a round; not among the defaults)

Journals are sealed after a few dozen draws, so a store has files of both formats, and kills find writers at sealing.

Prints one line a kind, and exits with 1 unless lost, doubled and silently changed are all 0:

    | kind | rounds | faults | draws | lost | doubled | silently changed | errors said |
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

import probes.sampling.probe
from probes.engines import Request
from probes.engines.scripted import ScriptedEngine
from probes.sampling.probe import Measurement, render_prompts, run_probe
from probes.statistics.plan import Plan, shard
from probes.store import writer_files
from probes.store.arm import Sampling, declared_arm
from probes.store.draws import Draw
from probes.store.index import ProbeIndex
from probes.store.store import ProbeStore
from probes.upkeep.backup import back_up
from probes.upkeep.doctor import examine
from rlvr.errors import RlvrError, StoreFullError
from rlvr.problems import Problem, ProblemSet
from rlvr.problems.prompts import PromptFormat
from rlvr.verifiers import Verdict, make_verifier

ROOT = Path(__file__).parent.parent
ARM = declared_arm("scripted", {"template": "{question}"}, Sampling())
PROBLEMS = ProblemSet.of("torture", [Problem(f"{number}?", "right") for number in range(8)])
RATES = dict(zip([problem.problem_id for problem in PROBLEMS], (0, 0.01, 0.05, 0.2, 0.5, 0.8, 0.97, 1), strict=True))
PROMPTS = render_prompts(PROBLEMS, PromptFormat(chat="plain"), None)
WHAT = Measurement(PROBLEMS, make_verifier("exact"), Plan.sequential(64, stop_at=4, first_look=8))
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # equal runs have equal digits then
QUIET: dict[str, Any] = {"check": True, "env": ONE_THREAD, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
PADDING = " " * 400  # so that a file has some pages
SEAL_BYTES = 1 << 16


@dataclass
class Tally:
    """What came of the rounds of one kind."""

    rounds: int = 0
    faults: int = 0
    draws: int = 0
    lost: int = 0
    doubled: int = 0
    changed: int = 0
    said: Counter[str] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, doubled or changed in silence."""
        return not (self.lost or self.doubled or self.changed)

    def row(self, kind: str) -> str:
        """Returns the line of a table."""
        numbers = (self.rounds, self.faults, self.draws, self.lost, self.doubled, self.changed, sum(self.said.values()))
        return f"| {kind} | {' | '.join(map(str, numbers))} |"


class SlowEngine(ScriptedEngine):
    """Takes its time over each draw, so that a kill finds it at work."""

    def sample(self, requests: Sequence[Request]) -> Iterator[Sequence[Draw]]:
        """Yields the draws one by one."""
        for batch in super().sample(requests):
            for draw in batch:
                time.sleep(0.0003)
                yield [Draw(draw.problem_id, draw.draw_index, draw.completion + PADDING, 1, False, draw.engine)]


def make_store(path: Path) -> ProbeStore:
    """Returns the store at a path, made if absent."""
    store = ProbeStore.create(path, ARM, PROBLEMS)
    store.set_plan(WHAT.plan)
    return store


def probe(path: Path, process: int = 0, num_processes: int = 1) -> None:
    """Completes a store, or one process's share of it."""
    mine = shard(PROBLEMS, process, num_processes)
    engine = SlowEngine(RATES, ARM.arm_id)
    run_probe(engine, ProbeStore(path, process), mine, PROMPTS, WHAT.plan, WHAT.verifier)


def fork(work: Callable[[], None]) -> int:
    """Starts a process that works and ends; returns its id."""
    child = os.fork()
    if child == 0:
        tqdm.set_lock(threading.RLock())  # the one that forks share stays locked when its holder is killed
        code = 0
        try:
            work()
        except RlvrError as error:
            print(error, file=sys.stderr)
            code = 2
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            os._exit(code)
    return child


def content(path: Path) -> tuple[dict[tuple[str, int], str], dict[str, dict[int, Verdict]], list[int]]:
    """Returns draws, verdicts and counts of a store, read as any reader does."""
    store = ProbeStore.open_existing(path)
    draws = {(draw.problem_id, draw.draw_index): draw.completion for draw in store.draws()}
    verifier = store.require_verifier()
    verdicts = {problem.problem_id: store.verdicts(verifier, problem.problem_id) for problem in store.problems()}
    return draws, verdicts, store.counts(verifier).c_P.tolist()


def kill(folder: Path, rng: random.Random, tally: Tally, whole: Path) -> None:
    """Kills a prober until one ends before its kill; each lives a little longer than the one before, on any machine."""
    path = folder / "s"
    make_store(path)
    longest_s = 0.12
    while True:
        child = fork(lambda: probe(path))
        time.sleep(rng.uniform(0, longest_s))
        longest_s *= 1.05
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code >= 0:
            break
        tally.faults += 1
    assert code == 0, f"the prober ended with exit code {code}"
    hold(path, whole, tally)


def hold(path: Path, whole: Path, tally: Tally) -> None:
    """Counts how a store differs from one that nothing happened to."""
    found, expected = content(path), content(whole)
    tally.draws += len(found[0])
    tally.lost += len(expected[0].keys() - found[0].keys())
    tally.doubled += sum(1 for _ in ProbeStore.open_existing(path).draws()) - len(found[0])
    tally.changed += found[1:] != expected[1:] or any(found[0].get(key) != text for key, text in expected[0].items())
    tally.said.update(finding.check for finding in examine(path) if finding.level == "error")


def flip(folder: Path, rng: random.Random, tally: Tally, whole: Path) -> None:
    """Flips one bit in each of some copies."""
    damage(folder, rng, tally, whole, _flip)


def _flip(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def torn(folder: Path, rng: random.Random, tally: Tally, whole: Path) -> None:
    """Cuts a file, or overwrites a block of it, in each of some copies."""
    damage(folder, rng, tally, whole, _tear)


def _tear(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    at = rng.randrange(len(data))
    if rng.random() < 0.5:
        del data[at:]
    else:
        data[at : at + 512] = rng.randbytes(len(data[at : at + 512]))
    file.write_bytes(data)


def damage(
    folder: Path, rng: random.Random, tally: Tally, whole: Path, act: Callable[[Path, random.Random], None]
) -> None:
    """Damages one file of each of 20 copies; what is read then is what was there, or an error is said."""
    expected = content(whole)
    names = sorted(path.name for path in whole.iterdir() if path.stat().st_size and path.suffix != ".lock")
    for number in range(20):
        path = folder / str(number)
        shutil.copytree(whole, path)
        act(path / rng.choice(names), rng)
        tally.faults += 1
        try:
            found = content(path)
        except RlvrError as error:
            tally.said[type(error).__name__] += 1
            continue
        tally.draws += len(found[0])
        tally.changed += found != expected and not _answers_only(found, expected)


def _answers_only(found: tuple, expected: tuple) -> bool:  # type: ignore[type-arg]
    """Whether nothing differs but texts about verdicts, which can be made again and count nowhere."""
    outcomes = [
        {key: {i: v.outcome for i, v in rows.items()} for key, rows in each[1].items()} for each in (found, expected)
    ]
    return found[0] == expected[0] and found[2] == expected[2] and outcomes[0] == outcomes[1]


def writers(folder: Path, rng: random.Random, tally: Tally, whole: Path) -> None:
    """Starts a plain prober and a second one of two processes; then completes what is owed."""
    path = folder / "s"
    make_store(path)
    children = []
    for process, num_processes in rng.sample([(0, 1), (1, 2)], 2):
        children.append(fork(lambda p=process, n=num_processes: probe(path, p, n)))  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.02))
    refused = sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2 for child in children)
    tally.faults += 1
    tally.said["refused"] += refused
    probe(path)
    hold(path, whole, tally)


def disk(folder: Path, rng: random.Random, tally: Tally, whole: Path) -> None:
    """Fills a small file system; gives it space; completes what is owed."""
    with small_disk(folder / "disk", kilobytes=rng.randrange(60, 130)) as mount:
        try:
            make_store(mount / "s")
            probe(mount / "s")
        except StoreFullError:
            tally.faults += 1
        subprocess.run(["mount", "-o", "remount,size=64m", str(mount)], check=True)
        make_store(mount / "s")
        probe(mount / "s")
        hold(mount / "s", whole, tally)


@contextmanager
def small_disk(mount: Path, kilobytes: int) -> Iterator[Path]:
    """Yields a file system of a few pages."""
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(mount)], check=False)
    if made.returncode:
        raise SystemExit("error: kind disk mounts a small file system, which needs root; leave it out with --kinds.")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def copy(folder: Path, rng: random.Random, tally: Tally, whole: Path) -> None:
    """Copies a store some times while it is written."""
    path = folder / "s"
    make_store(path)
    child = fork(lambda: probe(path))
    number = 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(rng.uniform(0, 0.05))
        durable = sum(1 for _ in ProbeStore.open_existing(path).sizes())
        target = folder / f"copy-{number}"
        copied = back_up(path, target)
        tally.faults += 1
        tally.draws += copied
        tally.lost += max(0, durable - copied)
        tally.said.update(finding.check for finding in examine(target) if finding.level == "error")
        number += 1
    hold(path, whole, tally)


def train(folder: Path, rng: random.Random, tally: Tally, whole: Path) -> None:
    """Kills a training at a random moment, lets the same command end, and compares with an untouched run."""
    reference, killed = whole.parent / "run", folder / "run"
    if not (reference / "FINISHED").exists():
        subprocess.run(train_command(reference), **QUIET)
    with subprocess.Popen(
        train_command(killed), env=ONE_THREAD, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(rng.uniform(8, 30))
        process.kill()
    tally.faults += 1
    subprocess.run(train_command(killed), **QUIET)
    indices = [ProbeIndex(run) for run in (reference, killed)]
    tally.lost += len(indices[0].entries()) - len(indices[1].entries())
    for expected, found in zip(*(index.entries() for index in indices), strict=False):
        hold(indices[1].store_path(found), indices[0].store_path(expected), tally)
    weights = [(run / "model.safetensors").read_bytes() for run in (reference, killed)]
    if weights[0] != weights[1]:
        print(f"{killed}: another model than the untouched run's", file=sys.stderr)
    tally.changed += weights[0] != weights[1]


def train_command(run_dir: Path) -> list[str]:
    """Returns the command of a short training on the testbed."""
    flags = {"output_dir": run_dir, "max_steps": 6, "save_steps": 2, "save_total_limit": 1, "probe_steps": 2}
    flags |= {"warmup_steps": 0, "probe_k_max": 8, "probe_max_draws": 32, "report_to": "none"}
    flags |= {"probe_problems": "countdown:probe?num=8", "train_problems": "countdown:train?num=64"}
    words = [word for key, value in flags.items() for word in (f"--{key}", str(value))]
    return [sys.executable, "-m", "rlvr", "train", "--config", str(ROOT / "recipes/countdown-tiny/grpo.yaml"), *words]


KINDS = {"kill": kill, "flip": flip, "torn": torn, "writers": writers, "disk": disk, "copy": copy, "train": train}


def main() -> None:
    """Runs the rounds, a kind after the other in turn, and prints what came of them."""
    writer_files.SEAL_BYTES = SEAL_BYTES
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="over all kinds")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["kill", "flip", "torn", "writers", "copy"])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    probes.sampling.probe.FLUSH_DRAWS = 7  # many small transactions
    tallies = {kind: Tally() for kind in given.kinds}
    with tempfile.TemporaryDirectory(prefix="torture-") as root:
        whole = Path(root) / "whole"
        make_store(whole)
        probe(whole)
        for number in range(given.rounds):
            kind = given.kinds[number % len(given.kinds)]
            folder = Path(root) / f"{kind}-{number}"
            folder.mkdir()
            tallies[kind].rounds += 1
            KINDS[kind](folder, random.Random(f"{given.seed}/{number}"), tallies[kind], whole)  # noqa: S311 - repeatable
            shutil.rmtree(folder)
    print("| kind | rounds | faults | draws | lost | doubled | silently changed | errors said |")
    for kind, tally in tallies.items():
        print(tally.row(kind))
    sys.exit(0 if all(tally.is_good for tally in tallies.values()) else 1)


if __name__ == "__main__":
    main()
