"""Countdown: given numbers and a target, find an expression that uses each number once.

Owns: the generator, the text form of a problem, the split of all number sets into train and probe, and the worked
examples that the testbed's base model is pre-trained on.
Does not own: the verifier (`rlvr.verifiers.countdown`), the model (`rlvr.models.testbed`).

The split is a property of the numbers alone: a hash of the sorted numbers decides whether they belong to `train` or to
`probe`. So no seed, size or order of generation can put the same numbers into both.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from rlvr.errors import ProblemError
from rlvr.problems.types import Problem, ProblemSet

PROBE_SHARE = 0.1  # of all sets of numbers
MAX_TARGET = 99
PRECEDENCE = {"+": 1, "-": 1, "*": 2}


@dataclass(frozen=True)
class Split:
    """One named set of the testbed.

    Attributes:
        half: `train` or `probe`, the part of all number sets that problems come from.
        num: default number of problems.
        num_numbers: how many numbers a problem has.
        max_number: numbers are drawn from 1 to max_number.
    """

    half: str
    num: int
    num_numbers: int
    max_number: int


SPLITS = {
    "train": Split(half="train", num=4000, num_numbers=3, max_number=20),
    "probe": Split(half="probe", num=100, num_numbers=3, max_number=20),
    "beyond": Split(half="probe", num=100, num_numbers=4, max_number=20),
}


def half_of(numbers: tuple[int, ...]) -> str:
    """Returns `train` or `probe`, whatever the order of the numbers."""
    digest = hashlib.sha256(repr(sorted(numbers)).encode()).digest()
    return "probe" if int.from_bytes(digest[:4]) < PROBE_SHARE * 2**32 else "train"


def render_question(numbers: tuple[int, ...], target: int) -> str:
    """Returns the prompt text, for example `3 5 7=22:`."""
    return f"{' '.join(map(str, numbers))}={target}:"


def random_expression(rng: random.Random, numbers: tuple[int, ...]) -> tuple[str, int]:
    """Returns a random expression over + - * that uses each number once, and its value.

    Neighbours are joined at random until one expression is left; parentheses stand only where they are needed.
    """
    items = [(str(number), number, 3) for number in numbers]
    rng.shuffle(items)
    while len(items) > 1:
        at = rng.randrange(len(items) - 1)
        items[at : at + 2] = [_join(rng.choice("+-*"), items[at], items[at + 1])]
    text, value, _ = items[0]
    return text, value


def _join(operator: str, left: tuple[str, int, int], right: tuple[str, int, int]) -> tuple[str, int, int]:
    """Returns (text, value, precedence) of `left operator right`."""
    rank = PRECEDENCE[operator]
    tight_right = right[2] > rank or (right[2] == rank and operator != "-")
    first = left[0] if left[2] >= rank else f"({left[0]})"
    second = right[0] if tight_right else f"({right[0]})"
    value = {"+": left[1] + right[1], "-": left[1] - right[1], "*": left[1] * right[1]}[operator]
    return f"{first}{operator}{second}", value, rank


def worked_examples(half: str, num_numbers: int, max_number: int, seed: int) -> Iterator[tuple[Problem, str]]:
    """Yields problems of one half with a solution, without end.

    Targets lie between 1 and `MAX_TARGET`; each problem is solvable because its target is the solution's value.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    while True:
        numbers = tuple(rng.randint(1, max_number) for _ in range(num_numbers))
        solution, target = random_expression(rng, numbers)
        if 1 <= target <= MAX_TARGET and half_of(numbers) == half:
            yield _problem(numbers, target), solution


def solutions(numbers: tuple[int, ...], target: int) -> list[str]:
    """Returns every expression over + - * that uses each number once and reaches the target, in sorted order.

    Expressions that differ in the order of operands are different solutions.
    """
    reached: set[frozenset[tuple[tuple[str, int, int], int]]] = set()
    found: set[str] = set()

    def search(items: list[tuple[str, int, int]]) -> None:
        if len(items) == 1:
            if items[0][1] == target:
                found.add(items[0][0])
            return
        state = frozenset(Counter(items).items())
        if state in reached:
            return
        reached.add(state)
        for i, j in permutations(range(len(items)), 2):
            rest = [item for at, item in enumerate(items) if at not in (i, j)]
            for operator in PRECEDENCE:
                search([*rest, _join(operator, items[i], items[j])])

    search([(str(number), number, 3) for number in numbers])
    return sorted(found)


def _problem(numbers: tuple[int, ...], target: int) -> Problem:
    """Returns the problem of these numbers and target."""
    meta = {"numbers": list(numbers), "target": target}
    return Problem(question=render_question(numbers, target), answer=str(target), meta=meta)


def countdown_problems(
    split: str,
    num: int | None = None,
    seed: int = 0,
    num_numbers: int | None = None,
    max_number: int | None = None,
) -> ProblemSet:
    """Returns `num` distinct problems of a split.

    Args:
        split: `train`, `probe`, or `beyond` (one number more than the base model was pre-trained on).
        num: how many problems; by default the split's own size.
        seed: of the generator.
        num_numbers: how many numbers a problem has; by default the split's own.
        max_number: largest number; by default the split's own.

    Raises:
        ProblemError: the split is unknown, or has fewer than `num` distinct problems.
    """
    if split not in SPLITS:
        raise ProblemError(f"countdown:{split}: the split is not known; use one of {', '.join(SPLITS)}.")
    base = SPLITS[split]
    num = base.num if num is None else num
    if num < 1:
        raise ProblemError(f"countdown:{split}: num is {num}; expected at least 1.")
    chosen: dict[tuple[tuple[int, ...], int], Problem] = {}
    examples = worked_examples(base.half, num_numbers or base.num_numbers, max_number or base.max_number, seed)
    for _, (problem, _) in zip(range(1000 + 200 * num), examples, strict=False):
        key = (tuple(sorted(problem.meta["numbers"])), problem.meta["target"])
        chosen.setdefault(key, problem)
        if len(chosen) == num:
            return ProblemSet.of(f"countdown:{split}", list(chosen.values()))
    raise ProblemError(f"countdown:{split}: only {len(chosen)} distinct problems found; ask for fewer than {num}.")
