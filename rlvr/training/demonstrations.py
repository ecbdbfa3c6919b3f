"""Demonstrations: verified completions of training problems, for the supervised arms.

Owns: which completions are kept, the count of what they cost, files of completions, and the rows that TRL trains on.
Does not own: sampling them from a model (`rlvr.jobs.run`), judging (`rlvr.verifiers`), the training.

A demonstration is correct by the run's verifier, whoever made it. Of each problem, up to `max_kept` distinct ones are
kept, chosen at random by a seed. Problems without any are counted, not hidden.
"""

import json
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr.errors import ProblemError
from rlvr.problems import Problem, ProblemSet
from rlvr.problems.countdown import solutions
from rlvr.problems.prompts import PromptFormat
from rlvr.problems.types import content_hash
from rlvr.verifiers import Verifier

logger = logging.getLogger(__name__)

SOLVER = "solver"


@dataclass(frozen=True)
class Candidate:
    """A completion that may become a demonstration."""

    problem: Problem
    completion: str
    correct: bool
    num_tokens: int | None = None


@dataclass(frozen=True)
class Demonstrations:
    """What a supervised arm learns from.

    Attributes:
        pairs: problem and completion, correct all of them.
        num_made: completions that were made to get them, by problem id, wrong ones included.
        num_completion_tokens: generated tokens in them; None where no model made them here.
        num_unsolved: problems without any demonstration.
    """

    pairs: tuple[tuple[Problem, str], ...]
    num_made: Mapping[str, int]
    num_completion_tokens: int | None
    num_unsolved: int

    @property
    def num_candidates(self) -> int:
        """Completions of all problems."""
        return sum(self.num_made.values())

    @property
    def content_id(self) -> str:
        """16 hex digits that depend on the pairs and their order."""
        return content_hash([(problem.problem_id, completion) for problem, completion in self.pairs])[:16]


def choose(candidates: Iterable[Candidate], problems: ProblemSet, max_kept: int, seed: int) -> Demonstrations:
    """Returns up to `max_kept` distinct correct completions of each problem, and logs what was left out.

    Raises:
        ProblemError: there is not one correct completion.
    """
    correct: dict[str, dict[str, None]] = defaultdict(dict)
    num_made: Counter[str] = Counter()
    sizes: list[int | None] = []
    for candidate in candidates:
        num_made[candidate.problem.problem_id] += 1
        sizes.append(candidate.num_tokens)
        if candidate.correct:
            correct[candidate.problem.problem_id][candidate.completion] = None
    pairs = []
    for problem in problems:
        found = sorted(correct.get(problem.problem_id, ()))
        chosen = random.Random(f"{seed}/{problem.problem_id}").sample(found, min(max_kept, len(found)))  # noqa: S311
        pairs += [(problem, completion) for completion in chosen]
    num_unsolved = sum(problem.problem_id not in correct for problem in problems)
    num_candidates = len(sizes)
    if not pairs:
        raise ProblemError(
            f"{problems.name}: none of {num_candidates} completions is correct, so there is nothing to learn from; "
            "raise teacher_draws, or use another teacher."
        )
    logger.warning(
        "Demonstrations: %d kept of %d completions; %d of %d problems have none.",
        len(pairs),
        num_candidates,
        num_unsolved,
        len(problems),
    )
    known = [size for size in sizes if size is not None]
    num_tokens = sum(known) if len(known) == len(sizes) else None
    return Demonstrations(tuple(pairs), dict(num_made), num_tokens, num_unsolved)


def solved(problems: ProblemSet) -> Iterable[Candidate]:
    """Yields every solution of the testbed's problems, by exhaustive search.

    Raises:
        ProblemError: a problem is not a Countdown problem.
    """
    for problem in problems:
        if not {"numbers", "target"} <= set(problem.meta):
            raise ProblemError(f"teacher: the solver knows Countdown problems only, not {problem.question[:60]!r}.")
        for text in solutions(tuple(problem.meta["numbers"]), problem.meta["target"]):
            yield Candidate(problem, text, correct=True)


def judged(pairs: Sequence[tuple[Problem, str]], verifier: Verifier) -> Iterable[Candidate]:
    """Yields completions with what the verifier says of them; an error of the verifier is no demonstration."""
    for (problem, completion), verdict in zip(pairs, verifier.verify(pairs), strict=True):
        yield Candidate(problem, completion, verdict.correct)


def read_completions(path: Path, problems: ProblemSet) -> list[tuple[Problem, str]]:
    """Returns the completions of a JSONL file: `completion`, and `problem_id` or `question` (or `problem`).

    Rows of other problems are left out and counted in the log.

    Raises:
        ProblemError: the file cannot be read, a row lacks a column, or no row fits the problems.
    """
    by_question = {problem.question: problem for problem in problems}
    pairs, num_rows = [], 0
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # other ends of a line may stand in a text
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(f"teacher: {path} cannot be read ({error}).") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        num_rows += 1
        row = _row(path, number, line)
        problem = problems.by_id.get(row.get("problem_id", "")) or by_question.get(
            row.get("question") or row.get("problem") or ""
        )
        if problem is not None:
            pairs.append((problem, row["completion"]))
    if not pairs:
        raise ProblemError(f"teacher: none of {num_rows} rows of {path} belongs to the problems {problems.name!r}.")
    if len(pairs) < num_rows:
        logger.warning("%s: %d of %d rows belong to other problems.", path, num_rows - len(pairs), num_rows)
    return pairs


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    """Returns one row of a file of completions."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ProblemError(f"teacher: {path}:{number} is not JSON ({error}).") from error
    if not isinstance(row, dict) or not isinstance(row.get("completion"), str):
        raise ProblemError(
            f"teacher: {path}:{number} has no text `completion`; expected it with problem_id or question."
        )
    return row


def count_rollouts(demonstrations: Demonstrations) -> int | None:
    """Returns how many completions a model made for them; None: a solver or a file has them."""
    return None if demonstrations.num_completion_tokens is None else demonstrations.num_candidates


def count_tokens(demonstrations: Demonstrations, prompt_lengths: Mapping[str, int]) -> int | None:
    """Returns prompt and completion tokens of all that was made, counted as TRL counts rollouts; None: not known.

    Args:
        demonstrations: whose cost is counted.
        prompt_lengths: tokens of each problem's prompt, by problem id.
    """
    if demonstrations.num_completion_tokens is None:
        return None
    prompts = sum(num * prompt_lengths[key] for key, num in demonstrations.num_made.items())
    return demonstrations.num_completion_tokens + prompts


def make_rows(demonstrations: Demonstrations, prompt_format: PromptFormat, tokenizer: Any) -> list[dict[str, Any]]:
    """Returns TRL's tokenised rows: the prompt as a probe renders it, the completion and the end of text.

    `completion_mask` is 1 on what the loss is taken on.
    """
    rows = []
    for problem, completion in demonstrations.pairs:
        prompt = prompt_format.token_ids(problem, tokenizer)
        ids = tokenizer(text=completion, add_special_tokens=False)["input_ids"]
        target = [*ids, tokenizer.eos_token_id]
        rows.append({"input_ids": prompt + target, "completion_mask": [0] * len(prompt) + [1] * len(target)})
    return rows
