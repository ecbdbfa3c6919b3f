"""The store: durable draws, separate verdicts, one arm, and faults really made."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from probes.statistics.outcomes import CORRECT, NOT_DRAWN, NOT_JUDGED
from probes.statistics.plan import Plan
from probes.store.arm import Arm, Sampling
from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.durable import write_atomically
from rlvr.errors import StoreError, StoreFullError
from rlvr.problems import Problem, ProblemSet
from rlvr.verifiers.verdicts import Outcome, Verdict

ARM = Arm("weights", "tokenizer", {"template": "{question}"}, Sampling(max_new_tokens=8), (1,), "float32")
PROBLEMS = ProblemSet.of("p", [Problem("1+1", "2"), Problem("2+2", "4", cluster="even"), Problem("3+3", "6")])
IDS = [problem.problem_id for problem in PROBLEMS]


def draw(problem_id: str, index: int, text: str = "2", truncated: bool = False) -> Draw:
    return Draw(problem_id, index, text, len(text) + 1, truncated, "scripted")


def verdict(outcome: Outcome, answer: str | None = None) -> Verdict:
    return Verdict(outcome, answer, "because")


def indices(store: ProbeStore) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for each in store.draws():
        found.setdefault(each.problem_id, set()).add(each.draw_index)
    return found


def test_draws_come_back_as_they_went_in(tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    draws = [draw(IDS[0], 0, "a\nb\x00é"), draw(IDS[0], 1, "", truncated=True), draw(IDS[1], 0)]
    store.add_draws(draws)
    again = ProbeStore.open_existing(tmp_path / "s")
    assert sorted(again.draws(), key=lambda d: (d.problem_id, d.draw_index)) == sorted(
        draws, key=lambda d: (d.problem_id, d.draw_index)
    )
    assert list(again.draws(IDS[1])) == [draws[2]]
    assert indices(again) == {IDS[0]: {0, 1}, IDS[1]: {0}}
    assert again.engines() == {"scripted"}
    assert again.arm == ARM
    assert [p.problem_id for p in again.problems()] == IDS


ODD = ["a\ud800b", "\u2028\u2029\u0085\x0b\x0c\x1c", "\ufeffbom", "line\r\nline\r", "\x00\x00", "😀\u202e"]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_odd_text_comes_back_as_it_went_in(text, tmp_path):
    problems = ProblemSet.of("odd", [Problem(text, text, {"k": text}, cluster=text)])
    store = ProbeStore.create(tmp_path / "s", ARM, problems)
    one = draw(problems[0].problem_id, 0, text)
    store.add_draws([one])
    store.add_verdicts("v", [(one, Verdict(Outcome.WRONG, text, text))])
    again = ProbeStore.open_existing(tmp_path / "s")
    assert again.problems() == list(problems)
    assert list(again.draws()) == [one]
    assert again.verdicts("v", one.problem_id) == {0: Verdict(Outcome.WRONG, text, text)}


def test_a_draw_index_is_never_stored_twice(tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0)])
    with pytest.raises(StoreError, match="stored twice"):
        store.add_draws([draw(IDS[0], 1), draw(IDS[0], 0)])
    assert indices(store) == {IDS[0]: {0}}, "the batch is stored whole or not at all"


def test_two_arms_in_one_store_are_refused_with_the_field_that_differs(tmp_path):
    ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    other = replace(ARM, sampling=replace(ARM.sampling, temperature=0.6))
    with pytest.raises(StoreError, match=r"differ in sampling\. One store holds one arm"):
        ProbeStore.create(tmp_path / "s", other, PROBLEMS)
    with pytest.raises(StoreError, match="problem set"):
        ProbeStore.create(tmp_path / "s", ARM, ProblemSet.of("q", PROBLEMS[:2]))


def test_counts_join_draws_with_the_verdicts_of_one_verifier(tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], i) for i in range(4)] + [draw(IDS[1], 0), draw(IDS[2], 0)])
    outcomes = [Outcome.CORRECT, Outcome.WRONG, Outcome.ERROR, Outcome.TIMEOUT]
    store.add_verdicts("v1", [(draw(IDS[0], i), verdict(o)) for i, o in enumerate(outcomes)])
    with pytest.raises(StoreError, match="2 draws have no verdict"):
        store.counts("v1")
    store.add_verdicts("v1", [(draw(IDS[1], 0), verdict(Outcome.CORRECT)), (draw(IDS[2], 0), verdict(Outcome.WRONG))])
    counts = store.counts()
    assert counts.problem_ids == tuple(IDS)
    assert counts.n_P.tolist() == [3, 1, 1]
    assert counts.c_P.tolist() == [1, 1, 0]
    assert counts.errors_P.tolist() == [1, 0, 0]
    assert counts.cluster_P == (None, "even", None)


def test_counts_follow_the_plan_that_the_store_notes(tmp_path):
    """Easy problems have fewer draws because they are easy: the fixed formula would be biased."""
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    assert store.plan() is None
    store.set_plan(Plan((2, 4), stop_at=2))
    numbers = dict(zip(IDS, (2, 4, 4), strict=True))
    store.add_draws([draw(key, i) for key, num in numbers.items() for i in range(num)])
    right = verdict(Outcome.CORRECT)
    store.add_verdicts("v", [(draw(IDS[0], 0), right), (draw(IDS[0], 1), right)])
    store.add_verdicts("v", [(draw(key, i), verdict(Outcome.WRONG)) for key in IDS[1:] for i in range(4)])
    counts = store.counts()
    assert counts.n_P.tolist() == [2, 4, 4]
    assert counts.plan_P == (Plan((2, 4), stop_at=2),) * 3
    store.set_plan(Plan((2, 8), stop_at=2))
    with pytest.raises(StoreError, match=r"2 of 3 problems owe draws under the plan \(at least 8 draws\)"):
        store.counts()


def test_a_second_program_may_not_write_and_the_first_may_die(tmp_path):
    """The lock is the operating system's: a killed holder leaves none behind."""
    ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    code = textwrap.dedent(HOLDER).format(tests=str(Path(__file__).parent), path=str(tmp_path / "s"))
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    store = ProbeStore.open_existing(tmp_path / "s")
    with pytest.raises(StoreError, match="another process is writing here"), store.writing():
        pass
    with (
        pytest.raises(StoreError, match="makes draws for 3 of the same problems"),
        ProbeStore(tmp_path / "s", 1).writing(),
    ):
        pass
    with ProbeStore(tmp_path / "s", writer=1).writing(problem_ids=()):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with store.writing():
        pass


