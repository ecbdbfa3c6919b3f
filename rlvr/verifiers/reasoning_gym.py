r"""The reasoning_gym verifier: what does a task family's own `score_answer` say?

Owns: finding the answer in a completion, and the threshold.
Does not own: entries (`rlvr.problems.reasoning_gym`), scoring (`rlvr.verifiers.reasoning_gym_worker`), killing workers
(`rlvr.sandbox.pool`).
"""

import re
from collections.abc import Sequence
from typing import Any

from rlvr.problems import Problem
from rlvr.problems.reasoning_gym import entry_pool, installed_version, task_of
from rlvr.problems.spec import Spec
from rlvr.sandbox.pool import TaskFailure
from rlvr.verifiers.answers.extraction import last_boxed
from rlvr.verifiers.base import decided, failed, refuse_unusable, unparsed
from rlvr.verifiers.verdicts import Outcome, Verdict

MAX_ANSWER_CHARS = 10_000
DEADLINE_S = 10.0  # making a data set included: a second or two for the slowest families
META = {"family": str, "config": dict, "seed": int, "index": int}

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)


class ReasoningGymVerifier:
    r"""Scores with reasoning-gym; an answer is correct from `threshold` on.

    The answer is what stands in the last `<answer>...</answer>`, else in the last `\boxed{...}`, else the whole text.
    The score is in the verdict's reason. `problem.meta` holds `family`, `config`, `seed` and `index`; a worker makes
    the entry again from them, and an entry that came out different is an `error`.

    Args:
        threshold: lowest score that is correct, more than 0 and at most 1.
        deadline_s: longest time for one answer.

    Raises:
        RecipeError: reasoning-gym is not installed.
    """

    uses_workers = True

    def __init__(self, threshold: float = 1.0, deadline_s: float = DEADLINE_S) -> None:
        self.threshold = threshold
        self.verifier_id = f"reasoning_gym@1+reasoning-gym-{installed_version()}?threshold={threshold!r}"
        self.pool = entry_pool(deadline_s)

    @classmethod
    def of(cls, spec: Spec) -> "ReasoningGymVerifier":
        """Returns the verifier of a recipe's string."""
        return cls(spec.only("threshold").number("threshold", default=1.0, above=0, at_most=1))

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems that are no entries of the installed reasoning-gym."""
        faults = [(problem, "no entry is named by its meta") for problem in problems if not _names_entry(problem)]
        named = [problem for problem in problems if _names_entry(problem)]
        made = self.pool.run([("make", *task_of(problem.meta)) for problem in named]) if named else []
        for problem, entry in zip(named, made, strict=True):
            if isinstance(entry, TaskFailure) or entry[0] != problem.question:
                faults.append((problem, entry.reason if isinstance(entry, TaskFailure) else "made again, it differs"))
        expected = "problems of reasoning_gym:<family>, made by the installed version."
        refuse_unusable("reasoning_gym", faults, len(problems), expected)

    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order; equal answers to a problem are scored once."""
        answers = [(problem, answer_of(completion)) for problem, completion in items]
        asked = {(p.problem_id, a): (p, a) for p, a in answers if a and len(a) <= MAX_ANSWER_CHARS and _names_entry(p)}
        tasks = [("score", *task_of(problem.meta), problem.question, answer) for problem, answer in asked.values()]
        scores = dict(zip(asked, self.pool.run(tasks) if tasks else [], strict=True))
        return [self._verdict(answer, scores.get((problem.problem_id, answer))) for problem, answer in answers]

    def close(self) -> None:
        """Stops the worker processes; the next answer starts new ones."""
        self.pool.close()

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
        return decided(score >= self.threshold, answer, f"score {score:g}")


def answer_of(completion: str) -> str:
    r"""Returns what stands in the last `<answer>...</answer>`, else in the last `\boxed{...}`, else the whole text."""
    tagged = _TAGGED.findall(completion) if "</answer>" in completion.lower() else []
    return (tagged[-1] if tagged else last_boxed(completion) or completion).strip()


def _names_entry(problem: Problem) -> bool:
    """Returns whether the meta of a problem names an entry."""
    return all(isinstance(problem.meta.get(key), kind) for key, kind in META.items())
