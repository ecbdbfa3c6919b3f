"""`Problem` and `ProblemSet`, with identity by content.

Owns: the two types and their hashes.
Does not own: where problems come from (`rlvr.problems.loaders`).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rlvr.errors import ProblemError


def content_hash(value: object) -> str:
    """Returns the SHA-256 of a JSON value in canonical form, as 64 hex digits."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Problem:
    """An item with a gold answer.

    Attributes:
        question: text that the prompt template renders.
        answer: gold answer as text, in the form that the verifier reads.
        meta: what a verifier needs beyond the answer, JSON values only (for Countdown: the numbers and the target).
        cluster: name of the family that the problem belongs to, or None. Problems of one family are resampled together
            in intervals. It is not part of the identity.
    """

    question: str
    answer: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    cluster: str | None = None

    @property
    def verifier(self) -> str | None:
        """Name of the verifier that judges it, where its row says so: `meta.verifier`, which is part of the identity.

        Raises:
            ProblemError: it is not text, or empty.
        """
        name = self.meta.get("verifier")
        if name is None or (isinstance(name, str) and name):
            return name
        raise ProblemError(
            f"{self.question[:60]!r}: meta.verifier is {name!r:.60}; expected the name of a verifier, or no such key."
        )

    @cached_property
    def problem_id(self) -> str:
        """16 hex digits that depend on question, answer and meta, and on nothing else."""
        return content_hash({"question": self.question, "answer": self.answer, "meta": dict(self.meta)})[:16]


@dataclass(frozen=True)
class ProblemSet(Sequence[Problem]):
    """Problems in a fixed order, without repetition.

    Attributes:
        name: for people; not part of the identity.
        problems: the distinct problems, in the order of the source.
        num_duplicates: how many rows of the source repeated an earlier one and were left out.
        trusted: names of verifiers that the person who named the set wrote, as opposed to its rows; not part of the
            identity.
    """

    name: str
    problems: tuple[Problem, ...]
    num_duplicates: int = 0
    trusted: frozenset[str] = frozenset()

    @classmethod
    def of(cls, name: str, rows: Sequence[Problem], trusted: frozenset[str] = frozenset()) -> "ProblemSet":
        """Returns the set of the distinct rows.

        Raises:
            ProblemError: there is no row.
        """
        if not rows:
            raise ProblemError(f"{name}: no problems found; expected at least one row.")
        distinct = {row.problem_id: row for row in reversed(rows)}
        kept = tuple(row for row in rows if distinct.pop(row.problem_id, None) is not None)
        return cls(name, kept, len(rows) - len(kept), trusted)

    @cached_property
    def content_id(self) -> str:
        """16 hex digits that depend on the problems' ids and not on their order."""
        return content_hash(sorted(problem.problem_id for problem in self.problems))[:16]

    @cached_property
    def by_id(self) -> dict[str, Problem]:
        """Problems keyed by `problem_id`."""
        return {problem.problem_id: problem for problem in self.problems}

    @property
    def cluster_sizes(self) -> Counter[str]:
        """Number of problems per named cluster."""
        return Counter(problem.cluster for problem in self.problems if problem.cluster is not None)

    def __len__(self) -> int:
        return len(self.problems)

    def __getitem__(self, index: Any) -> Any:
        return self.problems[index]

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.problems)
