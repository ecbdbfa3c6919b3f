"""Faults, really made: 50 kills, torn files, a second program, a clock set back. Nothing durable is lost or doubled."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from probes.store.store import ProbeStore
from probes.upkeep.doctor import examine, worst
from probes.upkeep.repair import repair
from rlvr.errors import StoreError
from tests.limits import HANG_S
from tests.probes.sampling.test_probe import PLAN, PROBLEMS, draws_by_problem, open_store, probe

ROOT = Path(__file__).parents[3]

# Forks a prober, kills it at a random moment, 50 times; then lets one end. Each writes every seventh draw at once.
KILLER = """
    import json, os, random, signal, sys, threading, time
    from pathlib import Path
    from tqdm.auto import tqdm
    sys.path.insert(0, {root!r})
    from tests.probes.sampling.test_probe import PLAN, open_store, probe, ScriptedEngine, RATES, ARM

    class Slow(ScriptedEngine):
        def sample(self, requests):
            for batch in super().sample(requests):
                for draw in batch:
                    time.sleep(0.0004)
                    yield [draw]

    import probes.sampling.probe
    probes.sampling.probe.FLUSH_DRAWS = 7
    rng, killed = random.Random(3), 0
    while True:
        child = os.fork()
        if child == 0:
            tqdm.set_lock(threading.RLock())  # the one that forks share stays locked when its holder is killed
            probe(open_store(Path({path!r})), engine=Slow(RATES, ARM.arm_id))
            os._exit(0)
        if killed < 50:
            time.sleep(rng.uniform(0.0, 0.035))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            break
        killed += 1
    print(json.dumps({{"killed": killed}}))
"""


@pytest.mark.slow
def test_fifty_kills_at_random_moments_change_nothing(tmp_path):
    code = textwrap.dedent(KILLER).format(root=str(ROOT), path=str(tmp_path / "killed"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    whole, killed = open_store(tmp_path / "whole"), ProbeStore.open_existing(tmp_path / "killed")
    probe(whole)
    assert json.loads(done.stdout)["killed"] == 50
    assert killed.counts().c_P.tolist() == whole.counts().c_P.tolist()
    assert draws_by_problem(killed) == draws_by_problem(whole)
    assert not [finding for finding in examine(tmp_path / "killed") if finding.level == "error"]


def torn(file: Path) -> None:
    """Cuts a file in the middle of a page, as a disk that loses its last blocks does."""
    size = file.stat().st_size
    with file.open("r+b") as handle:
        handle.truncate(size // 2 - 100)


@pytest.mark.parametrize("kind", ["draws", "verdicts"])
def test_a_torn_file_is_named_and_its_rows_can_be_made_again(tmp_path, kind):
    store = open_store(tmp_path / "s")
    probe(store)
    expected, numbers = store.counts().c_P.tolist(), draws_by_problem(store)
    file = tmp_path / "s" / f"{kind}-00000.sqlite"
    torn(file)
    findings = examine(tmp_path / "s")
    assert worst(findings) == "error"
    assert str(file) in findings[0].message
    assert "--repair sets the file aside" in findings[0].message
    with pytest.raises(StoreError, match=file.name):
        probe(store)
    assert "set aside" in repair(tmp_path / "s")[0]
    assert worst(examine(tmp_path / "s")) == "owed"
    probe(store)
    assert store.counts().c_P.tolist() == expected
    assert draws_by_problem(store) == numbers


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("problems.jsonl", "", r"no problems found|holds set"),
        ("problems.jsonl", '{"question": "1', "files"),
        ("plan.json", "{", "cannot be read"),
        ("plan.json", '{"looks": []}', "is not known"),
    ],
)
def test_torn_descriptions_are_named(tmp_path, name, text, message):
    import re

    store = open_store(tmp_path / "s")
    probe(store)
    (tmp_path / "s" / name).write_text(text)
    findings = examine(tmp_path / "s")
    assert worst(findings) == "error"
    assert re.search(message, f"{findings[0].check} {findings[0].message}")


def test_a_second_program_is_refused_and_the_first_goes_on(tmp_path):
    store = open_store(tmp_path / "s")
    with store.writing():
        code = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
            "from pathlib import Path\n"
            "from tests.probes.sampling.test_probe import open_store, probe\n"
            f"probe(open_store(Path({str(tmp_path / 's')!r})))"
        )
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "another process is writing here; wait until it ends" in second.stderr
    probe(store)
    assert worst(examine(tmp_path / "s")) in (None, "confound", "note")


def test_two_writers_that_made_the_same_draws_are_found(tmp_path):
    """Copied files of another writer: nothing is counted until one copy is set aside."""
    store = open_store(tmp_path / "s")
    probe(store)
    expected = store.counts().c_P.tolist()
    for kind in ("draws", "verdicts"):
        source = tmp_path / "s" / f"{kind}-00000.sqlite"
        (tmp_path / "s" / f"{kind}-00001.sqlite").write_bytes(source.read_bytes())
    with pytest.raises(StoreError, match="two writers made draw 0"):
        store.counts()
    assert [finding.check for finding in examine(tmp_path / "s") if finding.level == "error"] == ["files"]
    repair(tmp_path / "s")
    assert store.counts().c_P.tolist() == expected


def test_a_clock_set_back_changes_nothing(tmp_path, monkeypatch):
    """Each reading of the wall clock lies an hour before the one before."""
    reference = open_store(tmp_path / "reference")
    probe(reference)
    now = [time.time()]

    def backwards():
        now[0] -= 3600
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    store = open_store(tmp_path / "s")
    probe(store, problems=list(PROBLEMS)[:4])
    probe(store)
    assert store.counts().c_P.tolist() == reference.counts().c_P.tolist()
    assert store.plan() == PLAN


def test_a_process_killed_while_it_holds_the_lock_blocks_nobody(tmp_path):
    store = open_store(tmp_path / "s")
    child = os.fork()
    if child == 0:
        with store.writing():
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    probe(store)
    assert worst(examine(tmp_path / "s")) in (None, "confound", "note")
