"""Loaders: from a recipe's string to a `ProblemSet`.

Owns: which locations there are, their option `verifier`, the column rules, and the messages for rows that break them.
Does not own: options (`rlvr.problems.spec`), the types (`rlvr.problems.types`), rows as data sets publish them
(`rlvr.problems.published`, `rlvr.problems.ifeval`), what is generated or packaged (`rlvr.problems.countdown`,
`rlvr.problems.humaneval`, `rlvr.problems.reasoning_gym`).

A location is a JSONL file, `countdown:<split>`, `humaneval`, `reasoning_gym:<family>`, or a data set of the Hugging
Face Hub (`name` or `org/name`). Files and Hub data sets share one row parser: `problem` or `question`, `answer`, and
optionally `cluster` and `meta`; or the columns of a published set of code problems, or of IFEval. A `problem_id` column
is ignored, because identity comes from content.
"""

import json
import math
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rlvr.errors import ProblemError
from rlvr.problems.ifeval import ifeval_row, is_ifeval
from rlvr.problems.published import SCHEMAS, published_problem
from rlvr.problems.spec import JOINT, Spec, joined, parse_spec
from rlvr.problems.types import Problem, ProblemSet

QUESTION_COLUMNS = ("problem", "question")
FILE_SUFFIXES = (".jsonl", ".json")
FILE_OPTIONS = ("limit", "seed")
HUB_OPTIONS = ("name", "split", "revision", "limit", "seed")
COUNTDOWN = "countdown:"
HUMANEVAL = "humaneval"
REASONING_GYM = "reasoning_gym:"
COUNTDOWN_OPTIONS = ("num", "seed", "num_numbers", "max_number")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_THOUSANDS_COMMA = re.compile(r"(?<=\d),(?=\d{3})")


def load_problems(spec: str) -> ProblemSet:
    """Returns the problems that `spec` names; several sets joined by ` + ` are one.

    Args:
        spec: `location[?key=value&...]`. Files and `humaneval` take `limit` and `seed`, Hub data sets also `name`,
            `split` (by default `train`) and `revision`, `countdown:<split>` takes `num`, `seed`, `num_numbers` and
            `max_number`, `reasoning_gym:<family>` takes `num`, `seed` and the family's own settings. Of rows that are
            read, `seed` shuffles; `limit` then keeps that many distinct problems. Every location takes `verifier`: what
            judges its problems, as their `meta.verifier`, in place of what rows say.

    Raises:
        ProblemError: the location, an option or a row cannot be used.
    """
    sets = [_load_part(parse_spec(part, "problems", ProblemError)) for part in joined(spec)]
    if len(sets) == 1:
        return sets[0]
    rows = [problem for each in sets for problem in each]
    return ProblemSet.of(JOINT.join(each.name for each in sets), rows, named_verifiers(spec))


def named_verifiers(spec: str) -> frozenset[str]:
    """Returns the verifiers that locations name in their options."""
    parts = (parse_spec(part, "problems", ProblemError) for part in joined(spec))
    return frozenset(part.options["verifier"] for part in parts if "verifier" in part.options)


def _load_part(parsed: Spec) -> ProblemSet:
    """Returns the problems of one location, with the verifier that it names for them."""
    problems, name = _load(parsed.without("verifier")), parsed.options.get("verifier")
    if name is None:
        return problems
    rows = [replace(problem, meta={**problem.meta, "verifier": name}) for problem in problems]
    named = ProblemSet.of(problems.name, rows, frozenset({name}))
    return replace(named, num_duplicates=problems.num_duplicates + named.num_duplicates)


def _load(parsed: Spec) -> ProblemSet:
    """Returns the problems of one location."""
    location = parsed.name
    if location.startswith(COUNTDOWN):
        return _load_countdown(parsed.only(*COUNTDOWN_OPTIONS))
    if location == HUMANEVAL:
        from rlvr.problems.humaneval import humaneval_problems

        return _choose(humaneval_problems(), parsed.only(*FILE_OPTIONS))
    if location.startswith(REASONING_GYM):
        from rlvr.problems.reasoning_gym import reasoning_gym_problems

        return reasoning_gym_problems(parsed)
    path = Path(location)
    if path.suffix in FILE_SUFFIXES or path.is_file():
        parsed.only(*FILE_OPTIONS)
        return _choose(ProblemSet.of(path.stem, _read_jsonl(path)), parsed)
    if _HUB_ID.fullmatch(location):
        rows = _read_hub(location, parsed.only(*HUB_OPTIONS).options)
        return _choose(ProblemSet.of(location, rows), parsed)
    raise ProblemError(
        f"problems: {parsed.text!r} names no source; expected a .jsonl file that exists, countdown:<split>, humaneval, "
        "reasoning_gym:<family>, or the name of a Hub data set (org/name)."
    )


def _choose(problems: ProblemSet, spec: Spec) -> ProblemSet:
    """Returns the set after the seeded shuffle and the limit."""
    seed, limit = spec.integer("seed", at_least=0), spec.integer("limit", at_least=1)
    rows = list(problems)
    if seed is not None:
        random.Random(seed).shuffle(rows)  # noqa: S311 - reproducible, not secret
    return replace(problems, problems=tuple(rows[:limit]))


def _load_countdown(spec: Spec) -> ProblemSet:
    """Returns generated problems; every option is an integer."""
    from rlvr.problems.countdown import countdown_problems

    numbers = {key: spec.integer(key, at_least=0 if key == "seed" else 1) for key in spec.options}
    return countdown_problems(spec.name.removeprefix(COUNTDOWN), **{k: v for k, v in numbers.items() if v is not None})


