"""Sealed files: the same answers as from journals, each byte checked, and no moment at which a draw is not there."""

import os
import random
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pandas
import pyarrow.parquet as pq
import pytest

import probes.store.formats.sealing as sealing
import probes.store.writer_files as writer_files
from probes.store.formats.names import files_of, is_sealed
from probes.store.store import ProbeStore
from probes.upkeep.backup import back_up
from probes.upkeep.doctor import examine
from probes.upkeep.repair import repair
from rlvr.errors import StoreDamageError, StoreError
from rlvr.verifiers.verdicts import Outcome, Verdict
from tests.limits import HANG_S
from tests.probes.store.test_store import ARM, IDS, ODD, PROBLEMS, draw


@pytest.fixture
def always(monkeypatch):
    """Seals a journal after each commit, and cuts row groups after a few rows."""
    monkeypatch.setattr(writer_files, "SEAL_BYTES", 1)
    monkeypatch.setattr(sealing, "GROUP_ROWS", 5)


def sealed_files(folder: Path) -> list[Path]:
    return [file for kind in ("draws", "verdicts") for file in files_of(folder, kind) if is_sealed(file)]


def sessions(seed: int):
    """Yields (writer, draws, verdicts) as sampling makes them: chunks by problem, errors that are judged again."""
    chance = random.Random(seed)
    next_index = Counter()
    for _ in range(12):
        writer = chance.randrange(2)
        mine = IDS[writer::2]
        draws = []
        for key in chance.sample(mine, chance.randint(1, len(mine))):
            for _ in range(chance.randint(1, 12)):
                text = chance.choice([*ODD, "2", "a longer text " * 20])
                draws.append(draw(key, next_index[key], text, truncated=chance.random() < 0.2))
                next_index[key] += 1
        outcomes = [chance.choice([Outcome.CORRECT, Outcome.WRONG, Outcome.ERROR, Outcome.UNPARSED]) for _ in draws]
        verdicts = [
            (each, Verdict(outcome, chance.choice([None, "2", *ODD]), "because", chance.choice([None, Outcome.WRONG])))
            for each, outcome in zip(draws, outcomes, strict=True)
            if chance.random() < 0.8
        ]
        yield writer, draws, verdicts
        yield (
            writer,
            [],
            [(each, Verdict(Outcome.CORRECT, "2", "again")) for each, v in verdicts if v.outcome == "error"],
        )


def fill(folder: Path, seed: int, verifier_ids=("v", "w")) -> ProbeStore:
    for writer, draws, verdicts in sessions(seed):
        store = ProbeStore.create(folder, ARM, PROBLEMS, writer=writer)
        if draws:
            store.add_draws(draws)
        for name in verifier_ids:
            store.add_verdicts(name, verdicts)
    return ProbeStore.open_existing(folder)


def everything(store: ProbeStore):
    """All that a store answers, in an order that does not depend on its files."""
    some = {key: [0, 1, 7, 30] for key in IDS}
    other = store.other_outcomes("v")
    return {
        "draws": sorted(store.draws(), key=lambda d: (d.problem_id, d.draw_index)),
        "of one": sorted(store.draws(IDS[1]), key=lambda d: d.draw_index),
        "excerpts": store.excerpts(some, 4),
        "sizes": sorted(store.sizes()),
        "totals": Counter({row[0]: 0 for row in store.totals(7)}) + sums(store.totals(7)),
        "engines": store.engines(),
        "verifiers": store.verifier_ids(),
        "outcomes": store.outcomes("v").code_PD.tolist(),
        "other": other and other.code_PD.tolist(),
        "unjudged": sorted((d.problem_id, d.draw_index) for d in store.unjudged("w")),
        "answers": store.answers("v", 9),
        "verdicts": {key: store.verdicts("w", key) for key in IDS},
        "verdicts at": store.verdicts_at("v", some),
    }


def sums(rows) -> Counter:
    found = Counter()
    for key, *numbers in rows:
        found.update({(key, at): number for at, number in enumerate(numbers)})
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_sealed_store_answers_as_one_that_is_not(seed, tmp_path, monkeypatch):
    plain = fill(tmp_path / "plain", seed)
    assert not sealed_files(plain.path)
    expected = everything(plain)
    monkeypatch.setattr(writer_files, "SEAL_BYTES", 1 if seed % 2 else 14_000)  # all sealed, or some
    monkeypatch.setattr(sealing, "GROUP_ROWS", 5)
    found = fill(tmp_path / "sealed", seed)
    assert sealed_files(found.path)
    assert everything(found) == expected
    assert {each.level for each in examine(found.path)} <= {"owed", "confound", "note"}
    assert back_up(found.path, tmp_path / "copy") == len(expected["draws"])
    assert everything(ProbeStore.open_existing(tmp_path / "copy")) == expected


