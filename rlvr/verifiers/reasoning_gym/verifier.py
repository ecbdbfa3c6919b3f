r"""The reasoning_gym verifier: what does a task family's own `score_answer` say?

Owns: finding the answer in a completion, the threshold, and where an answer may be scored.
Does not own: entries (`rlvr.problems.reasoning_gym`), scoring (`rlvr.verifiers.reasoning_gym.worker`), which families
evaluate an answer (`rlvr.verifiers.reasoning_gym.families`), killing workers (`rlvr.sandbox.pool`).
"""

import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.problems.reasoning_gym import entry_pool, installed_version, make_entries, task_of
from rlvr.problems.spec import Spec
from rlvr.sandbox import LEVELS, Limits, make_sandbox
from rlvr.sandbox.pool import TaskFailure
from rlvr.verifiers.answers.extraction import last_boxed
from rlvr.verifiers.base import after_reasoning, decided, failed, one_line, refuse_unusable, unparsed
from rlvr.verifiers.reasoning_gym.families import EVALUATING, evaluates
from rlvr.verifiers.verdicts import Outcome, Verdict

MAX_ANSWER_CHARS = 10_000
DEADLINE_S = 10.0  # making a data set included: a second or two for the slowest families
META = {"family": str, "config": dict, "seed": int, "index": int}

Key = tuple[str, str]  # problem id and answer

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)


