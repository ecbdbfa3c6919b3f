"""Inspect: logs of inspect_ai, `.eval` (a zip of JSON) and `.json`.

Owns: its samples with epochs, scores, stop reasons, usage and errors; the model and its generation config.
Does not own: scores (`probes.importers.scores`), zip members (`probes.importers.zips`).

A `.eval` file is read sample by sample; a `.json` file is one value and is read whole (`inspect log convert --to eval`
makes a large one readable by parts). A sample has an id of its own, so that the same run in both forms, or completed by
a retry, counts once. Several scorers are several metrics; one that gives an object is named
`scorer/key`. Where a sample was started again in the same log, the last one counts, as for Inspect itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probes.importers.files import field, kind, parse_object, part, read_value, readable
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
from probes.importers.zips import ZIP_MAGIC, open_zip, read_member
from rlvr.errors import ProblemError

CUT = ("max_tokens", "model_length")
HEADERS = ("header.json", "_journal/start.json")  # the second where a run did not end
ATTACHMENT = "attachment://"


def read(path: Path, options: ImportOptions) -> Iterator[LogRow | SkippedRow]:
    """Yields one row per sample and epoch."""
    with readable(path), path.open("rb") as file:
        is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
    samples = _zipped(path) if is_zip else _plain(path)
    for where, header, sample in samples:
        yield _row(sample, options, _settings(header, where), where)


def _plain(path: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    log = read_value(path)
    field(log, "eval", dict, str(path))
    samples = log.get("samples")
    if not isinstance(samples, list):
        raise ProblemError(f"{path}: samples is {kind(samples)}; expected a list. Was the log written without samples?")
    for index, sample in enumerate(samples):
        where = f"{path}:sample {index}"
        if not isinstance(sample, dict):
            raise ProblemError(f"{where}: saw {kind(sample)}; expected an object.")
        yield where, log, sample


def _zipped(path: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    with readable(path), open_zip(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        name = next((name for name in HEADERS if name in members), None)
        if name is None:
            raise ProblemError(f"{path}: a zip without {' or '.join(HEADERS)}; expected a .eval log of Inspect.")
        header = parse_object(read_member(path, archive, members[name]), f"{path}:{name}")
        field(header, "eval", dict, f"{path}:{name}")
        for member, info in members.items():
            if member.startswith("samples/") and member.endswith(".json"):
                where = f"{path}:{member}"
                yield where, header, parse_object(read_member(path, archive, info), where)


def _settings(header: dict[str, Any], where: str) -> Settings:
    evaluation, plan = header["eval"], part(header, "plan")
    # The task's config goes before the model's, where it says something.
    own, task = part(evaluation, "model_generate_config"), part(plan, "config")
    told = own | {name: value for name, value in task.items() if value is not None}
    steps = [[step.get("solver"), step.get("params")] for step in plan.get("steps") or [] if isinstance(step, dict)]
    prompt = [("solvers", ", ".join(str(name) for name, _ in steps)), ("solver_params", short_hash(steps))]
    if told.get("system_message"):
        prompt.append(("system_message", short_hash(told["system_message"])))
    return Settings(
        model=field(evaluation, "model", str, where),
        temperature=number_or_none(told.get("temperature"), where, "temperature"),
        top_p=number_or_none(told.get("top_p"), where, "top_p"),
        top_k=whole_or_none(told.get("top_k"), where, "top_k"),
        max_new_tokens=whole_or_none(told.get("max_tokens"), where, "max_tokens"),
        prompt=tuple(prompt),
    )


def _row(sample: dict[str, Any], options: ImportOptions, settings: Settings, where: str) -> LogRow:
    scores = _scores(sample)
    metric = metric_of_row(options.metric, list(scores), where)
    score = scores.get(metric) or {}
    output = part(sample, "output")
    stop = next((c.get("stop_reason") for c in output.get("choices") or [] if isinstance(c, dict)), None)
    limit = part(sample, "limit").get("type")
    tokens = part(output, "usage").get("output_tokens")
    logged = LogSample(
        completion=_completion(sample, output),
        score=score.get("value"),
        num_tokens=tokens if isinstance(tokens, int) and tokens >= 0 else UNKNOWN,
        truncated=True if stop in CUT or limit == "token" else None if stop is None else False,
        answer=None if score.get("answer") is None else as_text(score["answer"]),
        failure=_failure(sample),
    )
    problem = make_problem(_resolved(sample.get("input"), sample), _gold(sample))
    key = as_text(sample.get("uuid"))  # kept by a conversion and by a retry of the run
    return LogRow(where, problem, settings, metric, (logged,), item=as_text(sample.get("id")), copy_key=key)


def _scores(sample: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the scores by metric; a scorer that gives an object is taken apart."""
    found: dict[str, dict[str, Any]] = {}
    for name, score in part(sample, "scores").items():
        if isinstance(score, dict) and isinstance(score.get("value"), dict):
            found |= {f"{name}/{key}": {**score, "value": value} for key, value in score["value"].items()}
        elif isinstance(score, dict):
            found[name] = score
    return found


def _failure(sample: dict[str, Any]) -> str | None:
    error = sample.get("error")
    if error is None:
        return None
    return as_text(error.get("message", "error") if isinstance(error, dict) else error) or "error"


def _completion(sample: dict[str, Any], output: dict[str, Any]) -> str | None:
    """Returns the text of the last answer; None where the model gave none."""
    text = output.get("completion")
    if not output.get("choices") and not text:
        return None
    return as_text(_resolved(text, sample))


def _gold(sample: dict[str, Any]) -> object:
    target = sample.get("target")
    return target[0] if isinstance(target, list) and len(target) == 1 else target


def _resolved(value: object, sample: dict[str, Any]) -> object:
    """Returns a long text that the log keeps aside, or the value itself."""
    if isinstance(value, str) and value.startswith(ATTACHMENT):
        return part(sample, "attachments").get(value.removeprefix(ATTACHMENT), value)
    return value
