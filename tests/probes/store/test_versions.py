"""Stores of every earlier version are read and gone on with, newer ones refused; old revisions made `data`."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.errors import StoreError
from rlvr.verifiers.verdicts import Outcome, Verdict

DATA = Path(__file__).parent / "data"
OLD = sorted(path.name for path in DATA.iterdir())


@pytest.fixture(params=OLD)
def old(request, tmp_path) -> ProbeStore:
    shutil.copytree(DATA / request.param, tmp_path / "s")
    return ProbeStore.open_existing(tmp_path / "s")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_older_store_is_read_without_a_change(old):
    before = files(old.path)
    counts = old.counts("exact@1")
    assert counts.n_P.tolist() == [2, 4, 4]
    assert counts.c_P.tolist() == [2, 1, 0]
    draws = list(old.draws())
    assert {draw.completion for draw in draws} == {
        f"draw {i} of {row}" for row in range(3) for i in range((2, 4, 4)[row])
    }
    assert sum(draw.truncated for draw in draws) == 2
    assert list(old.unjudged("exact@1")) == []
    with closing(sqlite3.connect(f"{(old.path / 'verdicts-00000.sqlite').as_uri()}?mode=ro", uri=True)) as connection:
        has_other = "other" in connection.execute("SELECT sql FROM sqlite_schema").fetchone()[0]
    other = old.other_outcomes("exact@1")
    assert (other.tally()["correct"] if other else 0) == 10 * has_other
    assert files(old.path) == before


def test_an_older_store_goes_on_and_is_of_this_version_then(old):
    first = old.problems()[0].problem_id
    new = Draw(first, 2, "new", 1, False, "scripted")
    old.add_draws([new])
    assert [draw.draw_index for draw in old.unjudged("exact@1")] == [2]
    old.add_verdicts("exact@1", [(new, Verdict(Outcome.WRONG, other=Outcome.CORRECT))])
    again = ProbeStore.open_existing(old.path)
    assert again.version == 2
    assert '"format": "probes.store/2"' in (old.path / "probe.json").read_text()
    assert again.outcomes("exact@1").num_unjudged == 0
    assert again.counts("exact@1").c_P.tolist() == [2, 1, 0]
    assert again.other_outcomes("exact@1").num_draws == 11
    for file in old.path.glob("*.sqlite"):
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_verdict_of_version_1_does_not_count_for_a_draw_made_since(old):
    """Its row does not say what was judged, so it can be of the draw that was deleted."""
    first = old.problems()[0].problem_id
    for file in old.path.glob("draws-*"):
        file.unlink()
    old.add_draws([Draw(first, index, "another text", 1, False, "scripted") for index in range(2)])
    assert old.outcomes("exact@1").num_unjudged == 2


def test_a_newer_store_is_refused_with_what_it_needs(tmp_path):
    shutil.copytree(DATA / OLD[0], tmp_path / "s")
    text = (tmp_path / "s/probe.json").read_text().replace("probes.store/1", "probes.store/9")
    (tmp_path / "s/probe.json").write_text(text)
    with pytest.raises(StoreError, match=r"has format probes\.store/9, this program knows up to .*a newer rlvr"):
        ProbeStore.open_existing(tmp_path / "s")
    (tmp_path / "s/probe.json").write_text(text.replace("{", '{"needs": "rlvr>=7.1",', 1))
    with pytest.raises(StoreError, match=r"it needs rlvr>=7\.1"):
        ProbeStore.open_existing(tmp_path / "s")


def test_a_newer_file_is_refused_by_readers_and_writers(tmp_path):
    shutil.copytree(DATA / OLD[0], tmp_path / "s")
    file = tmp_path / "s/draws-00000.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 9")
    before = file.read_bytes()
    store = ProbeStore.open_existing(tmp_path / "s")
    with pytest.raises(StoreError, match="has version 9, this program knows up to 2"):
        list(store.draws())
    with pytest.raises(StoreError, match="has version 9"):
        store.add_draws([Draw(store.problems()[0].problem_id, 7, "x", 1, False, "scripted")])
    assert file.read_bytes() == before
