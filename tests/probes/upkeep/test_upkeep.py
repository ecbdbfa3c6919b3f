"""Doctor, repair and backup: damage is seen, nothing is deleted, intact stores are called intact."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from probes.statistics.plan import Plan
from probes.store.store import ProbeStore
from probes.upkeep.backup import back_up
from probes.upkeep.doctor import examine, worst
from probes.upkeep.repair import repair
from rlvr.errors import StoreError
from rlvr.verifiers.verdicts import Outcome
from tests.probes.store.test_hostile_files import cut_a_commit, make, state
from tests.probes.store.test_store import ARM, IDS, PROBLEMS, draw, verdict

OLD = Path(__file__).parents[1] / "store" / "data"


def said(folder: Path) -> dict[str, str]:
    return {finding.check: f"{finding.level}: {finding.message}" for finding in examine(folder)}


def draws_of(folder: Path) -> list:
    return sorted(ProbeStore.open_existing(folder).draws(), key=lambda each: (each.problem_id, each.draw_index))


def test_nothing_is_said_of_a_store_that_is_whole(tmp_path):
    make(tmp_path / "a b?mode=rwc#x%20", num=2)
    assert set(said(tmp_path / "a b?mode=rwc#x%20")) == {"scripted"}


def test_a_cut_commit_is_no_damage_and_repair_undoes_it(tmp_path):
    store = make(tmp_path / "s")
    before = draws_of(store.path)
    journal = cut_a_commit(store)
    files = state(store.path)
    found = said(store.path)
    assert found["cut commit"].startswith("note: ")
    assert "Nothing that was durable is lost" in found["cut commit"]
    assert worst(examine(store.path)) not in ("error", "owed")
    assert state(store.path) == files
    assert repair(store.path) == ["draws-00000.sqlite: undid a commit that was cut"]
    assert not journal.exists()
    assert draws_of(store.path) == before
    assert "cut commit" not in said(store.path)


def test_owed_draws_are_named_while_others_wait_for_a_verdict(tmp_path):
    store = make(tmp_path / "s", num=4)
    store.set_plan(Plan((4, 8), stop_at=5))
    store.add_draws([draw(IDS[0], 4)])
    levels = [(finding.level, finding.check) for finding in examine(store.path)]
    assert levels[:2] == [("owed", "verdicts"), ("owed", "draws")]
    messages = " ".join(finding.message for finding in examine(store.path))
    assert "1 draws have no verdict of v" in messages
    assert "3 of 3 problems owe draws under v, at least 11" in messages
    assert "the same `probes sample` command" in messages
    assert "delete" not in messages


def test_changed_draws_are_set_aside_and_owed_again(tmp_path):
    store = make(tmp_path / "s", num=4)
    with closing(sqlite3.connect(store.path / "draws-00000.sqlite")) as connection, connection:
        connection.execute("UPDATE draws SET num_tokens = num_tokens + 1 WHERE draw_index = 3")
    assert said(store.path)["checksums"].startswith(f"error: {store.path}/draws-00000.sqlite: 3 draws do not match")
    (done,) = repair(store.path)
    assert done.endswith("set aside as draws-00000.sqlite.aside-1; 9 draws that can be read were kept")
    assert {each.draw_index for each in draws_of(store.path)} == {0, 1, 2}
    with closing(sqlite3.connect(store.path / "draws-00000.sqlite.aside-1")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM draws").fetchone() == (12,)
    assert repair(store.path) == []
    store.set_plan(Plan((4,)))
    assert "3 of 3 problems owe draws" in said(store.path)["draws"]


@pytest.mark.parametrize("kind", ["draws", "verdicts"])
def test_a_torn_file_is_set_aside_and_what_is_whole_is_kept(kind, tmp_path):
    store = make(tmp_path / "s", num=200)
    file = store.path / f"{kind}-00000.sqlite"
    whole = draws_of(store.path)
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(os.urandom(8192))
    assert said(store.path)["integrity"].startswith("error: ")
    (done,) = repair(store.path)
    assert f"{kind}-00000.sqlite.aside-1" in done
    kept = draws_of(store.path)
    assert set(kept) <= set(whole)
    if kind == "verdicts":
        assert kept == whole
        assert said(store.path)["verdicts"].startswith("owed: no draw is judged")
    else:
        assert len(kept) > 100


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    store = make(tmp_path / "s", num=2)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).suffix != ".sqlite")  # root may read everything
    found = said(store.path)
    assert "may not be read by this user, so nothing is known of it" in found["permission"]
    assert "damage" not in found["permission"]


def test_a_newer_file_is_not_touched(tmp_path):
    shutil.copytree(OLD / "version-1-verdicts-with-other", tmp_path / "s")
    with closing(sqlite3.connect(tmp_path / "s/draws-00000.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 9")
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").glob("*sqlite*")}
    assert "has version 9" in said(tmp_path / "s")["not read"]
    with pytest.raises(StoreError, match="has version 9"):
        repair(tmp_path / "s")
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").glob("*sqlite*")} == before


def test_rows_without_a_checksum_are_a_note(tmp_path):
    shutil.copytree(OLD / "version-1-verdicts-with-other", tmp_path / "s")
    assert said(tmp_path / "s")["version 1"].startswith("note: ")
    assert worst(examine(tmp_path / "s")) != "error"


def test_draws_that_two_writers_made_are_an_error_everywhere_until_repaired(tmp_path):
    first = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS, writer=0)
    first.add_draws([draw(key, index) for key in IDS for index in range(4)])
    second = ProbeStore(tmp_path / "s", writer=1)
    second.add_draws([draw(IDS[0], index, "other") for index in range(2, 6)])
    first.add_verdicts("v", [(each, verdict(Outcome.CORRECT)) for each in first.draws()])
    for act in (first.counts, lambda: first.verdicts("v", IDS[0]), lambda: list(first.unjudged("v"))):
        with pytest.raises(StoreError, match=r"two writers made draw 2 of problem .* and 1 more"):
            act()
    assert "two writers made draw 2" in said(first.path)["files"]
    (done,) = repair(first.path)
    assert "2 draws stand in the file of another writer, too" in done
    found = {each.draw_index: each.completion for each in first.draws(IDS[0])}
    assert found == {0: "2", 1: "2", 2: "2", 3: "2", 4: "other", 5: "other"}
    with closing(sqlite3.connect(first.path / "draws-00001.sqlite.aside-1")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM draws").fetchone() == (4,)


def test_repair_waits_for_nobody_who_writes(tmp_path):
    store = make(tmp_path / "s", num=2)
    with store.writing(), pytest.raises(StoreError, match="another process is writing here"):
        repair(store.path)


WRITER = """
    import sys
    from pathlib import Path
    from tests.probes.store.test_store import IDS, draw, verdict
    from probes.store.store import ProbeStore
    from rlvr.verifiers.verdicts import Outcome
    store = ProbeStore(Path(sys.argv[1]))
    with store.writing():
        for start in range(1000, 1_000_000, 16):
            draws = [draw(IDS[0], index, "x" * 500) for index in range(start, start + 16)]
            store.add_draws(draws)
            store.add_verdicts("v", [(each, verdict(Outcome.CORRECT)) for each in draws])
            print(start + 16, flush=True)
