"""lighteval: `details/<model>/<date>/details_<task>_<date>.parquet`.

Owns: its columns `doc`, `metric`, `model_response`; the model's name from the folders; the sampling parameters from
`results/<model>/results_<date>.json`.
Does not own: scores (`probes.importers.scores`).

With several samples a document, lighteval logs one value for all of them (`avg@n`, `pass@k`). The log does not tell
which completions were cut.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from probes.importers.files import names_of, part, read_beside, readable
from probes.importers.records import (
    UNKNOWN,
    ImportOptions,
    LogRow,
    LogSample,
    Settings,
    SkippedRow,
    as_text,
    make_problem,
    metric_of_row,
    number_or_none,
    short_hash,
    whole_or_none,
)
from rlvr.errors import ProblemError

COLUMNS = ("doc", "metric", "model_response")
BATCH_ROWS = 16  # documents in memory; each may hold hundreds of completions


def read(path: Path, options: ImportOptions) -> Iterator[LogRow | SkippedRow]:
    """Yields one row per document."""
    settings = _settings(path)
    for index, row in enumerate(_documents(path)):
        where = f"{path}:row {index}"
        doc, response, scores = part(row, "doc"), part(row, "model_response"), part(row, "metric")
        # A column holds the union of the keys of its rows; what is null everywhere but asked for has no score here.
        available = [name for name, value in scores.items() if value is not None or name == options.metric]
        metric = metric_of_row(options.metric, available, where)
        samples = tuple(_samples(response, where))
        problem = make_problem(doc.get("query"), _gold(doc))
        told = replace(settings, prompt=(*settings.prompt, ("num_fewshot", str(len(doc.get("fewshot_samples") or [])))))
        item = as_text(doc.get("id"))
        yield LogRow(where, problem, told, metric, samples, shared_score=scores.get(metric), item=item)


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with readable(path), path.open("rb") as file:
        try:
            table = pq.ParquetFile(file)
            if missing := [name for name in COLUMNS if name not in table.schema_arrow.names]:
                raise ProblemError(
                    f"{path}: no column {', '.join(missing)}, saw {names_of(table.schema_arrow.names)}; expected "
                    "details as lighteval 0.13 writes them. Run the evaluation with such a version."
                )
            for batch in table.iter_batches(BATCH_ROWS, columns=list(COLUMNS)):
                yield from batch.to_pylist()
        except pa.ArrowException as error:
            raise ProblemError(
                f"{path}: not a parquet file ({error}); expected lighteval's details_*.parquet."
            ) from None


def _samples(response: dict[str, Any], where: str) -> Iterator[LogSample]:
    texts = response.get("text")
    if not isinstance(texts, list) or not texts:
        raise ProblemError(f"{where}: model_response.text is empty; expected generated completions, as pass@k needs.")
    tokens = response.get("output_tokens")
    if not isinstance(tokens, list) or len(tokens) != len(texts):
        tokens = [None] * len(texts)
    for text, ids in zip(texts, tokens, strict=True):
        yield LogSample(text, num_tokens=len(ids) if isinstance(ids, list) and ids else UNKNOWN)


def _gold(doc: dict[str, Any]) -> Any:
    """Returns the gold answer, or the list of several."""
    choices, index = doc.get("choices") or [], doc.get("gold_index")
    places = index if isinstance(index, list) else [index]
    golds = [choices[place] for place in places if isinstance(place, int) and 0 <= place < len(choices)]
    return golds[0] if len(golds) == 1 else golds


def _settings(path: Path) -> Settings:
    """Returns what the folders and the run's results file tell."""
    parts = path.absolute().parts
    if "details" not in parts[:-2]:
        return Settings()
    at = len(parts) - 1 - parts[::-1].index("details")
    model, date = "/".join(parts[at + 1 : -2]), parts[-2]
    results = read_beside(Path(*parts[:at], "results", *parts[at + 1 : -2], f"results_{date}.json"))
    config = part(part(results, "config_general"), "model_config")
    told, system = part(config, "generation_parameters"), config.get("system_prompt")
    where = f"{path}: {date}"
    return Settings(
        model=model or None,
        temperature=number_or_none(told.get("temperature"), where, "temperature"),
        top_p=number_or_none(told.get("top_p"), where, "top_p"),
        top_k=whole_or_none(told.get("top_k"), where, "top_k"),
        max_new_tokens=whole_or_none(told.get("max_new_tokens"), where, "max_new_tokens"),
        prompt=(("system_prompt", short_hash(system)),) if system else (),
    )
