"""The draws that stand on the page: a bounded, seeded choice of what was drawn for each problem.

    choose_evidence   the problems, their counts by arm, and some draws of each -> Evidence

Owns: which draws are shown, how long their texts are, and saying so.
Does not own: any number of the report outside this part; how it is shown (`explorer.js`).

Completions are not trusted. They leave here as data; the page inserts them as text.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import numpy as np

from probes.results.measured import Measured
from probes.statistics.outcomes import CORRECT
from probes.store.draws import Excerpt
from rlvr.text import visible
from rlvr.verifiers.verdicts import Verdict

MAX_DRAWS = 24_000  # on a page
MAX_CHARS = 6_000_000  # of all completions together; packed they take about a third
TEXT_CHARS = (2_000, 1_400, 1_000, 700, 500, 350, 250)  # of one completion, tried in this order
EACH = (3, 2, 1)  # correct draws, and other draws, of one problem and arm, tried in this order
MAX_QUESTION_CHARS = 2_000
MAX_ANSWER_CHARS = 500


ChosenDraw = tuple[int, Excerpt, Verdict]


class ShownDraw(TypedDict):
    """One draw; `cut` is the number of characters that are left out between head and tail."""

    index: int
    outcome: str
    answer: str | None
    reason: str
    tokens: int
    truncated: bool
    head: str
    tail: str
    cut: int


class ShownProblem(TypedDict):
    """One problem: by arm its judged and correct draws that count, and the chosen draws."""

    id: str
    question: str
    answer: str
    n: list[int]
    c: list[int]
    draws: list[list[ShownDraw]]


class Evidence(TypedDict):
    """What the page's browser of problems reads; the first of `arms` is the base."""

    arms: list[dict[str, Any]]
    problems: list[ShownProblem]
    stated: str


def choose_evidence(arms: Sequence[tuple[str, Measured]], seed: int = 0, max_chars: int = MAX_CHARS) -> Evidence:
    """Returns the problems with a choice of their draws.

    Draws are chosen by chance, seeded by problem and arm: up to m correct ones and m others. Where they would be more
    than `MAX_DRAWS`, m is lowered, then only the problems that changed most between the base and an arm keep draws.
    Where their texts would exceed the budget, each is shortened in its middle.

    Args:
        arms: name and draws of each, the base first; all over the same problems.
        seed: of the choice.
        max_chars: of all completions together.
    """
    base = arms[0][1]
    counts = [each.counts.aligned_to(base.counts) for _, each in arms]
    n_AP, c_AP = np.stack([each.n_P for each in counts]), np.stack([each.c_P for each in counts])
    ids = base.counts.problem_ids
    each, num_problems = _how_many(len(arms), len(ids))
    keys = [ids[row] for row in _most_changed(c_AP / n_AP)[:num_problems]]
    draws = [_chosen(arm, keys, each, seed) for _, arm in arms]
    text_chars = _text_chars([draw for found in draws for part in found.values() for draw in part], max_chars)
    problems: list[ShownProblem] = [
        {
            "id": problem.problem_id,
            "question": visible(_clip(problem.question, MAX_QUESTION_CHARS)),
            "answer": visible(_clip(problem.answer, MAX_ANSWER_CHARS)),
            "n": n_AP[:, row].tolist(),
            "c": c_AP[:, row].tolist(),
            "draws": [[_shown(draw, text_chars) for draw in found.get(problem.problem_id, [])] for found in draws],
        }
        for row, problem in enumerate(base.store.problems())
    ]
    names = [{"arm": name, "label": arm.label, "step": arm.step} for name, arm in arms]
    shown = sum(len(part) for found in draws for part in found.values())
    drawn = sum(arm.outcomes.num_draws for _, arm in arms)
    stated = (
        f"{shown:,} of {drawn:,} draws are in this file: of each problem and arm up to {each} correct and {each} "
        f"others, chosen by chance with a seed; of a text up to {text_chars:,} characters."
    )
    if num_problems < len(ids):
        stated += f" Only the {num_problems:,} problems whose success rate changed most have draws here."
    return {"arms": names, "problems": problems, "stated": stated}