def test_a_stray_index_is_refused_before_it_asks_for_memory(tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    with pytest.raises(StoreError, match="draw index 1048576; expected 0 to 1048575"):
        store.add_draws([draw(IDS[0], 2**20)])
    with pytest.raises(StoreError, match="draw index -1"):
        store.add_draws([draw(IDS[0], -1)])


def test_an_error_is_judged_again_and_never_redrawn(tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0), draw(IDS[0], 1)])
    store.add_verdicts("v1", [(draw(IDS[0], 0), verdict(Outcome.ERROR)), (draw(IDS[0], 1), verdict(Outcome.WRONG))])
    assert [d.draw_index for d in store.unjudged("v1")] == [0]
    assert {d.draw_index for d in store.unjudged("v2")} == {0, 1}
    store.add_verdicts("v1", [(draw(IDS[0], 0), verdict(Outcome.CORRECT))])
    assert list(store.unjudged("v1")) == []
    assert store.outcomes("v1").of({IDS[0]}).counts().c_P.tolist() == [1]


def test_verdicts_of_two_verifiers_stand_side_by_side(tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0)])
    store.add_verdicts("strict@1", [(draw(IDS[0], 0), verdict(Outcome.WRONG))])
    store.add_verdicts("lenient@1", [(draw(IDS[0], 0), verdict(Outcome.CORRECT))])
    assert store.verifier_ids() == ["lenient@1", "strict@1"]
    assert store.outcomes("strict@1").of({IDS[0]}).counts().c_P.tolist() == [0]
    assert store.outcomes("lenient@1").of({IDS[0]}).counts().c_P.tolist() == [1]
    with pytest.raises(StoreError, match="name one of them"):
        store.counts()


