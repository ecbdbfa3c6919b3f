"""Readers change nothing, run nothing and delete nothing, whatever lies in the folder; a cut commit is seen as one."""

import os
import shutil
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from probes.store.store import ProbeStore
from rlvr.errors import StoreError
from rlvr.verifiers.verdicts import Outcome
from tests.probes.store.test_store import ARM, IDS, PROBLEMS, draw, verdict

CUT = """
    import os, sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("PRAGMA cache_spill = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE draws SET completion = 'half ' || completion || hex(zeroblob(3000))")
    print("changed", flush=True)
    sys.stdin.read()
"""


def make(folder: Path, num: int = 40) -> ProbeStore:
    store = ProbeStore.create(folder, ARM, PROBLEMS)
    draws = [draw(key, index, f"text {index} " * 50) for key in IDS for index in range(num)]
    store.add_draws(draws)
    store.add_verdicts("v", [(each, verdict(Outcome.CORRECT)) for each in draws])
    return store


def cut_a_commit(store: ProbeStore) -> Path:
    """Kills a writer whose changes have reached the file, and returns the journal that it left."""
    file = store.path / "draws-00000.sqlite"
    command = [sys.executable, "-c", textwrap.dedent(CUT), str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "changed\n"
        os.kill(process.pid, signal.SIGKILL)
    journal = file.with_name(file.name + "-journal")
    assert journal.stat().st_size > 512
    return journal


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_a_reader_sees_the_last_commit_and_leaves_the_journal_alone(tmp_path):
    store = make(tmp_path / "s")
    expected = sorted(store.draws(), key=lambda each: (each.problem_id, each.draw_index))
    cut_a_commit(store)
    alone = tmp_path / "alone.sqlite"
    shutil.copy(store.path / "draws-00000.sqlite", alone)
    with closing(sqlite3.connect(alone)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() != ("ok",), "the file alone is half changed"
    before = state(store.path)
    again = ProbeStore.open_existing(store.path)
    assert sorted(again.draws(), key=lambda each: (each.problem_id, each.draw_index)) == expected
    assert again.counts().c_P.tolist() == [40, 40, 40]
    assert state(store.path) == before


def test_the_next_writer_rolls_the_cut_commit_back(tmp_path):
    store = make(tmp_path / "s")
    journal = cut_a_commit(store)
    with store.writing():
        assert len(list(store.draws())) == 120, "the writer reads what it is about to add to"
        store.add_draws([draw(IDS[0], 40)])
    assert not journal.exists()
    assert len(list(store.draws())) == 121
    assert not any(each.completion.startswith("half") for each in store.draws())


def test_a_journal_that_names_another_file_deletes_nothing(tmp_path):
    """SQLite deletes the super-journal that a journal names; here a file of the reader's."""
    store = make(tmp_path / "s")
    journal = cut_a_commit(store)
    victim = tmp_path / "precious"
    victim.write_bytes(b"")
    name = str(victim).encode()
    page = struct.unpack(">I", journal.read_bytes()[24:28])[0]  # of the locking byte: any number does
    trailer = struct.pack(">I", page) + name + struct.pack(">II", len(name), sum(struct.unpack(f"{len(name)}b", name)))
    journal.write_bytes(journal.read_bytes() + trailer + bytes.fromhex("d9d505f920a163d7"))
    before = state(store.path)
    with pytest.raises(StoreError, match="names a file that SQLite would delete"):
        list(ProbeStore.open_existing(store.path).draws())
    with pytest.raises(StoreError, match="names a file"):
        ProbeStore.open_existing(store.path).add_draws([draw(IDS[0], 40)])
    assert victim.exists()
    assert state(store.path) == before


@pytest.mark.parametrize("name", ["a?mode=rwc&x", "a#b", "a b%20c", "%61", "ü", "file:x"])
def test_odd_paths_are_those_files_and_no_others(name, tmp_path):
    store = make(tmp_path / name, num=2)
    assert len(list(ProbeStore.open_existing(store.path).draws())) == 6
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("CREATE VIEW v AS SELECT 1", "holds view 'v'"),
        ("CREATE TRIGGER t AFTER INSERT ON draws BEGIN DELETE FROM draws; END", "holds trigger 't'"),
        ("CREATE TABLE other (x)", "holds table 'other'"),
        ("CREATE INDEX i ON draws (engine)", "holds index 'i'"),
        ("ALTER TABLE draws ADD COLUMN extra TEXT", "has the columns"),
        ("ALTER TABLE draws ADD COLUMN g AS (hex(engine))", "has the columns"),
        ("ALTER TABLE draws RENAME TO d2; CREATE VIEW draws AS SELECT * FROM d2", "holds"),
        ("PRAGMA journal_mode = WAL", "write-ahead log"),
    ],
)
def test_what_is_not_our_table_is_refused_by_readers_and_writers(change, said, tmp_path):
    store = make(tmp_path / "s", num=2)
    with closing(sqlite3.connect(store.path / "draws-00000.sqlite")) as connection:
        connection.executescript(change)
    for act in (lambda: list(store.draws()), store.counts, lambda: store.add_draws([draw(IDS[0], 9)])):
        with pytest.raises(StoreError, match=said):
            act()