def _read_jsonl(path: Path) -> list[Problem]:
    """Returns one problem per line that is not blank."""
    lines = _read_bytes(path).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    problems = [_parse_row(parse_line(line, f"{path}:{n}"), f"{path}:{n}") for n, line in numbered]
    if not problems:
        raise ProblemError(f"{path}: no problems found; expected one JSON object per line.")
    return problems


def _read_bytes(path: Path) -> bytes:
    """Returns the file's bytes."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ProblemError(f"{path}: no such file; {_nearest_file(path)}") from None
    except OSError as error:
        raise ProblemError(f"{path}: cannot be read ({error.strerror}); expected a JSONL file.") from None


def _nearest_file(path: Path) -> str:
    """Returns the part of a message that proposes a file that exists."""
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist; check the path."
    near = get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1)
    return f"did you mean {path.parent / near[0]}?" if near else "check the path."


def parse_line(line: bytes, where: str) -> object:
    """Returns the JSON value of one line."""
    try:
        return json.loads(line)
    except UnicodeDecodeError as error:
        raise ProblemError(f"{where}: not UTF-8 (byte {error.start}); save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise ProblemError(f"{where}: not JSON ({error}); expected one JSON object per line.") from None


def _read_hub(location: str, options: Mapping[str, str]) -> list[Problem]:
    """Returns one problem per row of a Hub data set, loaded without running any code of the data set."""
    from datasets import load_dataset

    split = options.get("split", "train")
    try:
        rows = load_dataset(location, name=options.get("name"), split=split, revision=options.get("revision"))
    except Exception as error:
        raise ProblemError(
            f"{location}: not a file here, and split {split!r} could not be loaded from the Hub: {_one_line(error)}. "
            "Check the name, or choose with ?name=...&split=...&revision=..."
        ) from error
    return _parse_rows(rows, location)


def _parse_rows(rows: Iterable[object], location: str) -> list[Problem]:
    """Returns one problem per row; rows are named by their index."""
    return [_parse_row(row, f"{location}[{index}]") for index, row in enumerate(rows)]


def _one_line(error: Exception) -> str:
    """Returns type and text of an error in one line of at most 400 characters."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 400 else f"{text[:400]}..."


def _parse_row(row: object, where: str) -> Problem:
    """Returns the problem of one row.

    Raises:
        ProblemError: a column is missing, empty or of the wrong type; the message starts with `where`.
    """
    if not isinstance(row, Mapping):
        raise ProblemError(
            f"{where}: saw {kind_of(row)}, expected an object with `problem` or `question`, and `answer`."
        )
    row = ifeval_row(row) if is_ifeval(row) else row
    try:
        published = published_problem(row)
    except ValueError as error:
        raise ProblemError(f"{where}: {error}; correct or remove the row.") from None
    cluster = _optional(row, "cluster", str, None, where)
    if published is not None:
        problem = replace(published, cluster=cluster)
    else:
        meta = _optional(row, "meta", Mapping, {}, where)
        problem = Problem(_question(row, where), parse_answer(row, where), meta, cluster)
    try:
        _ = problem.problem_id, (problem.question + problem.answer).encode()  # no tokenizer takes a lone surrogate
    except (TypeError, ValueError, RecursionError) as error:
        raise ProblemError(f"{where}: has no content id ({error}); use plain text and JSON values in meta.") from None
    return problem


def _question(row: Mapping[str, Any], where: str) -> str:
    """Returns the text of the question column, as it stands."""
    column = next((name for name in QUESTION_COLUMNS if row.get(name) is not None), None)
    if column is None:
        raise ProblemError(f"{where}: {_columns(row)}, expected `problem` or `question`; rename the column.")
    value = row[column]
    if not isinstance(value, str):
        raise ProblemError(f"{where}: `{column}` is {kind_of(value)}, expected text; convert the column.")
    if not value.strip():
        raise ProblemError(f"{where}: `{column}` is empty; write the question or remove the row.")
    return value


def parse_answer(row: Mapping[str, Any], where: str) -> str:
    """Returns the gold answer as text: numbers are written out, GSM8K's solution is reduced to what `####` marks."""
    value = row.get("answer")
    if value is None:
        names = ", ".join(schema.name for schema in SCHEMAS)
        raise ProblemError(
            f"{where}: {_columns(row)}, expected `answer`, or the columns of {names}; rename or fill the column."
        )
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ProblemError(f"{where}: `answer` is {kind_of(value)}, expected text or a number; convert the column.")
    text = value if isinstance(value, str) else _number_text(value, where)
    if "####" in text:
        text = _THOUSANDS_COMMA.sub("", text.rpartition("####")[2])
    if not text.strip():
        raise ProblemError(f"{where}: `answer` is empty; write the gold answer or remove the row.")
    return text.strip()


def _number_text(value: int | float, where: str) -> str:
    """Returns a number as it is written: 18.0 as 18."""
    if not math.isfinite(value):
        raise ProblemError(f"{where}: `answer` is {value}, expected a finite number; correct or remove the row.")
    return str(int(value)) if value == int(value) else repr(value)


def _optional(row: Mapping[str, Any], column: str, kind: type, default: Any, where: str) -> Any:
    """Returns a column that may be absent or null."""
    value = row.get(column)
    if value is None:
        return default
    if not isinstance(value, kind):
        expected = "text" if kind is str else "an object"
        raise ProblemError(f"{where}: `{column}` is {kind_of(value)}, expected {expected}; convert or drop the column.")
    return value


def _columns(row: Mapping[str, Any]) -> str:
    """Returns the part of a message that lists the filled columns of a row."""
    filled = [str(name) for name, value in row.items() if value is not None]
    return f"saw the columns {', '.join(filled)}" if filled else "saw no filled column"


def kind_of(value: object) -> str:
    """Returns what a value is, in JSON's words."""
    words = {dict: "an object", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if value is None else words.get(type(value), type(value).__name__)
