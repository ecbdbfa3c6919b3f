"""The store: durable draws of one arm on one problem set, and verdicts beside them.

Owns: the folder of one probe and what its rows mean.
Does not own: its SQLite files (`probes.store.writer_files`), who may write (`probes.store.claims`), which draws are
owed (`probes.statistics.plan`, `probes.statistics.outcomes`), how they are made (`probes.engines`) or judged
(`rlvr.verifiers`).

Layout of a store:

    probe.json               format, arm, problem set id, sampling; written once, atomically
    problems.jsonl           the problems, so that the store can be read alone
    plan.json                the plan under which draws were made last; absent where their number was fixed elsewhere
    writer-00000.lock        held while writer 0 writes; names the problems that it draws for
    draws-00000.sqlite       draws of writer 0; one file a writer, so no two processes write one file
    verdicts-00000.sqlite    verdicts of writer 0, one row per verifier and draw; can be deleted and made again

A draw is durable when `add_draws` returns: one transaction, synchronised to disk. A killed process loses at most the
batch in flight.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import compress, product
from pathlib import Path
from typing import Any

import numpy as np

from probes.statistics.estimators import Counts
from probes.statistics.outcomes import ERROR, NOT_JUDGED, Outcomes
from probes.statistics.plan import Plan
from probes.store import claims
from probes.store.arm import Arm
from probes.store.cells import blocks, codes_of, outcome_matrix
from probes.store.drawn import MAX_DRAWS, Drawn
from probes.store.draws import Draw, Excerpt
from probes.store.files import SEE_DOCTOR, disk_errors, read_checked, read_json, write_checked
from probes.store.formats.columns import UNKNOWN, Coded, KindFile, Numbers, Row
from probes.store.formats.sqlite import encode
from probes.store.versions import FORMAT, FORMATS, NEEDS, VERSION, require_known
from probes.store.writer_files import WriterFiles
from rlvr.durable import write_atomically
from rlvr.errors import RlvrError, StoreDamageError, StoreError
from rlvr.problems import Problem, ProblemSet
from rlvr.verifiers.verdicts import Outcome, Verdict, reads_reasoning

MAX_COMPLETION_CHARS = 200_000
_VERSION = {"format": FORMAT, "needs": NEEDS}
_OF_DRAW = ("completion", "num_tokens", "truncated", "engine", "checksum")
_OF_VERDICT = ("outcome", "answer", "reason")
_INSERT_DRAW = (
    "INSERT INTO draws (problem_id, draw_index, completion, num_tokens, truncated, engine, checksum) "
    "VALUES (?, ?, CAST(? AS TEXT), ?, ?, CAST(? AS TEXT), ?)"
)
_INSERT_VERDICT = (
    "INSERT OR REPLACE INTO verdicts (verifier_id, problem_id, draw_index, outcome, answer, reason, other, judged) "
    "VALUES (?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?)"
)


class ProbeStore:
    """Draws and verdicts of one arm on one problem set.

    Args:
        path: folder, made by `create` if absent.
        writer: number of this writer; give each process its own.
    """

    def __init__(self, path: Path, writer: int = 0) -> None:
        self.path = path
        self.writer = writer
        self.files = WriterFiles(path, writer)
        description = read_json(path / "probe.json")
        require_known(description, path)
        description = read_checked(path / "probe.json")
        self.version = FORMATS[description["format"]]
        try:
            self.arm = Arm.from_json(description["arm"])
            self.problem_set_id = str(description["problem_set_id"])
            self.problem_set_name = str(description["problem_set_name"])
            self.num_duplicates = int(description["num_duplicates"])
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path / 'probe.json'}: lacks a part ({error!r:.100}); restore the file.") from error

    @classmethod
    def create(cls, path: Path, arm: Arm, problems: ProblemSet, writer: int = 0) -> "ProbeStore":
        """Returns the store at `path`, made if absent.

        Raises:
            StoreError: the store holds another arm or problem set; the message names what differs.
            StoreFullError: the disk is full.
        """
        if not (path / "probe.json").exists():
            with disk_errors(path):
                path.mkdir(parents=True, exist_ok=True)
                write_atomically(path / "problems.jsonl", "".join(_problem_line(problem) for problem in problems))
                write_checked(path / "probe.json", _describe(arm, problems))
        store = cls(path, writer)
        store.require(arm, problems)
        return store

    @classmethod
    def open_existing(cls, path: Path) -> "ProbeStore":
        """Returns the store at `path` for reading.

        Raises:
            StoreError: there is none, or it has another format.
        """
        if not (path / "probe.json").exists():
            raise StoreError(f"{path}: not a store of draws; expected the file probe.json in it.")
        return cls(path)

    def require(self, arm: Arm, problems: ProblemSet) -> None:
        """Raises `StoreError` unless the store holds this arm on this problem set."""
        if different := self.arm.differences(arm):
            raise StoreError(
                f"{self.path}: the store holds arm {self.arm.arm_id}, asked for {arm.arm_id}; they differ in "
                f"{', '.join(different)}. One store holds one arm: use another folder."
            )
        if self.problem_set_id != problems.content_id:
            raise StoreError(
                f"{self.path}: the store holds problem set {self.problem_set_id}, asked for {problems.content_id}. "
                "One store holds one problem set: use another folder."
            )

    def problems(self) -> list[Problem]:
        """Returns the problems of the store, in their order.

        Raises:
            StoreError: the file cannot be read.
        """
        file = self.path / "problems.jsonl"
        try:
            lines = file.read_text(encoding="utf-8").split("\n")
            return [Problem(**json.loads(line)) for line in lines if line]
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise StoreError(f"{file}: cannot be read ({error}); restore the file.") from error

    def add_draws(self, draws: Sequence[Draw]) -> None:
        """Makes draws durable: all of them when this returns, none if it raises.

        Raises:
            StoreError: a draw index of a problem is in the journal already, a completion is too long, or a number too
                large. An index that is in a sealed file is an error of every reader.
            StoreFullError: the disk is full.
        """
        if stray := next((d for d in draws if not 0 <= d.draw_index < MAX_DRAWS), None):
            raise StoreError(f"{self.path}: draw index {stray.draw_index}; expected 0 to {MAX_DRAWS - 1}.")
        if too_long := next((d for d in draws if len(d.completion) > MAX_COMPLETION_CHARS), None):
            raise StoreError(
                f"{self.path}: a completion has {len(too_long.completion)} characters, at most "
                f"{MAX_COMPLETION_CHARS} are stored; lower probe_max_new_tokens."
            )
        if strange := next((d for d in draws if not -1 <= d.num_tokens < 2**63), None):
            raise StoreError(
                f"{self.path}: a draw has {strange.num_tokens} tokens; expected a count, or -1: not known."
            )
        with self._written("draws") as connection:
            insert_draws(connection, draws)

    def add_verdicts(self, verifier_id: str, verdicts: Iterable[tuple[Draw, Verdict]]) -> None:
        """Stores what a verifier says of draws; its later verdict on a draw replaces its earlier one."""
        rows = [
            (
                verifier_id,
                d.problem_id,
                d.draw_index,
                v.outcome.value,
                None if v.answer is None else encode(v.answer),
                encode(v.reason),
                v.other and v.other.value,
                d.checksum,
            )
            for d, v in verdicts
        ]
        with self._written("verdicts") as connection:
            connection.executemany(_INSERT_VERDICT, rows)

    @contextmanager
    def _written(self, kind: str) -> Iterator[sqlite3.Connection]:
        """One durable transaction; a store of an older version becomes one of this version first."""
        if self.version < VERSION:
            with disk_errors(self.path):
                write_checked(self.path / "probe.json", {**read_checked(self.path / "probe.json"), **_VERSION})
            self.version = VERSION
        with self.files.writing(kind) as connection:
            yield connection

    @contextmanager
    def writing(self, problem_ids: Iterable[str] | None = None) -> Iterator[None]:
        """Holds the right to write as this writer, so that two programs never make the same draws.

        Args:
            problem_ids: that draws will be made for; all of the store by default, none where only verdicts are written.

        Raises:
            StoreError: another process writes as this writer, or makes draws for one of the problems.
        """
        claimed = [problem.problem_id for problem in self.problems()] if problem_ids is None else problem_ids
        with claims.writing(self.path, self.writer, claimed):
            self.files.tidy()
            yield
            self.files.settle()

    def set_plan(self, plan: Plan) -> None:
        """Notes the plan under which draws are made from now on; a longer plan of the same kind keeps all draws."""
        with disk_errors(self.path):
            write_checked(self.path / "plan.json", plan.to_json())

    def plan(self) -> Plan | None:
        """Returns the plan noted last; None where the numbers of draws do not depend on their outcomes."""
        file = self.path / "plan.json"
        if not file.exists():
            return None
        try:
            return Plan.from_json(read_checked(file))
        except (TypeError, KeyError, ValueError, RlvrError) as error:
            raise StoreError(f"{file}: is no plan ({error}); restore the file.") from error

    def draws(self, problem_id: str | None = None) -> Iterator[Draw]:
        """Yields stored draws of one problem or of all, in no particular order.

        Raises:
            StoreDamageError: a draw does not match its checksum.
        """
        yield from self._draws(None if problem_id is None else [problem_id])

    def _draws(self, problem_ids: Sequence[str] | None = None) -> Iterator[Draw]:
        with self.files.opened("draws") as files:
            for file in files:
                for key in file.problem_ids() if problem_ids is None else sorted(problem_ids):
                    for row in file.rows(key, _OF_DRAW):
                        yield self._draw(key, row)

    def excerpts(self, indices: Mapping[str, Sequence[int]], max_chars: int) -> dict[tuple[str, int], Excerpt]:
        """Returns head and tail of some draws by (problem_id, draw_index); reads no other draw.

        Args:
            indices: draw indices by problem.
            max_chars: of the head, and of the tail; a text of up to twice as many characters is all in its head.
        """
        found = {}
        with self.files.opened("draws") as files:
            for file, (key, wanted) in product(files, indices.items()):
                for row in file.rows_at(key, wanted, _OF_DRAW):
                    found[key, row[0]] = Excerpt.of(self._draw(key, row), max_chars)
        return found

    def _draw(self, problem_id: str, row: Row) -> Draw:
        """Returns the draw of a row, which must match its checksum; rows of version 1 have none."""
        index, completion, num_tokens, truncated, engine, checksum = row
        is_draw = tuple(map(type, (problem_id, *row[:5]))) == (str, int, str, int, int, str)
        draw = Draw(problem_id, index, completion, num_tokens, bool(truncated), engine)
        if not is_draw or (checksum is not None and checksum != draw.checksum):
            raise StoreDamageError(
                f"{self.path}: draw {index} of problem {problem_id!r:.40} does not match its checksum: the file was "
                f"changed or damaged{SEE_DOCTOR}"
            )
        return draw

    def sizes(self) -> Iterator[tuple[str, int, int, bool]]:
        """Yields (problem_id, draw_index, num_tokens, truncated) of every draw, in no particular order."""
        with self.files.opened("draws") as files:
            for file in files:
                for key in file.problem_ids():
                    columns = file.columns(key, ("num_tokens", "truncated"))
                    for index, num_tokens, truncated in zip(*(each.tolist() for each in columns), strict=True):
                        yield key, index, num_tokens, bool(truncated)

    def totals(self, num_first: int) -> Iterator[tuple[str, int, int, int, int]]:
        """Yields sums over the first draws of each problem, one or more rows a problem.

        A row is (problem_id, draws, draws cut at the token limit, draws of known length, their tokens).
        """
        with self.files.opened("draws") as files:
            for file in files:
                for key in file.problem_ids():
                    num_tokens_D, truncated_D = self._sizes(file, key, num_first)
                    known = num_tokens_D[num_tokens_D >= 0]
                    yield key, len(truncated_D), int(truncated_D.sum()), len(known), int(known.sum())

    def _sizes(self, file: KindFile, key: str, num_first: int) -> tuple[Numbers, Numbers]:
        """Returns tokens and truncation of the first draws of a problem in one file, checked."""
        if file.has_checked_columns:
            index_D, num_tokens_D, truncated_D = file.columns(key, ("num_tokens", "truncated"))
            return num_tokens_D[index_D < num_first], truncated_D[index_D < num_first]
        draws = [self._draw(key, row) for row in file.rows(key, _OF_DRAW, num_first=num_first)]
        sizes = np.array([(draw.num_tokens, draw.truncated) for draw in draws], dtype=np.int64).reshape(-1, 2)
        return sizes[:, 0], sizes[:, 1]

    def require_each_once(self) -> None:
        """Raises `StoreError` where two writers made the same draw, or a row is of no problem of this store."""
        with self.files.opened("draws") as files:
            for _ in blocks(files, self._known(files), self.path):
                pass

    def engines(self) -> set[str]:
        """Returns the names of the engines that made the stored draws."""
        with self.files.opened("draws") as files:
            return {name for file in files for name in file.engines()}

    def unjudged(self, verifier_id: str) -> Iterator[Draw]:
        """Yields draws without a verdict of this verifier, or whose verdict is `error`."""
        outcomes = self.outcomes(verifier_id)
        is_waiting = np.isin(outcomes.code_PD, (NOT_JUDGED, ERROR))
        waiting = {key: row_D for key, row_D in zip(outcomes.problem_ids, is_waiting, strict=True) if row_D.any()}
        yield from (draw for draw in self._draws(list(waiting)) if waiting[draw.problem_id][draw.draw_index])

    def answers(self, verifier_id: str, num_first: int = MAX_DRAWS) -> Counter[tuple[str, str, str | None]]:
        """Returns how many of the first draws of each problem have an outcome and an answer.

        The keys are (problem_id, outcome, answer). A draw with verdicts of two writers counts once, as in `outcomes`.
        """
        found = self._verdicts(verifier_id, ("outcome", "answer"), num_first=num_first)
        return Counter((key, *row) for key, rows in found for row in rows.values())

    def verdicts(self, verifier_id: str, problem_id: str) -> dict[int, Verdict]:
        """Returns the verdicts of one problem by draw index."""
        found = dict(self._verdicts(verifier_id, _OF_VERDICT, [problem_id]))
        return {index: self._verdict(row) for index, row in found.get(problem_id, {}).items()}

    def verdicts_at(self, verifier_id: str, indices: Mapping[str, Sequence[int]]) -> dict[tuple[str, int], Verdict]:
        """Returns a verifier's verdicts of some draws by (problem_id, draw_index), given the indices by problem."""
        found = self._verdicts(verifier_id, _OF_VERDICT, list(indices), indices)
        return {(key, index): self._verdict(row) for key, rows in found for index, row in rows.items()}

    def judged_draws(self, verifier_id: str | None) -> Iterator[tuple[Draw, Verdict | None]]:
        """Yields all draws by problem and index, each with a verifier's verdict; None where it has none."""
        keys = sorted(problem.problem_id for problem in self.problems())
        verdicts = (
            self._verdicts(verifier_id, _OF_VERDICT) if verifier_id else ((key, dict[int, Row]()) for key in keys)
        )
        with self.files.opened("draws") as files:
            for key, rows in verdicts:
                draws = [self._draw(key, row) for file in files for row in file.rows(key, _OF_DRAW)]
                for draw in sorted(draws, key=lambda each: each.draw_index):
                    yield draw, self._verdict(rows[draw.draw_index]) if draw.draw_index in rows else None

    def _verdict(self, row: Row) -> Verdict:
        codes_of(Coded(np.zeros(1, dtype=np.int64), (row[0],)), self.path)
        return Verdict(Outcome(row[0]), row[1] if row[1] is None else str(row[1]), str(row[2]))

    def _verdicts(
        self,
        verifier_id: str,
        columns: Sequence[str],
        problem_ids: Iterable[str] | None = None,
        indices: Mapping[str, Sequence[int]] | None = None,
        num_first: int = MAX_DRAWS,
    ) -> Iterator[tuple[str, dict[int, Row]]]:
        """Yields the verdicts of each problem by draw index, columns as asked for, of the draws that there are.

        A verdict other than `error` goes before an `error` of another writer.
        """
        with self.files.opened("draws") as draw_files, self.files.opened("verdicts") as verdict_files:
            for key in sorted(self._known(verdict_files, verifier_id) if problem_ids is None else problem_ids):
                drawn, settled = None, dict[int, Row]()
                for file in verdict_files:
                    if indices is None:
                        rows = list(file.rows(key, ("judged", *columns), verifier_id, num_first))
                    else:
                        rows = file.rows_at(key, indices[key], ("judged", *columns), verifier_id)
                    if not rows:
                        continue
                    drawn = drawn or Drawn.of(draw_files, key, self.path)
                    index_V = np.array([row[0] for row in rows], dtype=np.int64)
                    judged_V = np.array([UNKNOWN if row[1] is None else row[1] for row in rows], dtype=np.int64)
                    for index, _, *row in compress(rows, drawn.is_judged(index_V, judged_V).tolist()):
                        is_first = index not in settled
                        if is_first or (settled[index][0] == Outcome.ERROR and row[0] != Outcome.ERROR):
                            settled[index] = tuple(row)
                yield key, settled

    def _known(self, files: Sequence[KindFile], verifier_id: str | None = None) -> list[str]:
        """Returns the problems of the store, in their order.

        Raises:
            StoreError: a row in these files is of another problem.
        """
        known = [problem.problem_id for problem in self.problems()]
        wanted = set(known)
        for file in files:
            if strange := next((key for key in file.problem_ids(verifier_id) if key not in wanted), None):
                raise StoreDamageError(
                    f"{file.file}: a row names problem {strange!r:.40}, which problems.jsonl lacks{SEE_DOCTOR}"
                )
        return known

    def verifier_ids(self) -> list[str]:
        """Returns the verifiers that have verdicts on answers here, sorted; those that read reasoning are left out."""
        with self.files.opened("verdicts") as files:
            return sorted({name for file in files for name in file.verifier_ids() if not reads_reasoning(name)})

    def require_verifier(self, verifier_id: str | None = None) -> str:
        """Returns the verifier's id if it has verdicts here; the only one where none is given.

        Raises:
            StoreError: it has no verdicts here, or none is given and there are several.
        """
        known = self.verifier_ids()
        if verifier_id and verifier_id not in known:
            raise StoreError(f"{self.path}: no verdicts of {verifier_id!r}; it has those of {known}.")
        if not verifier_id and len(known) != 1:
            raise StoreError(f"{self.path}: verdicts of {known or 'no verifier'}; name one of them.")
        return verifier_id or known[0]

    def outcomes(self, verifier_id: str | None = None) -> Outcomes:
        """Returns what became of every draw; a verdict other than `error` goes before an `error` of another writer.

        Args:
            verifier_id: whose verdicts; may be left out where the store has those of one verifier only.

        Raises:
            StoreError: the verifier is not given and not unique, or the files are damaged.
        """
        return self._outcomes(verifier_id or self.require_verifier())

    def other_outcomes(self, verifier_id: str) -> Outcomes | None:
        """Returns what became of every draw in the verifier's other mode; None where it has one mode only."""
        with self.files.opened("verdicts") as files:
            has_other = any(file.has_other(verifier_id) for file in files)
        return self._outcomes(verifier_id, "other") if has_other else None

    def _outcomes(self, verifier_id: str, column: str = "outcome") -> Outcomes:
        """Returns the outcomes that stand in a column of the verdicts: `outcome` or `other`."""
        problems = self.problems()
        with self.files.opened("draws") as draw_files, self.files.opened("verdicts") as verdict_files:
            keys = self._known([*draw_files, *verdict_files])
            code_PD = outcome_matrix(draw_files, verdict_files, keys, verifier_id, column, self.path)
        return Outcomes(tuple(keys), tuple(problem.cluster for problem in problems), code_PD)

    def counts(self, verifier_id: str | None = None) -> Counts:
        """Returns n and c of every problem under the plan noted last; see `Outcomes.counts`.

        Raises:
            StoreError: the verifier is not given and not unique, or draws are owed or not judged.
        """
        return self.counts_of(self.outcomes(verifier_id))

    def counts_of(self, outcomes: Outcomes) -> Counts:
        """Returns n and c of every problem from outcomes of this store that are read already; see `counts`."""
        try:
            return outcomes.counts(self.plan())
        except StoreError as error:
            raise StoreError(f"{self.path}: {error}") from error


