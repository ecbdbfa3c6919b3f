"""lm-evaluation-harness: `samples_<task>_<date>.jsonl`, as `--log_samples` writes it.

Owns: its fields `doc`, `target`, `arguments`, `resps`, `filter`, and the metrics beside them; the model's name from
`results_<date>.json` in the same folder.
Does not own: scores (`probes.importers.scores`).

A document has one line per filter. A metric is named as the tool prints it, `exact_match,strict-match`, or by its first
part where there is one filter. With `repeats` above 1 the tool gives one value for all responses of a document, mostly
that of the first one; runs with other seeds give each response its own. The log tells neither tokens nor truncation.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probes.importers.files import field, part, read_beside, read_rows
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
    number_or_none,
    whole_or_none,
)
from rlvr.errors import ProblemError

QUESTION_COLUMNS = ("problem", "question", "query", "input", "prompt")
LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d{2}-\d{2}T.+)\.jsonl(\.gz)?")


def read(path: Path, options: ImportOptions) -> Iterator[LogRow | SkippedRow]:
    """Yields one row per document, of the lines of the chosen filter."""
    model, prompt = _run(path)
    asked, seen, chosen = options.metric, dict[str, None](), None
    for where, row in read_rows(path):
        texts, available = _responses(row, where), _metrics(row, where)
        seen |= dict.fromkeys(available)
        chosen = chosen or _choose(asked, available, where)
        if chosen is None or chosen not in available:
            _require_filter(asked, list(seen), where)
            yield SkippedRow("of another filter")
            continue
        metric = NO_METRIC if asked == NO_METRIC else chosen
        yield _row(row, texts, metric, _settings(row, model, prompt, where), where)
    if chosen is None and seen:
        choose_metric(asked, list(seen), str(path))


def _metrics(row: dict[str, Any], where: str) -> list[str]:
    """Returns the metrics of a line, each with its filter, as the tool prints them; at least one entry."""
    names = field(row, "metrics", list, where) or [NO_METRIC]
    return [f"{name},{row.get('filter')}" for name in names]


def _choose(asked: str | None, available: list[str], where: str) -> str | None:
    """Returns the metric to read of the log, or None where this line does not have it."""
    if asked == NO_METRIC:
        return available[0]
    if asked is None:
        return choose_metric(None, available, where)
    return next((name for name in available if asked in (name, name.rpartition(",")[0])), None)


def _require_filter(asked: str | None, seen: list[str], where: str) -> None:
    """Raises `ProblemError` where there are lines of several filters and nobody chose one."""
    filters = {name.rpartition(",")[2] for name in seen}
    if asked != NO_METRIC and len(filters) > 1 and (asked is None or asked.rpartition(",")[2] not in filters):
        raise ProblemError(f"{where}: the log has several filters; name the metric as one of: {'; '.join(seen)}.")


def _run(path: Path) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Returns model and prompt settings that the run's results file tells."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None, ()
    results = read_beside(path.with_name(f"results_{match['date']}.json"))
    config = part(part(results, "configs"), match["task"])
    told = {
        "num_fewshot": config.get("num_fewshot"),
        "chat_template_sha": results.get("chat_template_sha"),
        "system_instruction_sha": results.get("system_instruction_sha"),
    }
    name = results.get("model_name")
    return name if isinstance(name, str) else None, tuple((k, str(v)) for k, v in told.items() if v is not None)


def _responses(row: dict[str, Any], where: str) -> list[str]:
    """Returns the generated texts of one document."""
    requests = field(row, "resps", list, where)
    texts = requests[0] if len(requests) == 1 else None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ProblemError(
            f"{where}: resps is not a list of texts for one request; expected a task of type generate_until, since "
            "pass@k needs generated completions."
        )
    return texts


def _row(row: dict[str, Any], responses: list[str], metric: str, settings: Settings, where: str) -> LogRow:
    doc, value = part(row, "doc"), row.get(metric.rpartition(",")[0])
    question = next((doc[name] for name in QUESTION_COLUMNS if isinstance(doc.get(name), str) and doc[name]), None)
    problem = make_problem(question or _argument(row, "arg_0") or doc, row.get("target"))
    item = as_text(row.get("doc_id"))
    if isinstance(value, list) and len(value) == len(responses):
        samples = tuple(LogSample(text, score) for text, score in zip(responses, value, strict=True))
        return LogRow(where, problem, settings, metric, samples, item=item)
    samples = tuple(LogSample(text) for text in responses)
    return LogRow(where, problem, settings, metric, samples, shared_score=value, item=item)


def _argument(row: dict[str, Any], name: str) -> Any:
    """Returns the prompt (`arg_0`) or the generation settings (`arg_1`) of a document."""
    return part(part(row, "arguments"), "gen_args_0").get(name)


def _settings(row: dict[str, Any], model: str | None, prompt: tuple[tuple[str, str], ...], where: str) -> Settings:
    told = _argument(row, "arg_1")
    told = told if isinstance(told, dict) else {}
    is_greedy = told.get("do_sample") is False
    limit = next((told[name] for name in LIMITS if told.get(name) is not None), None)
    return Settings(
        model=model,
        temperature=0.0 if is_greedy else number_or_none(told.get("temperature"), where, "temperature"),
        top_p=number_or_none(told.get("top_p"), where, "top_p"),
        top_k=whole_or_none(told.get("top_k"), where, "top_k"),
        max_new_tokens=whole_or_none(limit, where, "max_gen_toks"),
        prompt=prompt,
    )
