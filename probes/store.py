"""The store: durable draws of one arm on one problem set, and verdicts beside them.

Owns: the folder of one probe, its SQLite files, and what survives a crash.
Does not own: which draws are owed (`probes.plan`), how they are made (`probes.engines`) or judged (`rlvr.verifiers`).

Layout of a store:

    probe.json               format, arm, problem set id, sampling; written once, atomically
    problems.jsonl           the problems, so that the store can be read alone
    draws-00000.sqlite       draws of writer 0; one file a writer, so no two processes write one file
    verdicts-00000.sqlite    verdicts of writer 0, one row per verifier and draw; can be deleted and made again

A draw is durable when `add_draws` returns: one transaction, synchronised to disk. A killed process loses at most the
batch in flight. SQLite's rollback journal is used, not its write-ahead log: that one needs shared memory, which network
file systems do not give.
"""

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probes.arm import Arm
from probes.estimators import Counts
from rlvr.errors import StoreError, StoreFullError
from rlvr.problems import Problem, ProblemSet
from rlvr.verdicts import Outcome, Verdict

FORMAT = "probes.store/1"
MAX_COMPLETION_CHARS = 200_000

DRAWS_TABLE = """
CREATE TABLE IF NOT EXISTS draws (
  problem_id TEXT NOT NULL, draw_index INTEGER NOT NULL, completion TEXT NOT NULL, num_tokens INTEGER NOT NULL,
  truncated INTEGER NOT NULL, engine TEXT NOT NULL, PRIMARY KEY (problem_id, draw_index)
) WITHOUT ROWID"""
VERDICTS_TABLE = """
CREATE TABLE IF NOT EXISTS verdicts (
  verifier_id TEXT NOT NULL, problem_id TEXT NOT NULL, draw_index INTEGER NOT NULL, outcome TEXT NOT NULL,
  answer TEXT, reason TEXT NOT NULL, PRIMARY KEY (verifier_id, problem_id, draw_index)
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class Draw:
    """One completion made by a probe.

    Attributes:
        problem_id: of the problem.
        draw_index: position among the independent draws of this arm and problem, from 0.
        completion: text without the stop token.
        num_tokens: generated tokens, the stop token included.
        truncated: True where the token limit came before a stop token.
        engine: that made it.
    """

    problem_id: str
    draw_index: int
    completion: str
    num_tokens: int
    truncated: bool
    engine: str


@dataclass(frozen=True)
class DrawStatistics:
    """Facts of a store's draws under one verifier; `outcomes` counts draws, `mean_tokens` is per draw."""

    num_draws: int
    outcomes: dict[str, int]
    truncation_rate: float
    mean_tokens: float
    distinct_correct: float


