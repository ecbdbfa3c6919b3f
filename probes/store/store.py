"""The store: durable draws of one arm on one problem set, and verdicts beside them.

Owns: the folder of one probe, what its rows mean, and who may write.
Does not own: its SQLite files (`probes.store.writer_files`), which draws are owed (`probes.statistics.plan`,
`probes.statistics.outcomes`), how they are made (`probes.engines`) or judged (`rlvr.verifiers`).

Layout of a store:

    probe.json               format, arm, problem set id, sampling; written once, atomically
    problems.jsonl           the problems, so that the store can be read alone
    plan.json                the plan under which draws were made last; absent where their number was fixed elsewhere
    writer-00000.lock        held while writer 0 writes
    draws-00000.sqlite       draws of writer 0; one file a writer, so no two processes write one file
    verdicts-00000.sqlite    verdicts of writer 0, one row per verifier and draw; can be deleted and made again

A draw is durable when `add_draws` returns: one transaction, synchronised to disk. A killed process loses at most the
batch in flight.
"""

import fcntl
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from probes.statistics.estimators import Counts
from probes.statistics.outcomes import CODES, ERROR, NOT_DRAWN, NOT_JUDGED, Outcomes
from probes.statistics.plan import Plan
from probes.store.arm import Arm
from probes.store.files import disk_errors, read_json, write_atomically
from probes.store.writer_files import WriterFiles, has_column
from rlvr.errors import StoreError
from rlvr.problems import Problem, ProblemSet
from rlvr.verifiers.verdicts import Outcome, Verdict

FORMAT = "probes.store/1"
MAX_COMPLETION_CHARS = 200_000
MAX_DRAWS = 2**20  # per problem; bounds the memory that a stray index can ask for


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


