"""Counts from a table.

Owns: reading `problem_id,n,c` CSV files into `Counts`, with bad rows named by file and line.
Does not own: counts from a store of draws (`probes.store`).
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from probes.statistics.estimators import Counts
from rlvr.errors import ProblemError

_REQUIRED = ("problem_id", "n", "c")


@dataclass(frozen=True)
class _Row:
    problem_id: str
    n: int
    c: int
    errors: int
    cluster: str | None
    line: int


def read_counts(path: Path) -> Counts:
    """Returns the counts of a CSV file, in the order of its rows.

    The header names the columns `problem_id`, `n` (draws judged) and `c` (draws correct), in any order. Two more are
    read where present: `errors` (draws that the verifier could not judge; empty is 0) and `cluster` (empty is none).
    All other columns are ignored. Empty lines are skipped.

    Raises:
        ProblemError: the file cannot be read, lacks a column, holds no row, or a row is malformed, repeats a problem,
            or breaks 0 <= c <= n and n >= 1. The message names file and line.
    """
    rows: dict[str, _Row] = {}
    for row in _rows(path):
        if row.problem_id in rows:
            first = rows[row.problem_id].line
            raise ProblemError(
                f"{path}:{row.line}: problem {row.problem_id!r} is already on line {first}; keep one row."
            )
        rows[row.problem_id] = row
    if not rows:
        raise ProblemError(f"{path}: no problems found; expected at least one row below the header.")
    return Counts(
        problem_ids=tuple(rows),
        n_P=np.array([row.n for row in rows.values()]),
        c_P=np.array([row.c for row in rows.values()]),
        errors_P=np.array([row.errors for row in rows.values()]),
        cluster_P=tuple(row.cluster for row in rows.values()),
    )


def _rows(path: Path) -> Iterator[_Row]:
    try:
        # utf-8-sig: spreadsheet programs put a byte-order mark before the header.
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _parsed_rows(path, file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ProblemError(f"{path}: cannot be read as CSV ({error}); expected UTF-8 text.") from error


def _parsed_rows(path: Path, lines: Iterator[str]) -> Iterator[_Row]:
    reader = csv.reader(lines, strict=True)
    header = [name.strip() for name in next(reader, [])]
    missing = [name for name in _REQUIRED if name not in header]
    if missing:
        raise ProblemError(f"{path}:1: no column {', '.join(missing)}; expected a header with problem_id,n,c.")
    for values in reader:
        if not values:
            continue
        where = f"{path}:{reader.line_num}"
        if len(values) != len(header):
            raise ProblemError(f"{where}: {len(values)} values; expected {len(header)}, as the header has.")
        yield _parse_row(dict(zip(header, values, strict=True)), where, reader.line_num)


def _parse_row(values: dict[str, str], where: str, line: int) -> _Row:
    problem_id = values["problem_id"].strip()
    if not problem_id:
        raise ProblemError(f"{where}: problem_id is empty; expected a name.")
    n, c = _whole(values["n"], "n", where), _whole(values["c"], "c", where)
    if n < 1:
        raise ProblemError(f"{where}: n = {n} draws judged for problem {problem_id!r}; expected at least 1.")
    if c > n:
        raise ProblemError(f"{where}: c = {c} exceeds n = {n} for problem {problem_id!r}; expected 0 <= c <= n.")
    errors = _whole(values.get("errors", "").strip() or "0", "errors", where)
    return _Row(problem_id, n, c, errors, cluster=values.get("cluster", "").strip() or None, line=line)


def _whole(text: str, column: str, where: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ProblemError(f"{where}: {column} is {text!r}; expected a whole number >= 0.")
    return int(text)