def test_what_a_writer_leaves_is_sealed_when_it_ends_but_for_little(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_files, "SETTLE_BYTES", 20_000)
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    with store.writing():
        store.add_draws([draw(IDS[0], 0)])
    assert not sealed_files(store.path)
    with store.writing():
        store.add_draws([draw(IDS[0], index, "long " * 300) for index in range(1, 30)])
        assert not sealed_files(store.path)
    assert len(sealed_files(store.path)) == 1
    assert len(list(store.draws())) == 30


def test_a_stranger_reads_the_files_alone(tmp_path, always):
    """As docs/contracts.md says: all columns, with pandas; the exact text of odd rows in `odd_text`."""
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    draws = [draw(IDS[0], index, text) for index, text in enumerate([*ODD, "2"])]
    store.add_draws(draws)
    (file,) = sealed_files(store.path)
    frame = pandas.read_parquet(file)
    assert list(frame.columns) == [
        "problem_id", "draw_index", "completion", "num_tokens", "truncated", "engine", "checksum", "odd_text",
    ]  # fmt: skip
    assert frame["checksum"].tolist() == [each.checksum for each in draws]
    assert frame["completion"].tolist() == ["a?b", *ODD[1:], "2"]
    assert frame["odd_text"].astype(object).where(frame["odd_text"].notna(), None).tolist() == [
        '{"completion": "a\\ud800b"}',
        *[None] * len(ODD),
    ]
    metadata = pq.ParquetFile(file).metadata
    assert metadata.row_group(0).column(2).compression == "ZSTD"
    assert metadata.num_rows == len(draws)


def test_row_groups_hold_whole_problems(tmp_path, always):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(key, index) for key in IDS for index in range(7)])
    (file,) = sealed_files(store.path)
    parquet = pq.ParquetFile(file)
    groups = [set(parquet.read_row_group(at)["problem_id"].to_pylist()) for at in range(parquet.num_row_groups)]
    assert groups == [{key} for key in sorted(IDS)]


def test_a_problem_of_many_draws_is_cut(tmp_path, always):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    draws = [draw(IDS[0], index) for index in range(50)]
    store.add_draws(draws)
    (file,) = sealed_files(store.path)
    assert pq.ParquetFile(file).num_row_groups == 3
    assert list(store.draws()) == draws


@pytest.mark.parametrize("kind", ["draws", "verdicts"])
def test_no_flipped_bit_changes_what_a_reader_says(kind, tmp_path, always):
    """Each byte of a file in turn, one bit of it: the same answer, or an error."""
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    draws = [draw(key, index, f"text {index}") for key in IDS for index in range(3)]
    store.add_draws(draws)
    store.add_verdicts("v", [(each, Verdict(Outcome.CORRECT, "2", "because")) for each in draws])
    (file,) = [each for each in sealed_files(store.path) if each.name.startswith(kind)]
    expected = read(store)
    data = file.read_bytes()
    chance, errors = random.Random(0), 0
    for at in range(0, len(data), max(1, len(data) // 400)):
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        file.write_bytes(changed)
        try:
            assert read(store) == expected, at
        except StoreError:
            errors += 1
    assert errors > 250


def read(store):
    draws = sorted(store.draws(), key=lambda d: (d.problem_id, d.draw_index))
    verdicts = [store.verdicts("v", key) for key in IDS]
    return draws, verdicts, store.counts("v").c_P.tolist(), sums(store.totals(5)), store.engines()


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[: len(data) // 2], lambda data: b""])
def test_a_torn_file_is_an_error(spoil, tmp_path, always):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0)])
    (file,) = sealed_files(store.path)
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(StoreDamageError, match=r"damaged.*`probes doctor` says what can be done"):
        list(store.draws())


def test_killed_between_sealing_and_removing_a_draw_counts_once(tmp_path, always, monkeypatch):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    monkeypatch.setattr(writer_files, "_remove", lambda journal: None)
    store.add_draws([draw(IDS[0], index) for index in range(4)])
    assert (store.path / "draws-00000.sqlite").exists()
    assert len(list(store.draws())) == 4
    monkeypatch.undo()
    with store.writing():
        assert not (store.path / "draws-00000.sqlite").exists()
        store.add_draws([draw(IDS[0], 4)])
    assert sorted(path.name for path in store.path.glob("draws-*.sqlite")) == ["draws-00000-000001.sqlite"]
    assert len(list(store.draws())) == 5