def insert_draws(connection: sqlite3.Connection, draws: Iterable[Draw]) -> None:
    """Inserts draws into an open file, within the caller's transaction."""
    rows = (
        (d.problem_id, d.draw_index, encode(d.completion), d.num_tokens, d.truncated, encode(d.engine), d.checksum)
        for d in draws
    )
    connection.executemany(_INSERT_DRAW, rows)


def store_name(arm: Arm, problems: ProblemSet) -> str:
    """Returns the folder name of a store among others: arm and problem set, so that runs can share them."""
    return f"{arm.arm_id}-{problems.content_id}"


def _describe(arm: Arm, problems: ProblemSet) -> dict[str, Any]:
    """Returns the content of probe.json; the name is for people and the first writer's."""
    return {
        **_VERSION,
        "arm": arm.to_json(),
        "problem_set_id": problems.content_id,
        "problem_set_name": problems.name,
        "num_duplicates": problems.num_duplicates,
    }


def _problem_line(problem: Problem) -> str:
    """Returns one line of problems.jsonl."""
    row = {
        "question": problem.question,
        "answer": problem.answer,
        "meta": dict(problem.meta),
        "cluster": problem.cluster,
    }
    return json.dumps(row) + "\n"  # ASCII: lone surrogates and odd line ends survive every reader