class ProbeStore:
    """Draws and verdicts of one arm on one problem set.

    Args:
        path: folder, made by `create` if absent.
        writer: number of this writer; give each process its own.
    """

    def __init__(self, path: Path, writer: int = 0) -> None:
        self.path = path
        self.writer = writer
        description = _read_json(path / "probe.json")
        if description.get("format") != FORMAT:
            raise StoreError(f"{path}: format {description.get('format')!r} is not {FORMAT!r}; use another folder.")
        self.arm = Arm.from_json(description["arm"])
        self.problem_set_id: str = description["problem_set_id"]
        self.problem_set_name: str = description["problem_set_name"]
        self.num_duplicates: int = description["num_duplicates"]

    @classmethod
    def create(cls, path: Path, arm: Arm, problems: ProblemSet, writer: int = 0) -> "ProbeStore":
        """Returns the store at `path`, made if absent.

        Raises:
            StoreError: the store holds another arm or problem set; the message names what differs.
            StoreFullError: the disk is full.
        """
        if not (path / "probe.json").exists():
            with _disk_errors(path):
                path.mkdir(parents=True, exist_ok=True)
                write_atomically(path / "problems.jsonl", "".join(_problem_line(problem) for problem in problems))
                write_atomically(path / "probe.json", json.dumps(_describe(arm, problems), indent=1))
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
        """Returns the problems of the store, in their order."""
        lines = (self.path / "problems.jsonl").read_text(encoding="utf-8").splitlines()
        return [Problem(**json.loads(line)) for line in lines]

    def add_draws(self, draws: Sequence[Draw]) -> None:
        """Makes draws durable: all of them when this returns, none if it raises.

        Raises:
            StoreError: a draw index of a problem is there already, or a completion is too long.
            StoreFullError: the disk is full.
        """
        if too_long := next((d for d in draws if len(d.completion) > MAX_COMPLETION_CHARS), None):
            raise StoreError(
                f"{self.path}: a completion has {len(too_long.completion)} characters, at most "
                f"{MAX_COMPLETION_CHARS} are stored; lower probe_max_new_tokens."
            )
        rows = [
            (d.problem_id, d.draw_index, _storable(d.completion), d.num_tokens, d.truncated, d.engine) for d in draws
        ]
        with self._writing("draws", DRAWS_TABLE) as connection:
            connection.executemany("INSERT INTO draws VALUES (?, ?, ?, ?, ?, ?)", rows)

    def add_verdicts(self, verifier_id: str, verdicts: Iterable[tuple[str, int, Verdict]]) -> None:
        """Stores (problem_id, draw_index, verdict) rows; a verifier's later verdict replaces its earlier one."""
        rows = [(verifier_id, p, i, v.outcome.value, _or_none(v.answer), _storable(v.reason)) for p, i, v in verdicts]
        with self._writing("verdicts", VERDICTS_TABLE) as connection:
            connection.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?)", rows)

    def draw_indices(self) -> dict[str, set[int]]:
        """Returns the stored draw indices of every problem that has any, over all writers."""
        indices: dict[str, set[int]] = defaultdict(set)
        for problem_id, draw_index in self._rows("draws", "SELECT problem_id, draw_index FROM draws"):
            indices[problem_id].add(draw_index)
        return indices

    def draws(self, problem_id: str | None = None) -> Iterator[Draw]:
        """Yields stored draws of one problem or of all, in no particular order."""
        where, values = ("", ()) if problem_id is None else (" WHERE problem_id = ?", (problem_id,))
        columns = "problem_id, draw_index, completion, num_tokens, truncated, engine"
        query = f"SELECT {columns} FROM draws{where}"  # noqa: S608 - two fixed texts
        for key, index, completion, num_tokens, truncated, engine in self._rows("draws", query, values):
            yield Draw(key, index, completion, num_tokens, bool(truncated), engine)

    def engines(self) -> set[str]:
        """Returns the names of the engines that made the stored draws."""
        return {row[0] for row in self._rows("draws", "SELECT DISTINCT engine FROM draws")}

    def unjudged(self, verifier_id: str) -> Iterator[Draw]:
        """Yields draws without a verdict of this verifier, or whose verdict is `error`."""
        judged = {key for key, outcome, _ in self._verdicts(verifier_id) if outcome != Outcome.ERROR}
        for draw in self.draws():
            if (draw.problem_id, draw.draw_index) not in judged:
                yield draw

    def verdicts(self, verifier_id: str, problem_id: str) -> dict[int, Verdict]:
        """Returns the verdicts of one problem by draw index."""
        query = "SELECT draw_index, outcome, answer, reason FROM verdicts WHERE verifier_id = ? AND problem_id = ?"
        rows = self._rows("verdicts", query, (verifier_id, problem_id))
        return {index: Verdict(Outcome(outcome), answer, reason) for index, outcome, answer, reason in rows}

    def verifier_ids(self) -> list[str]:
        """Returns the verifiers that have verdicts here, sorted."""
        return sorted({row[0] for row in self._rows("verdicts", "SELECT DISTINCT verifier_id FROM verdicts")})

    def counts(self, verifier_id: str | None = None) -> Counts:
        """Returns n and c of every problem with a judged draw; `error` verdicts are counted apart.

        Args:
            verifier_id: whose verdicts; may be left out where the store has those of one verifier only.

        Raises:
            StoreError: the verifier is not given and not unique, or some draws are not judged.
        """
        verifier_id = verifier_id or self._only_verifier()
        n, c, errors = defaultdict[str, int](int), defaultdict[str, int](int), defaultdict[str, int](int)
        drawn = self.draw_indices()
        for (problem_id, draw_index), outcome, _ in self._verdicts(verifier_id):
            if draw_index not in drawn.get(problem_id, ()):
                continue
            n[problem_id] += outcome != Outcome.ERROR
            errors[problem_id] += outcome == Outcome.ERROR
            c[problem_id] += outcome == Outcome.CORRECT
        missing = sum(map(len, drawn.values())) - sum(n.values()) - sum(errors.values())
        if missing:
            raise StoreError(f"{self.path}: {missing} draws have no verdict of {verifier_id}; judge them first.")
        problems = [problem for problem in self.problems() if problem.problem_id in n]
        return _make_counts(problems, n, c, errors)

    def statistics(self, verifier_id: str) -> DrawStatistics:
        """Returns outcome counts, truncation rate, mean tokens, and distinct correct answers per problem."""
        size = [0, 0, 0]
        for row in self._rows("draws", "SELECT COUNT(*), SUM(num_tokens), SUM(truncated) FROM draws"):
            size = [total + (value or 0) for total, value in zip(size, row, strict=True)]
        outcomes = dict.fromkeys((outcome.value for outcome in Outcome), 0)
        answers: dict[str, set[str]] = defaultdict(set)
        for (problem_id, _), outcome, answer in self._verdicts(verifier_id):
            outcomes[outcome] += 1
            if outcome == Outcome.CORRECT and answer is not None:
                answers[problem_id].add(answer)
        num_problems = max(1, len(self.draw_indices()))
        distinct = sum(map(len, answers.values())) / num_problems
        total = max(1, size[0])
        return DrawStatistics(size[0], outcomes, size[2] / total, size[1] / total, distinct)

    def _only_verifier(self) -> str:
        """Returns the one verifier that judged here."""
        known = self.verifier_ids()
        if len(known) != 1:
            raise StoreError(f"{self.path}: verdicts of {known or 'no verifier'}; name one of them.")
        return known[0]

    def _verdicts(self, verifier_id: str) -> Iterator[tuple[tuple[str, int], str, str | None]]:
        """Yields ((problem_id, draw_index), outcome, answer); the file of the last writer that judged a draw wins."""
        query = "SELECT problem_id, draw_index, outcome, answer FROM verdicts WHERE verifier_id = ?"
        seen: dict[tuple[str, int], tuple[str, str | None]] = {}
        for problem_id, draw_index, outcome, answer in self._rows("verdicts", query, (verifier_id,)):
            key = (problem_id, draw_index)
            if key not in seen or seen[key][0] == Outcome.ERROR:
                seen[key] = (outcome, answer)
        for key, (outcome, answer) in seen.items():
            yield key, outcome, answer

    def _rows(self, kind: str, query: str, values: Sequence[Any] = ()) -> Iterator[Sequence[Any]]:
        """Yields the rows of a query over the files of all writers."""
        for file in sorted(self.path.glob(f"{kind}-*.sqlite")):
            with _disk_errors(file):
                connection = sqlite3.connect(file, timeout=60)
                try:
                    if _has_table(connection, kind):
                        yield from connection.execute(query, values)
                finally:
                    connection.close()

    @contextmanager
    def _writing(self, kind: str, table: str) -> Iterator[sqlite3.Connection]:
        """One durable transaction on this writer's file."""
        file = self.path / f"{kind}-{self.writer:05d}.sqlite"
        with _disk_errors(file):
            connection = sqlite3.connect(file, timeout=60, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    connection.execute(table)
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            finally:
                connection.close()


def write_atomically(path: Path, text: str) -> None:
    """Writes a file whole or not at all: temporary file, synchronise, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Turns the errors of SQLite and of a full disk into errors that say what to do."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise StoreError(
            f"{path}: a draw was to be stored twice ({error}); is another process writing here?"
        ) from error
    except sqlite3.OperationalError as error:
        if "full" in str(error) or "disk I/O" in str(error):
            raise StoreFullError(_full(path)) from error
        raise StoreError(f"{path}: {error}; check the file and its permissions.") from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: {error}; restore the file, or delete it to make its rows again.") from error
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise StoreFullError(_full(path)) from error
        raise


def _has_table(connection: sqlite3.Connection, table: str) -> bool:
    """Returns False for the empty file that a process leaves when it is killed before its first commit."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None


def _full(path: Path) -> str:
    return f"{path}: the disk is full; earlier draws are safe. Free space and start the same command again."


def _make_counts(
    problems: list[Problem], n: Mapping[str, int], c: Mapping[str, int], errors: Mapping[str, int]
) -> Counts:
    """Returns the counts of these problems."""
    import numpy as np

    ids = tuple(problem.problem_id for problem in problems)
    columns = [np.array([column[problem_id] for problem_id in ids], dtype=np.int64) for column in (n, c, errors)]
    clusters = tuple(problem.cluster for problem in problems)
    return Counts(problem_ids=ids, n_P=columns[0], c_P=columns[1], errors_P=columns[2], cluster_P=clusters)


def _describe(arm: Arm, problems: ProblemSet) -> dict[str, Any]:
    """Returns the content of probe.json; the name is for people and the first writer's."""
    return {
        "format": FORMAT,
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
    return json.dumps(row, ensure_ascii=False) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object of a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); use another folder or restore the file.") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path}: expected a JSON object; use another folder or restore the file.")
    return value


def _storable(text: str) -> str:
    """Returns text that SQLite can hold: lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _or_none(text: str | None) -> str | None:
    return None if text is None else _storable(text)