"""


def test_a_copy_of_a_store_that_is_written_is_consistent_and_holds_what_was_durable(tmp_path):
    store = make(tmp_path / "s", num=100)
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(store.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
        try:
            for number in range(5):
                durable = int(process.stdout.readline())
                copied = back_up(store.path, tmp_path / f"copy-{number}")
                copy = ProbeStore.open_existing(tmp_path / f"copy-{number}")
                assert copied >= 300 + durable - 1000
                outcomes = copy.outcomes("v")
                assert outcomes.num_draws == copied
                assert worst(examine(copy.path)) in ("owed", "confound")
                assert not [each for each in examine(copy.path) if each.level == "error"]
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.stdout.close()


def test_a_backup_refuses_a_folder_that_exists_and_leaves_nothing_half_made(tmp_path):
    store = make(tmp_path / "s", num=2)
    (tmp_path / "copy").mkdir()
    with pytest.raises(StoreError, match="exists already"):
        back_up(store.path, tmp_path / "copy")
    (store.path / "draws-00000.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(StoreError, match="not an SQLite file"):
        back_up(store.path, tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "s"]


def test_outcomes_that_do_not_exist_are_damage_that_repair_sets_aside(tmp_path):
    store = make(tmp_path / "s", num=2)
    with closing(sqlite3.connect(store.path / "verdicts-00000.sqlite")) as connection, connection:
        connection.execute("UPDATE verdicts SET outcome = 7 WHERE draw_index = 1")
    assert "holds outcomes that do not exist, '7' among them" in said(store.path)["integrity"]
    (done,) = repair(store.path)
    assert "set aside as verdicts-00000.sqlite.aside-1" in done
    assert worst(examine(store.path)) == "owed"


@pytest.mark.parametrize("name", ["draws-00000.sqlite", "draws-00000.sqlite-journal", "plan.json"])
def test_what_is_no_regular_file_is_not_opened(name, tmp_path):
    """A pipe would be waited for without end."""
    store = make(tmp_path / "s", num=2)
    (store.path / name).unlink(missing_ok=True)
    os.mkfifo(store.path / name)
    with pytest.raises(StoreError, match="no regular file"):
        store.counts()
    assert worst(examine(store.path)) == "error"
