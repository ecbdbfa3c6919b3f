"""The draws of a store with problem and verdict, a row a draw, for other programs.

Owns: the columns of an export, and its formats.
Does not own: what the store holds (`probes.store`). An export is a copy: nothing reads it back.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from probes.store.files import disk_errors
from probes.store.store import ProbeStore
from rlvr.durable import sync
from rlvr.errors import StoreError
from rlvr.parquet import ODD_TEXT, odd_texts, texts

GROUP_ROWS = 16_384
COLUMNS: dict[str, pa.DataType] = {
    "problem_id": pa.string(),
    "draw_index": pa.int32(),
    "question": pa.string(),
    "gold": pa.string(),
    "completion": pa.string(),
    "num_tokens": pa.int64(),
    "truncated": pa.bool_(),
    "engine": pa.string(),
    "outcome": pa.string(),
    "answer": pa.string(),
    "reason": pa.string(),
}
CARD = """---
configs:
- config_name: default
  data_files: data/*.parquet
---
Draws of arm {arm} on {problems}, judged by {verifier}; written by `probes export`.
"""


def export_store(path: Path, format_: str, output: Path, verifier_id: str | None = None) -> int:
    """Writes all draws of a store, whole or not at all, and returns their number.

    Args:
        path: of the store.
        format_: `parquet`, `jsonl`, or `hf-dataset`, a folder that `datasets.load_dataset` reads.
        output: the file or folder, which must not exist.
        verifier_id: whose verdicts; None is the only one there is, or none where nothing is judged.

    Raises:
        StoreError: the output exists, the verifier is not known, or the store is damaged.
    """
    store = ProbeStore.open_existing(path)
    if output.exists():
        raise StoreError(f"{output}: exists already; name a file or folder that does not.")
    if verifier_id or store.verifier_ids():
        verifier_id = store.require_verifier(verifier_id)
    write: Callable[[Path, Iterable[dict[str, Any]]], int] = {
        "parquet": _write_parquet,
        "jsonl": _write_jsonl,
        "hf-dataset": lambda folder, rows: _write_data_set(folder, rows, store, verifier_id),
    }[format_]
    making = output.with_name(f".{output.name}.making")
    with disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove(making)
        try:
            num_rows = write(making, _rows(store, verifier_id))
            sync(making)
            making.rename(output)
            sync(output.parent)
        finally:
            _remove(making)
    return num_rows


def _rows(store: ProbeStore, verifier_id: str | None) -> Iterator[dict[str, Any]]:
    """Yields a row a draw, by problem and index; a draw that is not judged has no outcome."""
    problems = {problem.problem_id: problem for problem in store.problems()}
    for draw, verdict in store.judged_draws(verifier_id):
        yield {
            "problem_id": draw.problem_id,
            "draw_index": draw.draw_index,
            "question": problems[draw.problem_id].question,
            "gold": problems[draw.problem_id].answer,
            "completion": draw.completion,
            "num_tokens": draw.num_tokens,
            "truncated": draw.truncated,
            "engine": draw.engine,
            "outcome": verdict and verdict.outcome.value,
            "answer": verdict and verdict.answer,
            "reason": verdict and verdict.reason,
        }


def _write_jsonl(file: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Writes a line a draw, in ASCII: lone surrogates and odd line ends survive every reader."""
    num_rows = 0
    with file.open("w", encoding="ascii", newline="") as output:
        for row in rows:
            output.write(json.dumps(row) + "\n")
            num_rows += 1
    return num_rows


def _write_parquet(file: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Writes row groups with the columns of an export and `odd_text`, see docs/contracts.md."""
    schema = pa.schema([*COLUMNS.items(), (ODD_TEXT, pa.string())])
    num_rows, remaining = 0, iter(rows)
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True, store_schema=False) as writer:
        while group := list(islice(remaining, GROUP_ROWS)):
            odd: dict[int, dict[str, str]] = {}
            arrays = [
                texts(name, [row[name] for row in group], odd)
                if pa.types.is_string(type_)
                else pa.array([row[name] for row in group], type_)
                for name, type_ in COLUMNS.items()
            ]
            writer.write_table(pa.Table.from_arrays([*arrays, odd_texts(odd, len(group))], schema=schema))
            num_rows += len(group)
    return num_rows


def _write_data_set(folder: Path, rows: Iterable[dict[str, Any]], store: ProbeStore, verifier_id: str | None) -> int:
    """Writes a folder as the Hub has them: a card, and the rows as Parquet."""
    (folder / "data").mkdir(parents=True)
    card = CARD.format(arm=store.arm.arm_id, problems=store.problem_set_id, verifier=verifier_id or "nobody")
    (folder / "README.md").write_text(card, encoding="utf-8")
    return _write_parquet(folder / "data" / "train-00000-of-00001.parquet", rows)


def _remove(path: Path) -> None:
    """Removes what an export that was cut has left."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