def test_writers_share_a_store_and_are_read_as_one(tmp_path):
    first = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS, writer=0)
    second = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS, writer=1)
    first.add_draws([draw(IDS[0], 0)])
    second.add_draws([draw(IDS[1], 0)])
    assert indices(first) == indices(second) == {IDS[0]: {0}, IDS[1]: {0}}


def test_draws_with_a_gap_and_of_two_writers_stand_at_their_indices(tmp_path):
    first = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS, writer=0)
    first.add_draws([draw(IDS[0], 0), draw(IDS[0], 3), draw(IDS[1], 1)])
    ProbeStore.create(tmp_path / "s", ARM, PROBLEMS, writer=1).add_draws([draw(IDS[1], 0)])
    first.add_verdicts("v", [(draw(IDS[0], 3), verdict(Outcome.CORRECT))])
    outcomes = first.outcomes("v")
    row_of = dict(zip(outcomes.problem_ids, outcomes.code_PD.tolist(), strict=True))
    assert row_of[IDS[0]] == [NOT_JUDGED, NOT_DRAWN, NOT_DRAWN, CORRECT]
    assert row_of[IDS[1]] == [NOT_JUDGED, NOT_JUDGED, NOT_DRAWN, NOT_DRAWN]


def test_a_stray_index_in_a_file_is_refused(tmp_path):
    """One that `add_draws` would not have stored: it would ask for a matrix of its size."""
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0)])
    store.add_verdicts("v", [(draw(IDS[0], 0), verdict(Outcome.CORRECT))])
    with closing(sqlite3.connect(tmp_path / "s" / "draws-00000.sqlite")) as connection, connection:
        connection.execute(f"UPDATE draws SET draw_index = {2**40}")
    with pytest.raises(StoreError, match="expected indices below"):
        store.outcomes("v")


def test_answers_are_counted_among_the_first_draws_only_and_a_draw_of_two_writers_once(tmp_path):
    first = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS, writer=0)
    first.add_draws([draw(IDS[0], index) for index in range(4)])
    judged = [Verdict(Outcome.CORRECT, "7", ""), Verdict(Outcome.CORRECT, "7", ""), Verdict(Outcome.ERROR, None, "")]
    first.add_verdicts("v", [(draw(IDS[0], index), each) for index, each in enumerate([*judged, judged[0]])])
    assert first.answers("v", 3) == {(IDS[0], "correct", "7"): 2, (IDS[0], "error", None): 1}
    second = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS, writer=1)
    second.add_verdicts("v", [(draw(IDS[0], 2), Verdict(Outcome.WRONG, "8", "")), (draw(IDS[0], 0), judged[2])])
    assert first.answers("v", 3) == {(IDS[0], "correct", "7"): 2, (IDS[0], "wrong", "8"): 1}
    assert first.outcomes("v").tally()["error"] == 0
    settled = {0: judged[0], 2: Verdict(Outcome.WRONG, "8", "")}
    assert first.verdicts_at("v", {IDS[0]: [0, 2]}) == {(IDS[0], index): each for index, each in settled.items()}
    assert first.verdicts("v", IDS[0]).items() >= settled.items()


def test_verdicts_can_be_deleted_and_made_again(tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0)])
    store.add_verdicts("v", [(draw(IDS[0], 0), verdict(Outcome.CORRECT))])
    for file in (tmp_path / "s").glob("verdicts-*"):
        file.unlink()
    assert [d.draw_index for d in store.unjudged("v")] == [0]


