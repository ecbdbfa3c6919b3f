"""The second pass over logs: draws and verdicts into the store.

Owns: draw indices, batches, and going on with an import that was cut.
Does not own: what may be imported (`probes.importers.survey`), the journal's file (`probes.importers.journal`).

Draw indices follow the order of appearance, problem by problem, after the draws that the store has.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from probes.importers.journal import Entry, Journal
from probes.importers.records import ImportOptions, LogRow, LogSample, Reader
from probes.importers.scores import verdicts_of
from probes.importers.survey import FileSurvey, rows_to_store
from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.verifiers.verdicts import Verdict

BATCH_DRAWS = 2_000
BATCH_CHARS = 32_000_000

Judged = tuple[Draw, Verdict | None]


@dataclass
class _Batch:
    judged: list[Judged] = field(default_factory=list)
    num_chars: int = 0

    def add(self, item: Judged) -> bool:
        """Adds a draw; returns whether the batch is full."""
        self.judged.append(item)
        self.num_chars += len(item[0].completion)
        return len(self.judged) >= BATCH_DRAWS or self.num_chars >= BATCH_CHARS


def write_file(
    store: ProbeStore,
    journal: Journal,
    found: FileSurvey,
    reader: Reader,
    options: ImportOptions,
    copy_keys: dict[str, None],
) -> None:
    """Stores the draws and verdicts of one surveyed file, and enters it in the journal.

    The caller holds the store for writing. `copy_keys` are those of the files before; it grows by those of this one.
    """
    entry, present = journal.entry(found.sha256), set[tuple[str, int]]()
    if entry is not None:
        present = {(problem_id, index) for problem_id, index, *_ in store.sizes()}
    else:
        stored = Counter(problem_id for problem_id, *_ in store.sizes())
        first_index = {problem_id: stored[problem_id] for problem_id in found.draws_of if stored[problem_id]}
        entry = Entry(found.sha256, found.path.name, found.num_draws, first_index)
        journal.entries.append(entry)
        journal.write(store.path)
    batch = _Batch()
    rows = (row for row in rows_to_store(reader(found.path, options), copy_keys) if isinstance(row, LogRow))
    for item in _judged(rows, entry, options, f"imported:{journal.tool}"):
        if batch.add(item):
            _flush(store, journal, batch, present)
            batch = _Batch()
    _flush(store, journal, batch, present)
    entry.first_index, entry.is_complete = {}, True
    journal.copy_keys = list(copy_keys)
    journal.write(store.path)


def _judged(rows: Iterator[LogRow], entry: Entry, options: ImportOptions, engine: str) -> Iterator[Judged]:
    next_index = Counter(entry.first_index)
    for row in rows:
        problem_id = row.problem.problem_id
        for sample, verdict in zip(row.samples, verdicts_of(row, options), strict=True):
            yield _draw(sample, problem_id, next_index[problem_id], engine), verdict
            next_index[problem_id] += 1


def _draw(sample: LogSample, problem_id: str, index: int, engine: str) -> Draw:
    """Returns the draw of a sample; a missing completion is empty text, which its verdict says."""
    return Draw(problem_id, index, sample.completion or "", sample.num_tokens, bool(sample.truncated), engine)


def _flush(store: ProbeStore, journal: Journal, batch: _Batch, present: set[tuple[str, int]]) -> None:
    """Makes a batch durable; draws that a cut import stored are not stored again."""
    if new := [draw for draw, _ in batch.judged if (draw.problem_id, draw.draw_index) not in present]:
        store.add_draws(new)
    verdicts = [(draw, verdict) for draw, verdict in batch.judged if verdict is not None]
    if journal.verifier_id is not None and verdicts:
        store.add_verdicts(journal.verifier_id, verdicts)
