"""What every log is read into: rows of samples, whatever tool wrote them.

Owns: the options of an import, the types that the readers yield, and how a logged question becomes a `Problem`.
Does not own: the formats (one module each), what a score means (`probes.importers.scores`), storage
(`probes.importers.writing`).

A problem's identity is its question and gold answer, so a benchmark imported from a log and the same benchmark loaded
from a file are one problem set, as long as the tool logs the bare question.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from probes.importers.files import names_of
from rlvr.errors import ProblemError
from rlvr.problems import Problem
from rlvr.problems.types import content_hash
from rlvr.verifiers.verdicts import Outcome

UNKNOWN = -1  # num_tokens and sampling parameters that a log does not tell
NO_METRIC = "none"  # imports draws without verdicts, to be judged here
NO_SCORE = None
LARGEST = 1e15  # of a logged number

_THOUSANDS_COMMA = re.compile(r"(?<=\d),(?=\d{3})")


@dataclass(frozen=True)
class ImportOptions:
    """What a person says about a log.

    Attributes:
        metric: whose values say what is correct; None takes the only one. `none` imports draws without verdicts.
        threshold: scores from here on are correct; needed where scores are not 0 or 1.
        spread_counts: where a tool logs one average for n draws, mark that many of them, chosen at random, as correct.
            Counts are then right and single verdicts are not.
        model: name of the arm; needed where the log does not tell it, goes before the log's where it does.
        temperature, top_p, top_k, max_new_tokens: needed by nothing; taken where the log does not tell them.
    """

    metric: str | None = None
    threshold: float | None = None
    spread_counts: bool = False
    model: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True)
class Settings:
    """What a log tells about the arm; None where it does not.

    Attributes:
        model: name of the model.
        revision: which of the models of that name, for example a training step.
        temperature, top_p, top_k, max_new_tokens: of the sampling.
        prompt: (name, value) pairs that tell how problems were shown.
    """

    model: str | None = None
    revision: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_new_tokens: int | None = None
    prompt: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LogSample:
    """One completion of a log.

    Attributes:
        completion: None where the log has none.
        score: value of the metric; None where the log has none.
        num_tokens: `UNKNOWN` where the log does not tell.
        truncated: None where the log does not tell.
        answer: that the tool extracted.
        outcome: where the log says more than a score does.
        failure: why the sample could not be made or scored.
        reason: what the tool says of the score.
    """

    completion: str | None
    score: object = NO_SCORE
    num_tokens: int = UNKNOWN
    truncated: bool | None = None
    answer: str | None = None
    outcome: Outcome | None = None
    failure: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LogRow:
    """The samples of one problem in one place of a log.

    Attributes:
        where: file and line.
        problem: that the samples are of.
        settings: of the arm.
        metric: that the scores are of; empty where the row has no score at all.
        samples: in the order of the log.
        shared_score: the one value that the log gives for all samples together; None where each has its own.
        item: the tool's own name of the problem; empty where it has none.
        copy_key: equal for rows that a tool copies from one file to the next; empty where it does not.
    """

    where: str
    problem: Problem
    settings: Settings
    metric: str
    samples: tuple[LogSample, ...]
    shared_score: object = NO_SCORE
    item: str = ""
    copy_key: str = ""


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that holds no draw of its own, and why."""

    reason: str


Reader = Callable[[Path, ImportOptions], Iterator[LogRow | SkippedRow]]


def make_problem(question: object, answer: object, meta: dict[str, Any] | None = None) -> Problem:
    """Returns the problem of a logged question and gold answer.

    Values that are not text are written as JSON. Of an answer in GSM8K's form the part after `####` counts, as it does
    for problems loaded from files.
    """
    gold = as_text(answer)
    if "####" in gold:
        gold = _THOUSANDS_COMMA.sub("", gold.rpartition("####")[2])
    return Problem(as_text(question), gold.strip(), meta or {})


def as_text(value: object) -> str:
    """Returns text as it is, lone surrogates replaced; nothing as empty text; other values as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text.encode("utf-8", "replace").decode("utf-8")


def choose_metric(asked: str | None, available: list[str], where: str) -> str:
    """Returns the name of the metric to read.

    Raises:
        ProblemError: the one that is asked for is not there, or none is asked for and there is not exactly one.
    """
    if asked is not None and (asked == NO_METRIC or asked in available):
        return asked
    names = names_of(available) if available else "no metric"
    if asked is not None:
        near = get_close_matches(asked, available, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from: {names}."
        raise ProblemError(f"{where}: has no metric {asked!r}; {hint}")
    if len(available) != 1:
        raise ProblemError(
            f"{where}: has {names}; name the metric that says what is correct, or {NO_METRIC!r} to import draws "
            "without verdicts."
        )
    return available[0]


def metric_of_row(asked: str | None, available: list[str], where: str) -> str:
    """Returns `choose_metric`, or what is asked for where a row has no score at all: it was not scored."""
    return choose_metric(asked, available, where) if available else asked or ""


def short_hash(value: object) -> str:
    """Returns 16 hex digits of a JSON value."""
    return content_hash(value)[:16]


def number_or_none(value: object, where: str, name: str) -> float | None:
    """Returns a logged sampling parameter.

    Raises:
        ProblemError: it is neither a finite number nor absent.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST:
        raise ProblemError(f"{where}: {name} is {value!r:.80}; expected a number below {LARGEST:g}.")
    return float(value)


def whole_or_none(value: object, where: str, name: str) -> int | None:
    """Returns a logged sampling parameter that counts something; see `number_or_none`."""
    number = number_or_none(value, where, name)
    return None if number is None else int(number)
