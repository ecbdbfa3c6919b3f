"""verl: generations dumped to `trainer.validation_data_dir` or `trainer.rollout_data_dir`, one file a step.

Owns: its fields `input`, `output`, `gts`, `score`, `step`, and what the reward function adds (`acc`, `pred`, ...).
Does not own: scores (`probes.importers.scores`).

The step is part of the model's name: two steps are two arms. The file tells neither model nor sampling, tokens nor
truncation. `score` is the reward, which need not be 0 or 1: `acc` is the metric of reward functions that log it.
"""

from collections.abc import Iterator
from pathlib import Path

from probes.importers.files import field, read_rows, text_or_none
from probes.importers.records import (
    NO_METRIC,
    ImportOptions,
    LogRow,
    LogSample,
    Settings,
    SkippedRow,
    as_text,
    choose_metric,
    make_problem,
)
from rlvr.errors import ProblemError

DEFAULT_METRIC = "score"


def read(path: Path, options: ImportOptions) -> Iterator[LogRow | SkippedRow]:
    """Yields one row per line; lines with equal `input` and `gts` are draws of one problem."""
    metric = options.metric or DEFAULT_METRIC
    for where, row in read_rows(path):
        if metric != NO_METRIC and metric not in row:
            choose_metric(metric, [name for name, value in row.items() if isinstance(value, (int, float))], where)
        sample = LogSample(
            completion=text_or_none(row, "output", where),
            score=row.get(metric),
            answer=None if row.get("pred") is None else as_text(row["pred"]),
        )
        problem = make_problem(field(row, "input", str, where), row.get("gts"))
        yield LogRow(where, problem, _settings(row, where), metric, (sample,))


def _settings(row: dict[str, object], where: str) -> Settings:
    step = row.get("step")
    if step is None:
        return Settings()
    if isinstance(step, bool) or not isinstance(step, int):
        raise ProblemError(f"{where}: step is {step!r:.80}; expected a whole number.")
    return Settings(revision=f"step-{step}")
