"""The index of a run's probes: of each version, newer, torn, changed."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from probes.store.index import ProbeEntry, ProbeIndex
from rlvr.errors import StoreError

ENTRY = ProbeEntry(0, "probes/store", {"looks": [4], "stop_at": None, "give_up_at": None}, "v", 1.5)


def index_of(folder: Path, content: object) -> ProbeIndex:
    (folder / "probes").mkdir()
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "probes/index.json").write_text(text)
    return ProbeIndex(folder)


def test_an_index_of_version_1_is_read_and_becomes_one_of_this_version(tmp_path):
    index = index_of(tmp_path, [asdict(ENTRY)])
    assert index.entries() == [ENTRY]
    index.add(ProbeEntry(2, str(tmp_path / "probes/other"), ENTRY.plan, "v", 2.0))
    assert [entry.step for entry in index.entries()] == [0, 2]
    content = json.loads(index.file.read_text())
    assert (content["format"], content["needs"]) == ("probes.index/2", "rlvr>=0.2.0")


def test_a_newer_index_is_refused_with_what_it_needs(tmp_path):
    index = index_of(tmp_path, {"format": "probes.index/3", "needs": "rlvr>=9", "entries": []})
    with pytest.raises(StoreError, match=r"probes\.index/3.*rlvr>=9"):
        index.entries()


@pytest.mark.parametrize("content", ["{", "[[]]", "[1]", "{}", "3", '{"format": "probes.index/2"}', "[" * 100_000])
def test_an_index_that_cannot_be_read_is_named(content, tmp_path):
    with pytest.raises(StoreError, match=r"index\.json"):
        index_of(tmp_path, content).entries()


def test_a_changed_index_is_seen(tmp_path):
    index = index_of(tmp_path, [])
    index.add(ProbeEntry(2, str(tmp_path / "probes/store"), ENTRY.plan, "v", 2.0))
    index.file.write_text(index.file.read_text().replace('"step": 2', '"step": 3'))
    with pytest.raises(StoreError, match="does not match the checksum"):
        index.entries()