def test_a_completion_beyond_the_bound_is_refused(tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    with pytest.raises(StoreError, match="characters"):
        store.add_draws([draw(IDS[0], 0, "x" * 200_001)])


def test_a_folder_that_is_no_store_and_a_torn_file_are_named(tmp_path):
    with pytest.raises(StoreError, match="not a store of draws"):
        ProbeStore.open_existing(tmp_path)
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0)])
    file = tmp_path / "s" / "draws-00000.sqlite"
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"draws-00000\.sqlite"):
        indices(store)
    (tmp_path / "s" / "probe.json").write_text("{")
    with pytest.raises(StoreError, match=r"probe\.json: cannot be read"):
        ProbeStore.open_existing(tmp_path / "s")


def test_an_empty_file_left_by_a_kill_counts_as_no_draws(tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    (tmp_path / "s" / "draws-00001.sqlite").touch()
    assert indices(store) == {}


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "f"
    write_atomically(file, "one")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "two\ud800")
    assert file.read_text() == "one"
    assert list(tmp_path.iterdir()) == [file]


HOLDER = """
    import sys, time
    from pathlib import Path
    from probes.store.store import ProbeStore
    with ProbeStore(Path({path!r})).writing():
        print("held", flush=True)
        time.sleep(60)
"""

WRITER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_store import ARM, IDS, PROBLEMS, draw, indices
    from probes.store.store import ProbeStore
    store = ProbeStore.create(Path({path!r}), ARM, PROBLEMS)
    start = len(indices(store).get(IDS[0], ()))
    print("start", start, flush=True)
    for at in range(start, 100_000, 16):
        store.add_draws([draw(IDS[0], i, "x" * 500) for i in range(at, at + 16)])
        print("durable", at + 16, flush=True)
