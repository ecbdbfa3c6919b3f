"""The command `rlvr verify`: judges completions that come as rows, as many as there are.

Owns: the form of a row, reading and judging in batches, and what is printed.
Does not own: judging (`rlvr.verifiers`), how errors end a command (`rlvr.console`).

A row is a JSON object with `id`, `completion` and `answer`. `question` is optional; `meta` and every other field are
the problem's meta. A row of a published set of code problems needs no `answer`. A batch is read and checked before it
is judged, and printed before the next one is read. A row whose gold answer the verifier cannot use has the outcome
`error` and is named; the others are judged.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from rlvr.console import echo
from rlvr.errors import ProblemError
from rlvr.problems import Problem, ProblemSet
from rlvr.problems.loaders import kind_of, parse_answer, parse_line
from rlvr.problems.published import published_problem
from rlvr.verifiers.mixture import MixtureVerifier
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict

BATCH_ROWS = 1000
NUM_SHOWN = 5  # of the rows that are not correct
MAX_SHOWN_CHARS = 60
BOM = b"\xef\xbb\xbf"
UNUSABLE = "the gold answer cannot be used"


@dataclass(frozen=True)
class Row:
    """A completion to judge.

    Attributes:
        where: file and line, for messages.
        id: the row's own name.
        problem: what the completion answers.
        completion: text.
        num_bytes: length of its line.
    """

    where: str
    id: str | int
    problem: Problem
    completion: str
    num_bytes: int


@dataclass
class Tally:
    """What has been judged so far.

    Attributes:
        outcomes: how many rows had each outcome.
        not_correct: the first few rows that are not correct.
        unusable: how many rows have a gold answer that the verifier cannot use.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    not_correct: list[tuple[Row, Verdict]] = field(default_factory=list)
    unusable: int = 0

    def add(self, judged: Sequence[tuple[Row, Verdict]]) -> None:
        """Counts a batch."""
        self.unusable += sum(verdict.reason.startswith(UNUSABLE) for _, verdict in judged)
        self.outcomes.update(verdict.outcome for _, verdict in judged)
        lacking = NUM_SHOWN - len(self.not_correct)
        self.not_correct += [(row, verdict) for row, verdict in judged if not verdict.correct][:lacking]


def verify_rows(verifier: MixtureVerifier, source: str, as_json: bool, explain: bool, strict: bool = False) -> None:
    """Judges the rows of a file, or of stdin for `-`, and prints a JSON line for each, or a table at the end.

    A row that names its verifier (`meta.verifier`) is judged by that one.
    A row whose gold answer cannot be used is named on stderr, counted at the end, and an `error`.

    Raises:
        ProblemError: a row cannot be read, or there is none, or, if `strict`, its gold answer cannot be used; earlier
            batches have been printed.
    """
    tally = Tally()
    name = "stdin" if source == "-" else source
    for judged in judge(verifier, source, strict):
        tally.add(judged)
        if as_json:
            echo("\n".join(json.dumps(as_record(row, verdict, explain)) for row, verdict in judged))
    if not tally.outcomes:
        raise ProblemError(f"{name}: no rows found; expected one JSON object per line.")
    if not as_json:
        print_tally(tally, explain)
    if tally.unusable:
        echo(
            f"note: the gold answers of {tally.unusable} of {tally.outcomes.total()} rows cannot be used; these rows "
            "are named above, and their outcome is error. Use --strict to stop at the first.",
            err=True,
        )
    num_errors = tally.outcomes[Outcome.ERROR] - tally.unusable
    if num_errors:
        echo(
            f"note: the verifier failed on {num_errors} of {tally.outcomes.total()} rows; their outcome is error, "
            "which is not wrong. Use --explain for the reasons.",
            err=True,
        )


def judge(verifier: MixtureVerifier, source: str, strict: bool = False) -> Iterator[list[tuple[Row, Verdict]]]:
    """Yields the rows with their verdicts, batch by batch, behind a progress bar on a terminal's stderr."""
    from tqdm import tqdm

    with ExitStack() as stack:
        stack.callback(verifier.close)
        file = stack.enter_context(_opened(source))
        size = os.fstat(file.fileno()).st_size if source != "-" else None
        bar = stack.enter_context(
            tqdm(total=size, unit="B", unit_scale=True, disable=None, file=sys.stderr, leave=False)
        )
        rows = read_rows(file, "stdin" if source == "-" else source)
        while batch := list(islice(rows, BATCH_ROWS)):
            yield _judge_batch(verifier, batch, strict)
            bar.update(sum(row.num_bytes for row in batch))


def read_rows(lines: IO[bytes], name: str) -> Iterator[Row]:
    """Yields the rows of the lines that are not blank.

    Raises:
        ProblemError: naming file, line, what was seen and what was expected.
    """
    for number, line in enumerate(lines, start=1):
        text = line.removeprefix(BOM) if number == 1 else line
        if text.strip():
            yield _row(parse_line(text, f"{name}:{number}"), f"{name}:{number}", len(line))


def as_record(row: Row, verdict: Verdict, explain: bool) -> dict[str, Any]:
    """Returns what is printed for a row in JSON."""
    record = {"id": row.id, "outcome": verdict.outcome.value}
    return record | {"answer": verdict.answer, "reason": verdict.reason} if explain else record