class Excerpt(NamedTuple):
    """Part of a draw: its head, its tail where not all of the text is in the head, and what else is known of it."""

    head: str
    tail: str
    num_chars: int
    num_tokens: int
    truncated: bool


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
            with disk_errors(path):
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
        if stray := next((d for d in draws if not 0 <= d.draw_index < MAX_DRAWS), None):
            raise StoreError(f"{self.path}: draw index {stray.draw_index}; expected 0 to {MAX_DRAWS - 1}.")
        if too_long := next((d for d in draws if len(d.completion) > MAX_COMPLETION_CHARS), None):
            raise StoreError(
                f"{self.path}: a completion has {len(too_long.completion)} characters, at most "
                f"{MAX_COMPLETION_CHARS} are stored; lower probe_max_new_tokens."
            )
        rows = [
            (d.problem_id, d.draw_index, _storable(d.completion), d.num_tokens, d.truncated, d.engine) for d in draws
        ]
        with self.files.writing("draws") as connection:
            connection.executemany("INSERT INTO draws VALUES (?, ?, ?, ?, ?, ?)", rows)

    def add_verdicts(self, verifier_id: str, verdicts: Iterable[tuple[str, int, Verdict]]) -> None:
        """Stores (problem_id, draw_index, verdict) rows; a verifier's later verdict replaces its earlier one."""
        rows = [
            (verifier_id, p, i, v.outcome.value, _or_none(v.answer), _storable(v.reason), v.other and v.other.value)
            for p, i, v in verdicts
        ]
        with self.files.writing("verdicts") as connection:
            if not has_column(connection, "verdicts", "other"):
                connection.execute("ALTER TABLE verdicts ADD COLUMN other TEXT")
            connection.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the right to write as this writer, so that two programs never make the same draws.

        The operating system frees it when the process ends, however it ends.

        Raises:
            StoreError: another process holds it.
        """
        file = self.path / f"writer-{self.writer:05d}.lock"
        with disk_errors(file), file.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreError(
                    f"{self.path}: another process is writing here; wait until it ends, or use another folder."
                ) from error
            yield

    def set_plan(self, plan: Plan) -> None:
        """Notes the plan under which draws are made from now on; a longer plan of the same kind keeps all draws."""
        with disk_errors(self.path):
            write_atomically(self.path / "plan.json", json.dumps(plan.to_json()))

    def plan(self) -> Plan | None:
        """Returns the plan noted last; None where the numbers of draws do not depend on their outcomes."""
        file = self.path / "plan.json"
        return Plan.from_json(read_json(file)) if file.exists() else None

    def draws(self, problem_id: str | None = None) -> Iterator[Draw]:
        """Yields stored draws of one problem or of all, in no particular order."""
        where, values = ("", ()) if problem_id is None else (" WHERE problem_id = ?", (problem_id,))
        columns = "problem_id, draw_index, completion, num_tokens, truncated, engine"
        query = f"SELECT {columns} FROM draws{where}"  # noqa: S608 - two fixed texts
        for key, index, completion, num_tokens, truncated, engine in self.files.rows("draws", query, values):
            yield Draw(key, index, completion, num_tokens, bool(truncated), engine)

    def excerpts(self, indices: Mapping[str, Sequence[int]], max_chars: int) -> dict[tuple[str, int], Excerpt]:
        """Returns head and tail of some draws by (problem_id, draw_index); reads no other draw.

        Args:
            indices: draw indices by problem.
            max_chars: of the head, and of the tail; a text of up to twice as many characters is all in its head.
        """
        query = (
            "SELECT draw_index, completion, num_tokens, truncated FROM draws WHERE problem_id = ?1 AND draw_index IN "
            "(SELECT value FROM json_each(?2))"
        )
        rows = self._rows_of_problems("draws", query, (), indices)
        return {
            (key, index): Excerpt(*_head_and_tail(text, max_chars), len(text), num_tokens, bool(truncated))
            for key, (index, text, num_tokens, truncated) in rows
        }

    def verdicts_at(self, verifier_id: str, indices: Mapping[str, Sequence[int]]) -> dict[tuple[str, int], Verdict]:
        """Returns a verifier's verdicts of some draws by (problem_id, draw_index), given the indices by problem."""
        query = (
            "SELECT draw_index, outcome, answer, reason FROM verdicts WHERE verifier_id = ?1 AND problem_id = ?2 AND "
            "draw_index IN (SELECT value FROM json_each(?3))"
        )
        rows = self._rows_of_problems("verdicts", query, (verifier_id,), indices)
        settled = _settled(((key, row[0]), *row[1:]) for key, row in rows)
        return {key: Verdict(Outcome(row[0]), *row[1:]) for key, row in settled.items()}

    def _rows_of_problems(
        self, kind: str, query: str, values: Sequence[Any], indices: Mapping[str, Sequence[int]]
    ) -> Iterator[tuple[str, Sequence[Any]]]:
        """Yields (problem_id, row) of a query that is made once for each problem in each writer's file."""
        for connection in self.files.connections(kind):
            for key, wanted in indices.items():
                for row in connection.execute(query, (*values, key, json.dumps(list(wanted)))):
                    yield key, row

    def sizes(self) -> Iterator[tuple[str, int, int, bool]]:
        """Yields (problem_id, draw_index, num_tokens, truncated) of every draw, in no particular order."""
        query = "SELECT problem_id, draw_index, num_tokens, truncated FROM draws"
        for problem_id, draw_index, num_tokens, truncated in self.files.rows("draws", query):
            yield problem_id, draw_index, num_tokens, bool(truncated)

    def totals(self, num_first: int) -> Iterator[tuple[str, int, int, int, int]]:
        """Yields sums over the first draws of each problem, one or more rows a problem.

        A row is (problem_id, draws, draws cut at the token limit, draws of known length, their tokens).
        """
        query = (
            "SELECT problem_id, COUNT(*), SUM(truncated), SUM(num_tokens >= 0), SUM(MAX(num_tokens, 0)) FROM draws "
            "WHERE draw_index < ? GROUP BY problem_id"
        )
        for problem_id, *sums in self.files.rows("draws", query, (num_first,)):
            yield problem_id, *sums

    def engines(self) -> set[str]:
        """Returns the names of the engines that made the stored draws."""
        return {row[0] for row in self.files.rows("draws", "SELECT DISTINCT engine FROM draws")}

    def unjudged(self, verifier_id: str) -> Iterator[Draw]:
        """Yields draws without a verdict of this verifier, or whose verdict is `error`."""
        outcomes = self.outcomes(verifier_id)
        waiting = np.isin(outcomes.code_PD, (NOT_JUDGED, ERROR))
        row_of = {problem_id: row for row, problem_id in enumerate(outcomes.problem_ids)}
        if not waiting.any():
            return
        for draw in self.draws():
            if waiting[row_of[draw.problem_id], draw.draw_index]:
                yield draw

    def answers(self, verifier_id: str, num_first: int = MAX_DRAWS) -> Counter[tuple[str, str, str | None]]:
        """Returns how many of the first draws of each problem have an outcome and an answer.

        The keys are (problem_id, outcome, answer). A draw with verdicts of two writers counts once, as in `outcomes`.
        """
        where, values = "FROM verdicts WHERE verifier_id = ? AND draw_index < ?", (verifier_id, num_first)
        if self.files.num_writers("verdicts") < 2:  # no draw stands twice in one file
            rows = self.files.rows("verdicts", f"SELECT problem_id, outcome, answer {where}", values)
            return Counter(cast("Iterator[tuple[str, str, str | None]]", rows))
        rows = self.files.rows("verdicts", f"SELECT problem_id, draw_index, outcome, answer {where}", values)
        settled = _settled(((row[0], row[1]), *row[2:]) for row in rows)
        return Counter((key[0], *row) for key, row in settled.items())

    def num_repeated_draws(self) -> int:
        """Returns how many draw indices stand in the files of two writers or more."""
        if self.files.num_writers("draws") < 2:
            return 0
        keys = Counter(self.files.rows("draws", "SELECT problem_id, draw_index FROM draws"))
        return keys.total() - len(keys)

    def verdicts(self, verifier_id: str, problem_id: str) -> dict[int, Verdict]:
        """Returns the verdicts of one problem by draw index."""
        query = "SELECT draw_index, outcome, answer, reason FROM verdicts WHERE verifier_id = ? AND problem_id = ?"
        settled = _settled(self.files.rows("verdicts", query, (verifier_id, problem_id)))
        return {index: Verdict(Outcome(row[0]), *row[1:]) for index, row in settled.items()}

    def verifier_ids(self) -> list[str]:
        """Returns the verifiers that have verdicts here, sorted."""
        return sorted({row[0] for row in self.files.rows("verdicts", "SELECT DISTINCT verifier_id FROM verdicts")})

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
        query = "SELECT 1 FROM verdicts WHERE verifier_id = ? AND other IS NOT NULL LIMIT 1"
        has_other = any(self.files.rows("verdicts", query, (verifier_id,), column="other"))
        return self._outcomes(verifier_id, "other") if has_other else None

    def _outcomes(self, verifier_id: str, column: str = "outcome") -> Outcomes:
        """Returns the outcomes that stand in a column of the verdicts: `outcome` or `other`."""
        problems = self.problems()
        row_of = {problem.problem_id: row for row, problem in enumerate(problems)}
        drawn = list(self._drawn())
        code_PD = np.full((len(problems), max((width for _, width, _ in drawn), default=0)), NOT_DRAWN, dtype=np.int8)
        for key, _, indices in drawn:
            self._require_known([key], row_of)
            code_PD[row_of[key], indices] = NOT_JUDGED
        where = "verifier_id = ? AND draw_index < ?"
        query = f"SELECT problem_id, draw_index, {column} FROM verdicts WHERE {where}"  # noqa: S608 - fixed texts
        for rows in self.files.chunks("verdicts", query, (verifier_id, code_PD.shape[1]), column):
            at = self._positions(rows, row_of)
            codes = np.array([CODES[row[2]] for row in rows], dtype=np.int8)
            is_open = (code_PD[at] == NOT_JUDGED) | (code_PD[at] == ERROR)
            code_PD[at] = np.where(is_open, codes, code_PD[at])
        clusters = tuple(problem.cluster for problem in problems)
        return Outcomes(tuple(row_of), clusters, code_PD)

    def _drawn(self) -> Iterator[tuple[str, int, Any]]:
        """Yields (problem_id, largest draw index and 1, draw indices) for each writer.

        Where the indices have no gap, they are not read one by one.
        """
        query = "SELECT problem_id, COUNT(*), MIN(draw_index), MAX(draw_index) FROM draws GROUP BY problem_id"
        one = "SELECT draw_index FROM draws WHERE problem_id = ?"
        for connection in self.files.connections("draws"):
            for key, num, smallest, largest in connection.execute(query):
                if largest >= MAX_DRAWS:
                    raise StoreError(f"{self.path}: holds draw {largest}; expected indices below {MAX_DRAWS}.")
                has_gap = (smallest, largest) != (0, num - 1)
                yield key, largest + 1, [i for (i,) in connection.execute(one, (key,))] if has_gap else slice(num)

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

    def _positions(self, rows: Sequence[Sequence[Any]], row_of: Mapping[str, int]) -> tuple[Any, Any]:
        """Returns the matrix positions of (problem_id, draw_index, ...) rows."""
        self._require_known((row[0] for row in rows), row_of)
        return np.array([row_of[row[0]] for row in rows]), np.array([row[1] for row in rows])

    def _require_known(self, problem_ids: Iterable[str], known: Mapping[str, int]) -> None:
        """Raises `StoreError` for a problem that the store's problems lack."""
        if unknown := next((problem_id for problem_id in problem_ids if problem_id not in known), None):
            raise StoreError(
                f"{self.path}: a row names problem {unknown}, which problems.jsonl lacks; restore the file."
            )


def store_name(arm: Arm, problems: ProblemSet) -> str:
    """Returns the folder name of a store among others: arm and problem set, so that runs can share them."""
    return f"{arm.arm_id}-{problems.content_id}"


def _settled(rows: Iterable[Sequence[Any]]) -> dict[Any, Any]:
    """Returns what follows each draw's key, its outcome first; an `error` gives way to another writer's verdict."""
    settled: dict[Any, Any] = {}
    for key, *row in rows:
        if key not in settled or settled[key][0] == Outcome.ERROR:
            settled[key] = row
    return settled


def _head_and_tail(text: str, max_chars: int) -> tuple[str, str]:
    """Returns a whole text and nothing, or the first and the last characters of a text longer than twice as many."""
    return (text, "") if len(text) <= 2 * max_chars else (text[:max_chars], text[-max_chars:])


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


def _storable(text: str) -> str:
    """Returns text that SQLite can hold: lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _or_none(text: str | None) -> str | None:
    return None if text is None else _storable(text)