def test_what_a_journal_holds_twice_is_refused_after_sealing_too(tmp_path, always, monkeypatch):
    """The primary key guards one journal; a draw that is sealed already is an error in every reader."""
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0)])
    store.add_draws([draw(IDS[0], 0, "other")])
    with pytest.raises(StoreError, match="two writers made draw 0"):
        store.outcomes("v")


def test_a_damaged_journal_is_not_sealed(tmp_path, monkeypatch):
    import sqlite3
    from contextlib import closing

    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], index) for index in range(4)])
    with closing(sqlite3.connect(store.path / "draws-00000.sqlite")) as connection, connection:
        connection.execute("UPDATE draws SET completion = 'x' WHERE draw_index = 2")
    monkeypatch.setattr(writer_files, "SEAL_BYTES", 1)
    with pytest.raises(StoreDamageError, match="draw 2 does not match its checksum"):
        store.add_draws([draw(IDS[0], 4)])
    assert not sealed_files(store.path)
    assert not list(store.path.glob(".*"))
    assert (store.path / "draws-00000.sqlite").exists()


def test_repair_keeps_the_row_groups_that_are_whole(tmp_path, always):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    noise = random.Random(0)
    draws = [draw(key, index, noise.randbytes(200).hex()) for key in IDS for index in range(7)]
    store.add_draws(draws)
    (file,) = sealed_files(store.path)
    data = bytearray(file.read_bytes())
    column = pq.ParquetFile(file).metadata.row_group(1).column(2)
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 4
    file.write_bytes(data)
    (finding,) = [each for each in examine(store.path) if each.level == "error"]
    assert "column completion of row group 1" in finding.message
    (said,) = repair(store.path)
    assert "damaged (column completion of row group 1" in said
    kept = set(store.draws())
    lost = set(draws) - kept
    assert kept < set(draws)
    assert {each.problem_id for each in lost} == {sorted(IDS)[1]}, "what is whole in other groups is kept"
    assert f"{len(kept)} draws that can be read were kept" in said
    assert not any(each.level == "error" for each in examine(store.path))
    assert len(list(store.path.glob("*.aside-1"))) == 1
    store.add_draws(sorted(lost, key=lambda each: each.draw_index))
    assert len(list(store.draws())) == 21


def test_repair_of_two_writers_draws_takes_them_from_a_sealed_file(tmp_path, always):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], index) for index in range(4)])
    ProbeStore.create(tmp_path / "s", ARM, PROBLEMS, writer=1).add_draws([draw(IDS[0], i, "3") for i in range(2, 6)])
    (said,) = repair(store.path)
    assert "2 draws stand in the file of another writer" in said
    assert [each.completion for each in store.draws(IDS[0])] == ["2"] * 4 + ["3"] * 2


WRITER = """
    import sys
    from pathlib import Path
    import probes.store.writer_files as writer_files
    from probes.store.store import ProbeStore
    from tests.probes.store.test_store import ARM, IDS, PROBLEMS, draw
    writer_files.SEAL_BYTES = 30_000
    store = ProbeStore.create(Path(sys.argv[1]), ARM, PROBLEMS)
    with store.writing():
        for first in range(0, 3000, 20):
            store.add_draws([draw(key, index, "text " * 9) for key in IDS for index in range(first, first + 20)])
            print(first + 20, flush=True)
"""


def test_a_reader_beside_a_writer_that_seals_never_misses_what_was_durable(tmp_path):
    ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        for line in process.stdout:
            store = ProbeStore.open_existing(tmp_path / "s")
            found = Counter(each[0] for each in store.sizes())
            assert all(found[key] >= int(line) for key in IDS)
        assert process.wait(HANG_S) == 0
    assert sum(map(is_sealed, files_of(tmp_path / "s", "draws"))) > 5


def test_a_copy_without_the_right_name_is_not_read(tmp_path, always):
    """The name has the footer's hash: a file that was changed and renamed by hand does not pass for a sealed one."""
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0)])
    (file,) = sealed_files(store.path)
    shutil.move(file, file.with_name(f"draws-00000.{'0' * 16}.parquet"))
    with pytest.raises(StoreDamageError, match="does not match the hash in its name"):
        list(store.draws())