"""


def test_kill_9_loses_no_durable_draw_and_duplicates_none(tmp_path):
    """The writer is killed at ten moments; every batch that it had reported is there, whole, once."""
    code = textwrap.dedent(WRITER).format(tests=str(Path(__file__).parent), path=str(tmp_path / "s"))
    reported = 0
    for round_ in range(10):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3 + round_):
            word, number = process.stdout.readline().split()
            reported = max(reported, int(number)) if word == "durable" else reported
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
        reported = max([reported, *map(int, rest[1::2])])
        process.wait()
        process.stdout.close()
        stored = indices(ProbeStore.open_existing(tmp_path / "s"))[IDS[0]]
        assert len(stored) >= reported
        assert stored == set(range(len(stored))), "no gap and no half batch"
        assert len(stored) % 16 == 0


def test_a_full_disk_is_an_error_that_loses_nothing(tmp_path):
    """A real file system of 512 kB, full."""
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(mount)], capture_output=True)
    if made.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        store = ProbeStore.create(mount / "s", ARM, PROBLEMS)
        stored = 0
        with pytest.raises(StoreFullError, match=r"disk is full; earlier draws are safe"):  # noqa: PT012
            while stored < 100_000:
                store.add_draws([draw(IDS[0], i, "x" * 500) for i in range(stored, stored + 16)])
                stored += 16
        assert stored > 0
        assert indices(store)[IDS[0]] == set(range(stored))
        with pytest.raises(StoreFullError):
            ProbeStore.create(mount / "s2", ARM, ProblemSet.of("big", [Problem("x" * 1_000_000, "1")]))
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_the_description_holds_nothing_but_json(tmp_path):
    ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    description = json.loads((tmp_path / "s" / "probe.json").read_text())
    assert description["format"] == "probes.store/2"
    assert Arm.from_json(description["arm"]).arm_id == ARM.arm_id


def test_sqlite_keeps_the_rollback_journal(tmp_path):
    """The write-ahead log needs shared memory, which network file systems lack."""
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0)])
    connection = sqlite3.connect(tmp_path / "s" / "draws-00000.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_outcomes_of_a_verifier_with_two_modes_stand_beside_each_other(tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(key, index) for key in IDS for index in range(2)])
    lenient, strict = Outcome.CORRECT, Outcome.UNPARSED
    both = [(draw(key, 0), Verdict(lenient, "2", "", strict)) for key in IDS]
    store.add_verdicts("math", both + [(draw(key, 1), Verdict(lenient, "2", "", lenient)) for key in IDS])
    assert store.outcomes("math").counts().c_P.tolist() == [2, 2, 2]
    assert store.other_outcomes("math").counts().c_P.tolist() == [1, 1, 1]
    store.add_verdicts("one mode", [(draw(key, index), verdict(lenient)) for key in IDS for index in range(2)])
    assert store.other_outcomes("one mode") is None


def test_a_verdict_counts_for_the_draw_that_was_judged_only(tmp_path):
    """Draws that were deleted and made again otherwise: what was said of the first is stale."""
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    before = [draw(key, index) for key in IDS for index in range(2)]
    store.add_draws(before)
    right = [(each, Verdict(Outcome.CORRECT, "2", "", Outcome.CORRECT)) for each in before]
    store.add_verdicts("v", right)
    (tmp_path / "s" / "draws-00000.sqlite").unlink()
    again = [draw(IDS[0], 0), draw(IDS[0], 1, "another"), *(draw(key, i, "wrong") for key in IDS[1:] for i in range(2))]
    store.add_draws(again)
    assert store.outcomes("v").tally()["correct"] == 1
    assert store.outcomes("v").num_unjudged == 5
    assert store.other_outcomes("v").num_unjudged == 5
    assert list(store.verdicts("v", IDS[0])) == [0]
    assert list(store.verdicts_at("v", {IDS[0]: [0, 1], IDS[1]: [0]})) == [(IDS[0], 0)]
    assert store.answers("v") == {(IDS[0], "correct", "2"): 1}
    assert {(each.problem_id, each.draw_index) for each in store.unjudged("v")} == {
        (each.problem_id, each.draw_index) for each in again[1:]
    }
    with pytest.raises(StoreError, match="5 draws have no verdict"):
        store.counts()
    store.add_verdicts("v", [(each, verdict(Outcome.WRONG)) for each in again[1:]])
    assert store.counts().c_P.tolist() == [1, 0, 0]


def test_a_draw_that_differs_in_its_length_alone_is_another_draw(tmp_path):
    """What counts as cut depends on it."""
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0, truncated=True)])
    store.add_verdicts("v", [(draw(IDS[0], 0, truncated=False), verdict(Outcome.WRONG))])
    assert store.outcomes("v").num_unjudged == 1


def test_a_reader_that_takes_its_time_holds_no_writer_up(tmp_path):
    """It has read one draw of many and waits; the writer's transaction ends meanwhile."""
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], index, "x" * 5000) for index in range(500)])
    reader = ProbeStore.open_existing(tmp_path / "s").draws()
    next(reader)
    connection = sqlite3.connect(tmp_path / "s" / "draws-00000.sqlite", timeout=0)
    with closing(connection), connection:
        connection.execute("UPDATE draws SET checksum = checksum WHERE draw_index = 499")
    assert len(list(reader)) == 499


def test_a_writer_that_another_program_holds_up_says_so(tmp_path, monkeypatch):
    import probes.store.formats.journal

    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(IDS[0], 0)])
    monkeypatch.setattr(probes.store.formats.journal, "BUSY_S", 0.1)
    with closing(sqlite3.connect(tmp_path / "s" / "draws-00000.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="another program has held it for too long"):
            store.add_draws([draw(IDS[0], 1)])


def test_an_outcome_that_does_not_exist_is_named(tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(key, 0) for key in IDS])
    store.add_verdicts("v", [(draw(key, 0), verdict(Outcome.WRONG)) for key in IDS])
    with closing(sqlite3.connect(tmp_path / "s" / "verdicts-00000.sqlite")) as connection, connection:
        connection.execute("UPDATE verdicts SET outcome = 'right'")
    for act in (store.counts, lambda: store.verdicts("v", IDS[0])):
        with pytest.raises(StoreError, match="a verdict says 'right'; expected one of correct"):
            act()


@pytest.mark.parametrize("number", [2**63, -2])
def test_a_number_of_tokens_that_cannot_be_stored_is_refused(number, tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    with pytest.raises(StoreError, match=f"a draw has {number} tokens"):
        store.add_draws([Draw(IDS[0], 0, "2", number, False, "scripted")])
    assert list(store.draws()) == []