def test_a_huge_value_is_refused_before_it_takes_memory(tmp_path):
    store = make(tmp_path / "s", num=2)
    with closing(sqlite3.connect(store.path / "draws-00000.sqlite")) as connection, connection:
        connection.execute("UPDATE draws SET completion = hex(zeroblob(20000000))")
    with pytest.raises(StoreError, match="too big"):
        list(store.draws())


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"x" * 5000, b"SQLite format 3\0" + b"\1" * 4000])
def test_a_torn_file_is_one_clear_error_or_empty(content, tmp_path):
    store = make(tmp_path / "s", num=2)
    (store.path / "draws-00000.sqlite").write_bytes(content)
    if not content:
        assert list(store.draws()) == []
        return
    with pytest.raises(StoreError, match=r"draws-00000\.sqlite"):
        list(store.draws())


def test_a_store_that_may_not_be_written_is_read(tmp_path):
    store = make(tmp_path / "s", num=2)
    cut_a_commit(store)
    for path in (*store.path.iterdir(), store.path):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        assert store.counts().c_P.tolist() == [2, 2, 2]
    finally:
        store.path.chmod(0o700)


def test_a_bit_flip_in_a_draw_is_never_silent(tmp_path):
    """Every bit of a part of the file, one at a time: the draws are as they were, or there is an error."""
    store = make(tmp_path / "s", num=1)
    file = store.path / "draws-00000.sqlite"
    whole = file.read_bytes()
    expected = sorted(store.draws(), key=lambda each: each.problem_id)
    at = whole.index(b"text 0")
    seen = 0
    for bit in range(8 * (at - 80), 8 * (at + 40)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        try:
            found = sorted(ProbeStore.open_existing(store.path).draws(), key=lambda each: each.problem_id)
        except StoreError:
            seen += 1
        else:
            assert found == expected
    assert seen > 500
    file.write_bytes(whole)
    shutil.rmtree(store.path)


def test_bit_flips_in_the_json_files_are_seen(tmp_path):
    from probes.statistics.plan import Plan

    store = make(tmp_path / "s", num=1)
    store.set_plan(Plan((1,)))
    for name, text in (("plan.json", b"1"), ("probe.json", b"float32"), ("problems.jsonl", b"1+1")):
        file = store.path / name
        whole = file.read_bytes()
        changed = bytearray(whole)
        changed[whole.index(text)] ^= 2
        file.write_bytes(changed)
        with pytest.raises(StoreError):
            ProbeStore.open_existing(store.path).counts()
        file.write_bytes(whole)
    assert ProbeStore.open_existing(store.path).counts().c_P.tolist() == [1, 1, 1]
