"""limit-of-RLVR (Yue et al. 2025): `test_<prompt>_<num>_seed<seed>_t<temperature>_s<start>_e<end>.jsonl`.

Owns: its fields `question`, `gt`, `code` (the completions), `pred`, `score`, `finish_reason`, lists over the samples of
one question. The evaluation of Qwen2.5-Math and what derives from it write the same lines, some without
`finish_reason`.
Does not own: scores (`probes.importers.scores`).

Temperature and prompt template are read from the file's name. A run copies the lines of earlier files of the same
folder into its own, so a line with the question and completions of an earlier file is a copy, not more draws.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probes.importers.files import field, read_rows
from probes.importers.records import (
    ImportOptions,
    LogRow,
    LogSample,
    Settings,
    SkippedRow,
    as_text,
    choose_metric,
    make_problem,
    short_hash,
)
from rlvr.errors import ProblemError

METRIC = "score"
CUT = "length"  # vLLM's finish reason at the token limit

_NAME = re.compile(r"[^_]+_(?P<prompt>.+)_-?\d+_seed-?\d+_t(?P<temperature>\d+(\.\d+)?)_s-?\d+_e-?\d+\.jsonl(\.gz)?")


def read(path: Path, options: ImportOptions) -> Iterator[LogRow | SkippedRow]:
    """Yields one row per question."""
    metric = choose_metric(options.metric, [METRIC], str(path))
    settings = _settings(path)
    for where, row in read_rows(path):
        problem = make_problem(field(row, "question", str, where), row.get("gt", row.get("answer")))
        samples = tuple(_samples(row, where))
        key = short_hash([problem.problem_id, [as_text(text) for text in row["code"]]])
        yield LogRow(where, problem, settings, metric, samples, item=as_text(row.get("idx")), copy_key=key)


def _settings(path: Path) -> Settings:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return Settings()
    return Settings(temperature=float(match["temperature"]), prompt=(("prompt_type", match["prompt"]),))


def _samples(row: dict[str, Any], where: str) -> Iterator[LogSample]:
    codes = field(row, "code", list, where)
    if not codes:
        raise ProblemError(f"{where}: code is empty; expected one text per sample.")
    scores, reasons, answers = (_beside(row, name, codes, where) for name in (METRIC, "finish_reason", "pred"))
    for code, score, reason, answer in zip(codes, scores, reasons, answers, strict=True):
        if code is not None and not isinstance(code, str):
            raise ProblemError(f"{where}: code holds {code!r:.80}; expected text.")
        truncated = None if reason is None else reason == CUT
        yield LogSample(code, score, truncated=truncated, answer=None if answer is None else as_text(answer))


def _beside(row: dict[str, Any], name: str, codes: list[Any], where: str) -> list[Any]:
    """Returns a list that runs beside the completions; of nothing where the row lacks it."""
    if row.get(name) is None:
        return [None] * len(codes)
    values: list[Any] = field(row, name, list, where)
    if len(values) != len(codes):
        raise ProblemError(f"{where}: {name} has {len(values)} entries and code {len(codes)}; expected as many.")
    return values