def print_tally(tally: Tally, explain: bool) -> None:
    """Prints how many rows had each outcome, and the first ones that are not correct."""
    from rich.console import Console
    from rich.table import Table

    console, total = Console(), tally.outcomes.total()
    counts = Table("outcome", "rows", "share")
    for outcome in Outcome:
        if tally.outcomes[outcome]:
            counts.add_row(outcome.value, f"{tally.outcomes[outcome]:,}", f"{tally.outcomes[outcome] / total:.1%}")
    console.print(counts)
    if tally.not_correct:
        console.print(_first_table(tally.not_correct, explain))


def _first_table(rows: Sequence[tuple[Row, Verdict]], explain: bool) -> Any:
    """Returns the table of the first rows that are not correct."""
    from rich.table import Table

    table = Table("id", "outcome", "gold", "answer", *(["reason"] if explain else []), title="first rows not correct")
    for row, verdict in rows:
        texts = [str(row.id), verdict.outcome.value, row.problem.answer, verdict.answer or ""]
        table.add_row(*map(_shown, [*texts, verdict.reason] if explain else texts))
    return table


def _shown(text: str) -> Any:
    """Returns a text for a cell of a table: one short line, in which nothing is markup."""
    from rich.text import Text

    printable = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
    return Text(printable if len(printable) <= MAX_SHOWN_CHARS else f"{printable[: MAX_SHOWN_CHARS - 3]}...")


def _opened(source: str) -> IO[bytes]:
    """Returns the stream of a file or of stdin."""
    if source == "-":
        return sys.stdin.buffer
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise ProblemError(f"{source}: cannot be read ({error.strerror}); expected a JSONL file or -.") from None


def _row(value: object, where: str, num_bytes: int) -> Row:
    """Returns the row of a JSON value."""
    if not isinstance(value, dict):
        raise ProblemError(f"{where}: saw {kind_of(value)}, expected an object with id, completion and answer.")
    name, completion, meta = value.get("id"), value.get("completion"), value.get("meta")
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        raise ProblemError(f"{where}: `id` is {_seen(value, 'id')}, expected text or an integer; name each row.")
    if not isinstance(completion, str):
        raise ProblemError(f"{where}: `completion` is {_seen(value, 'completion')}, expected text; convert the column.")
    if not isinstance(value.get("question", ""), str):
        raise ProblemError(f"{where}: `question` is {_seen(value, 'question')}, expected text; convert the column.")
    if not isinstance(meta, dict | None):
        raise ProblemError(f"{where}: `meta` is {kind_of(meta)}, expected an object; convert or drop the column.")
    try:
        problem = published_problem(value) or _own_problem(value, meta or {}, where)
    except ValueError as error:
        raise ProblemError(f"{where}: {error}; correct or remove the row.") from None
    try:
        _ = problem.problem_id, (problem.question + problem.answer).encode()  # no tokenizer takes a lone surrogate
    except (TypeError, ValueError, RecursionError) as error:
        raise ProblemError(f"{where}: has no content id ({error}); use plain text and JSON values.") from None
    return Row(where, name, problem, completion, num_bytes)


def _own_problem(value: dict[str, Any], meta: dict[str, Any], where: str) -> Problem:
    """Returns the problem of a row that is in no published schema."""
    others = {key: each for key, each in value.items() if key not in ("id", "completion", "answer", "question", "meta")}
    return Problem(value.get("question", ""), parse_answer(value, where), {**others, **meta})


def _seen(value: dict[str, Any], column: str) -> str:
    """Returns what a column holds, in JSON's words."""
    return kind_of(value[column]) if column in value else "absent"


def _judge_batch(verifier: MixtureVerifier, batch: Sequence[Row], strict: bool) -> list[tuple[Row, Verdict]]:
    """Returns the rows of a batch with their verdicts.

    Raises:
        ProblemError: if `strict`, naming the first row whose gold answer the verifier cannot use.
    """
    faults = dict(_faults(verifier, batch))
    for row in batch:
        if row.where in faults:
            message = f"{row.where}: {faults[row.where]}"
            if strict:
                raise ProblemError(message)
            echo(f"error: {message}", err=True)
    usable = [row for row in batch if row.where not in faults]
    judging = _over(verifier, usable) if usable else verifier
    verdicts = iter(judging.verify([(row.problem, row.completion) for row in usable]))
    return [(row, _unusable(faults[row.where]) if row.where in faults else next(verdicts)) for row in batch]


def _unusable(fault: str) -> Verdict:
    """Returns the verdict of a row whose gold answer cannot be used."""
    return Verdict(Outcome.ERROR, reason=f"{UNUSABLE}: {fault}"[:MAX_VERDICT_CHARS])


def _over(verifier: MixtureVerifier, rows: Sequence[Row]) -> MixtureVerifier:
    """Returns the verifiers that rows name."""
    return verifier.over(ProblemSet.of("rows", [row.problem for row in rows]))


def _faults(verifier: MixtureVerifier, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Yields place and fault of each row whose gold answer the verifier cannot use; halves are asked in turn."""
    try:
        _over(verifier, rows).check_problems([row.problem for row in rows])
    except ProblemError as error:
        if len(rows) == 1:
            yield rows[0].where, str(error)
            return
        middle = len(rows) // 2
        yield from _faults(verifier, rows[:middle])
        yield from _faults(verifier, rows[middle:])