class ReasoningGymVerifier:
    r"""Scores with reasoning-gym; an answer is correct from `threshold` on.

    The answer is what stands in the last `<answer>...</answer>`, else in the last `\boxed{...}`, else the whole text.
    The score is in the verdict's reason. `problem.meta` holds `family`, `config`, `seed` and `index`; a worker makes
    the entry again from them, and an entry that came out different is an `error`.

    Each answer is scored in a process of its own. Answers of families whose scorers evaluate text are scored in a
    sandbox; those of the others need none.

    Args:
        threshold: lowest score that is correct, more than 0 and at most 1.
        deadline_s: longest time for one answer.
        isolation: level of the sandbox (docs/isolation.md).

    Raises:
        RecipeError: reasoning-gym is not installed.
    """

    uses_workers = True

    def __init__(self, threshold: float = 1.0, deadline_s: float = DEADLINE_S, isolation: str = "namespace") -> None:
        self.threshold = threshold
        self.isolation = isolation
        self.version = installed_version()
        self.verifier_id = f"reasoning_gym@2+reasoning-gym-{self.version}?threshold={threshold!r}&isolation={isolation}"
        self.pool = entry_pool(deadline_s)
        self.sandboxed = entry_pool(deadline_s, isolation)

    @classmethod
    def of(cls, spec: Spec) -> "ReasoningGymVerifier":
        """Returns the verifier of a recipe's `reasoning_gym?threshold=...&isolation=...`."""
        spec.only("threshold", "isolation")
        return cls(
            threshold=spec.number("threshold", default=1.0, above=0, at_most=1),
            isolation=spec.choice("isolation", list(LEVELS)),
        )

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems that are no entries of the installed reasoning-gym.

        Also raises `RecipeError` where an answer to one would be evaluated and the machine cannot give the sandbox.
        """
        faults = [(problem, "no entry is named by its meta") for problem in problems if not _names_entry(problem)]
        named = [problem for problem in problems if _names_entry(problem)]
        self._ensure_sandbox([problem.meta["family"] for problem in named])
        for problem, entry in self._entries(named):
            if isinstance(entry, TaskFailure) or entry[0] != problem.question:
                faults.append((problem, entry.reason if isinstance(entry, TaskFailure) else "made again, it differs"))
        expected = "problems of reasoning_gym:<family>, made by the installed version."
        refuse_unusable("reasoning_gym", faults, len(problems), expected)

    @after_reasoning
    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order; equal answers to a problem are scored once."""
        answers = [(problem, answer_of(completion)) for problem, completion in items]
        asked = {(p.problem_id, a): (p, a) for p, a in answers if a and len(a) <= MAX_ANSWER_CHARS and _names_entry(p)}
        self._ensure_sandbox([problem.meta["family"] for problem, _ in asked.values()])
        scores = self._scores({key: item for key, item in asked.items() if not self._evaluates(item[0])}, self.pool)
        scores |= self._scores({key: item for key, item in asked.items() if self._evaluates(item[0])}, self.sandboxed)
        return [self._verdict(answer, scores.get((problem.problem_id, answer))) for problem, answer in answers]

    def close(self) -> None:
        """Stops the worker processes; the next answer starts new ones."""
        self.pool.close()
        self.sandboxed.close()

    def _entries(self, problems: Sequence[Problem]) -> list[tuple[Problem, Any]]:
        """Returns problems with what their entries came to, made where their answers will be scored."""
        found: list[tuple[Problem, Any]] = []
        for pool, is_sandboxed in ((self.pool, False), (self.sandboxed, True)):
            some = [problem for problem in problems if self._evaluates(problem) is is_sandboxed]
            found += zip(some, make_entries(pool, [problem.meta for problem in some]), strict=True)
        return found

    def _evaluates(self, problem: Problem) -> bool:
        """Returns whether an answer to a problem may be evaluated."""
        return evaluates(problem.meta["family"], self.version)

    def _scores(self, asked: Mapping[Key, tuple[Problem, str]], pool: Any) -> dict[Key, Any]:
        """Returns what the workers of a pool say of answers."""
        tasks = [("score", *task_of(problem.meta), problem.question, answer) for problem, answer in asked.values()]
        return dict(zip(asked, pool.run(tasks, as_score), strict=True))

    def _ensure_sandbox(self, families: Sequence[str]) -> None:
        """Raises `RecipeError` where answers to one of these families need a sandbox that this machine cannot give."""
        found = next((family for family in families if evaluates(family, self.version)), None)
        if found is not None and self._refusal:
            what = EVALUATING.get(found, "code that nobody has examined")
            raise RecipeError(f"reasoning_gym:{found} gives answers to {what}, which needs a sandbox. {self._refusal}")

    @cached_property
    def _refusal(self) -> str:
        """Why this machine cannot give the sandbox; empty where it can."""
        try:
            make_sandbox(self.isolation, Limits())
        except RecipeError as error:
            return str(error)
        return ""

    def _verdict(self, answer: str, score: Any) -> Verdict:
        """Returns the verdict of an answer and what a worker said about it; None of what no worker was given."""
        if not answer:
            return unparsed()
        if len(answer) > MAX_ANSWER_CHARS:
            return decided(False, answer, f"answer of {len(answer)} characters")
        if score is None:
            return Verdict(Outcome.ERROR, reason="the problem's meta names no entry of reasoning-gym")
        if isinstance(score, TaskFailure):
            return failed(score, answer)
        points, note = score
        return decided(points >= self.threshold, answer, one_line(f"score {points:g} {note}"))


def as_score(value: Any) -> tuple[float, str]:
    """Returns score and note as a worker sent them; raises `ValueError` where they are something else."""
    if not (isinstance(value, list) and len(value) == 2 and type(value[0]) in (int, float) and type(value[1]) is str):
        raise ValueError("no score")
    if not math.isfinite(value[0]):
        raise ValueError(f"a score of {value[0]}")
    return float(value[0]), value[1]


def answer_of(completion: str) -> str:
    r"""Returns what stands in the last `<answer>...</answer>`, else in the last `\boxed{...}`, else the whole text."""
    tagged = _TAGGED.findall(completion) if "</answer>" in completion.lower() else []
    return (tagged[-1] if tagged else last_boxed(completion) or completion).strip()


def _names_entry(problem: Problem) -> bool:
    """Returns whether the meta of a problem names an entry."""
    return all(isinstance(problem.meta.get(key), kind) for key, kind in META.items())