def _how_many(num_arms: int, num_problems: int) -> tuple[int, int]:
    """Returns (correct draws, and other draws, of a problem and arm; problems that have draws)."""
    for each in EACH:
        if 2 * each * num_arms * num_problems <= MAX_DRAWS:
            return each, num_problems
    return EACH[-1], max(1, MAX_DRAWS // (2 * EACH[-1] * num_arms))


def _text_chars(draws: Sequence[ChosenDraw], max_chars: int) -> int:
    """Returns the most characters of a text with which all texts stay within the budget."""
    for text_chars in TEXT_CHARS:
        if sum(min(text_chars, excerpt.num_chars) for _, excerpt, _ in draws) <= max_chars:
            return text_chars
    return TEXT_CHARS[-1]


def _most_changed(rate_AP: np.ndarray[Any, Any]) -> list[int]:
    """Returns the rows of problems by how far an arm's success rate is from the base's, largest first."""
    change_P = np.abs(rate_AP - rate_AP[0]).max(axis=0)
    return [int(row) for row in np.argsort(-change_P, kind="stable")]


def _chosen(arm: Measured, keys: Sequence[str], each: int, seed: int) -> dict[str, list[ChosenDraw]]:
    """Returns the chosen draws of an arm by problem."""
    row_of = {key: row for row, key in enumerate(arm.outcomes.problem_ids)}
    wanted = {key: list(_indices(arm, row_of[key], key, each, seed)) for key in keys}
    excerpts = arm.store.excerpts(wanted, TEXT_CHARS[0] // 2)
    verdicts = arm.store.verdicts_at(arm.verifier_id, wanted)
    return {
        key: [(index, excerpts[key, index], verdicts[key, index]) for index in indices]
        for key, indices in wanted.items()
    }


def _indices(arm: Measured, row: int, key: str, each: int, seed: int) -> Iterator[int]:
    """Yields draw indices of one problem: up to `each` correct ones, then as many others."""
    rng = random.Random(f"{seed}/{key}/{arm.store.arm.arm_id}")  # noqa: S311 - a reproducible choice
    codes_D = arm.outcomes.code_PD[row]
    for found_D in (codes_D == CORRECT, (codes_D >= 0) & (codes_D != CORRECT)):
        indices = np.flatnonzero(found_D).tolist()
        yield from sorted(rng.sample(indices, min(each, len(indices))))


def _shown(draw: ChosenDraw, max_chars: int) -> ShownDraw:
    """Returns one draw as the page shows it."""
    index, excerpt, verdict = draw
    head, tail, cut = _ends(excerpt, max_chars)
    return {
        "index": index,
        "outcome": verdict.outcome.value,
        "answer": None if verdict.answer is None else visible(_clip(verdict.answer, MAX_ANSWER_CHARS)),
        "reason": visible(_clip(verdict.reason, MAX_ANSWER_CHARS)),
        "tokens": excerpt.num_tokens,
        "truncated": excerpt.truncated,
        "head": visible(head),
        "tail": visible(tail),
        "cut": cut,
    }


def _ends(excerpt: Excerpt, max_chars: int) -> tuple[str, str, int]:
    """Returns head and tail of a text, and how many characters between them are left out; the answer is in the tail."""
    if excerpt.num_chars <= max_chars:
        return excerpt.head, excerpt.tail, 0
    half = max_chars // 2
    return excerpt.head[:half], (excerpt.tail or excerpt.head)[-half:], excerpt.num_chars - 2 * half


def _clip(text: str, max_chars: int) -> str:
    """Returns the start of a long text, with a mark where it was cut."""
    return text if len(text) <= max_chars else f"{text[:max_chars]} …"
