"""The first pass over logs: everything that can be wrong, before anything is written.

Owns: what a file holds (problems, draws, settings), agreement between rows and files, and the arm that they declare.
Does not own: the second pass, which stores (`probes.importers.writing`).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from probes.importers.records import NO_METRIC, UNKNOWN, ImportOptions, LogRow, LogSample, Reader, Settings, SkippedRow
from probes.importers.scores import verdicts_of
from probes.store.arm import Arm, Sampling, declared_arm
from probes.store.drawn import MAX_DRAWS
from probes.store.store import MAX_COMPLETION_CHARS
from rlvr.errors import ProblemError, StoreError
from rlvr.problems import Problem
from rlvr.verifiers.verdicts import Outcome, Verdict

SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens")


@dataclass(eq=False)
class FileSurvey:
    """What one log file holds.

    Attributes:
        path: of the file.
        sha256: of its bytes.
        num_rows: lines or samples read.
        num_draws: to store.
        num_errors: draws without a usable score.
        num_no_completion: draws whose completion the log lacks; stored as empty text.
        num_no_tokens: draws whose number of tokens the log does not tell.
        num_no_stop: draws of which the log does not tell whether they were cut.
        skipped: rows that hold no draw of their own, by reason.
        draws_of: number of draws by problem id.
    """

    path: Path
    sha256: str
    num_rows: int = 0
    num_draws: int = 0
    num_errors: int = 0
    num_no_completion: int = 0
    num_no_tokens: int = 0
    num_no_stop: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    draws_of: Counter[str] = field(default_factory=Counter)


@dataclass(eq=False)
class Survey:
    """What all new files hold together.

    Attributes:
        tool: format of the logs.
        options: of the import.
        copy_keys: of rows seen, in files that are imported already included.
        files: in the order given.
        problems: by id, in the order of appearance.
        settings: that all rows agree on; None before the first row.
        metric: that all rows agree on; empty before the first row with a score.
        item_of: the tool's name of each problem.
        pooled: problems that stand in the logs under several names.
    """

    tool: str
    options: ImportOptions
    copy_keys: dict[str, None]
    files: list[FileSurvey] = field(default_factory=list)
    problems: dict[str, Problem] = field(default_factory=dict)
    settings: Settings | None = None
    metric: str = ""
    item_of: dict[str, str] = field(default_factory=dict)
    pooled: set[str] = field(default_factory=set)

    def add(self, path: Path, sha256: str, reader: Reader) -> None:
        """Reads one file to its end.

        Raises:
            ProblemError: the file, a row or a score cannot be used, or rows disagree; names file and line.
            StoreError: rows are of another arm or metric than those before.
        """
        found = FileSurvey(path, sha256)
        for row in rows_to_store(reader(path, self.options), self.copy_keys):
            found.num_rows += 1
            if isinstance(row, SkippedRow):
                found.skipped[row.reason] += 1
            else:
                self._take(row, found)
        if found.num_rows == 0:
            raise ProblemError(f"{path}: no samples found; expected a log of {self.tool}.")
        self.files.append(found)

    def _take(self, row: LogRow, found: FileSurvey) -> None:
        self._agree(row)
        problem_id = row.problem.problem_id
        self.problems.setdefault(problem_id, row.problem)
        if self.item_of.setdefault(problem_id, row.item) != row.item:
            self.pooled.add(problem_id)
        found.draws_of[problem_id] += len(row.samples)
        if found.draws_of[problem_id] > MAX_DRAWS:
            raise ProblemError(f"{row.where}: more than {MAX_DRAWS} draws of one problem; split the log.")
        for sample, verdict in zip(row.samples, verdicts_of(row, self.options), strict=True):
            if sample.completion is not None and len(sample.completion) > MAX_COMPLETION_CHARS:
                raise ProblemError(
                    f"{row.where}: a completion has {len(sample.completion)} characters, at most "
                    f"{MAX_COMPLETION_CHARS} are stored; remove the row or shorten it."
                )
            found.num_draws += 1
            found.num_errors += is_error(verdict)
            found.num_no_completion += sample.completion is None
            found.num_no_tokens += sample.num_tokens == UNKNOWN
            found.num_no_stop += sample.truncated is None

    def _agree(self, row: LogRow) -> None:
        """Raises `StoreError` where a row is of another arm or metric than the rows before."""
        self.settings = self.settings or row.settings
        if row.settings != self.settings:
            for name, first, here in differences(self.settings, row.settings):
                raise StoreError(
                    f"{row.where}: {name} is {here!r}, and {first!r} before; these are two arms. Import each into a "
                    "folder of its own."
                )
        self.metric = self.metric or row.metric
        if row.metric and row.metric != self.metric:
            raise StoreError(f"{row.where}: metric is {row.metric!r}, and {self.metric!r} before; name one metric.")

    def require_metric(self) -> None:
        """Raises `ProblemError` where no row has a score."""
        if not self.metric:
            raise ProblemError(
                f"{self.files[0].path}: no sample has a score; name the metric that is missing, or {NO_METRIC!r} to "
                "import draws without verdicts."
            )

    def arm(self) -> Arm:
        """Returns the arm that log and options declare; what neither tells is `UNKNOWN`."""
        return arm_of_settings(self.tool, self.settings or Settings(), self.options, str(self.files[0].path))


def rows_to_store(rows: Iterator[LogRow | SkippedRow], seen: dict[str, None]) -> Iterator[LogRow | SkippedRow]:
    """Yields the rows of one file; both passes go through here.

    Skipped are rows that an earlier file holds, copied by its tool, and, where draws are imported without verdicts,
    samples that failed: a verifier would take their empty text for an answer. `seen` grows by the file's keys.
    """
    own: dict[str, None] = {}
    for row in rows:
        if isinstance(row, LogRow) and row.copy_key in seen:
            yield SkippedRow("copied from an earlier file")
        elif isinstance(row, LogRow) and row.metric == NO_METRIC and all(_has_failed(s) for s in row.samples):
            yield SkippedRow("failed, without a completion to judge")
        else:
            yield row
        if isinstance(row, LogRow) and row.copy_key:
            own[row.copy_key] = None
    seen |= own


def _has_failed(sample: LogSample) -> bool:
    return sample.completion is None and sample.failure is not None


def is_error(verdict: Verdict | None) -> bool:
    """Returns whether a draw has a verdict that judges nothing."""
    return verdict is not None and verdict.outcome is Outcome.ERROR


def differences(first: Settings, second: Settings) -> list[tuple[str, object, object]]:
    """Returns (name, value, value) of what two settings tell differently."""
    mine, other = asdict(first), asdict(second)
    one, two = dict(mine.pop("prompt")), dict(other.pop("prompt"))
    mine |= {f"prompt {name}": one.get(name) for name in {**one, **two}}
    other |= {f"prompt {name}": two.get(name) for name in {**one, **two}}
    return [(name, mine[name], other[name]) for name in mine if mine[name] != other[name]]


def arm_of_settings(tool: str, settings: Settings, options: ImportOptions, where: str) -> Arm:
    """Returns the declared arm of an import.

    Raises:
        ProblemError: nothing names the model, or log and options tell a sampling parameter differently.
    """
    model = options.model or settings.model
    if not model:
        raise ProblemError(f"{where}: the log does not name the model; name it, so that arms can be told apart.")
    values = {name: _agreed(name, getattr(settings, name), getattr(options, name), where) for name in SAMPLING}
    revised = f"{model}@{settings.revision}" if settings.revision else model
    return declared_arm(revised, {"imported": tool, **dict(settings.prompt)}, Sampling(**values))


def _agreed(name: str, logged: Any, said: Any, where: str) -> Any:
    if logged is not None and said is not None and logged != said:
        raise ProblemError(f"{where}: {name} is {logged} in the log, and {said} was given; leave it out.")
    return next((value for value in (logged, said) if value is not None), UNKNOWN)
