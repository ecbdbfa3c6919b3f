r"""The reasoning_gym verifier: what does a task family's own `score_answer` say?

Owns: finding the answer in a completion, the threshold, and what a worker that scores may not do.
Does not own: entries (`rlvr.problems.reasoning_gym`), killing workers (`rlvr.verifiers.pool`).

Scorers are code of reasoning-gym on text that a model wrote: some give it to sympy or to Python's `eval`. So they run
in worker processes under a deadline and a limit of memory, which may not write files, start programs or use the
network. This stops accidents and simple tricks. It is not a sandbox: text that is evaluated can still change its
worker's memory.
"""

import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rlvr.errors import ProblemError
from rlvr.problems import Problem
from rlvr.problems.reasoning_gym import data_set, entry_of, entry_pool, installed_version, names, task_of
from rlvr.spec import Spec
from rlvr.verdicts import Outcome, Verdict
from rlvr.verifiers.answers import last_boxed
from rlvr.verifiers.plain import MAX_VERDICT_CHARS, NUM_NAMED, decided, unparsed
from rlvr.verifiers.pool import TaskFailure

MAX_ANSWER_CHARS = 10_000
DEADLINE_S = 10.0  # making a data set included: a second or two for the slowest families
META = {"family": str, "config": dict, "seed": int, "index": int}

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_REFUSED = ("os.", "shutil.", "subprocess.", "socket.", "ctypes.", "signal.", "pty.", "mmap.", "sqlite3.", "urllib.")
_HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


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

    def __init__(self, threshold: float = 1.0, deadline_s: float = DEADLINE_S) -> None:
        self.threshold = threshold
        self.verifier_id = f"reasoning_gym@1+reasoning-gym-{installed_version()}?threshold={threshold!r}"
        self.pool = entry_pool(deadline_s)

    @classmethod
    def of(cls, spec: Spec) -> "ReasoningGymVerifier":
        """Returns the verifier of a recipe's string."""
        threshold = spec.only("threshold").number("threshold", default=1.0)
        if not 0 < threshold <= 1:
            raise spec.refusal("threshold", "a number above 0 and at most 1")
        return cls(threshold)

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems that are no entries of the installed reasoning-gym."""
        faults = [(problem, "no entry is named by its meta") for problem in problems if not _names_entry(problem)]
        named = [problem for problem in problems if _names_entry(problem)]
        made = self.pool.run([("make", *task_of(problem.meta)) for problem in named]) if named else []
        for problem, entry in zip(named, made, strict=True):
            if isinstance(entry, TaskFailure) or entry[0] != problem.question:
                faults.append((problem, entry.reason if isinstance(entry, TaskFailure) else "made again, it differs"))
        if faults:
            shown = "; ".join(f"{problem.question[:60]!r} ({why})" for problem, why in faults[:NUM_NAMED])
            raise ProblemError(
                f"{len(faults)} of {len(problems)} problems cannot be judged by the reasoning_gym verifier: {shown}. "
                "Use problems of reasoning_gym:<family>, made by the installed version."
            )

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
            return Verdict(score.outcome, answer[:MAX_VERDICT_CHARS], score.reason[:MAX_VERDICT_CHARS])
        return decided(score >= self.threshold, answer, f"score {score:g}")


def answer_of(completion: str) -> str:
    r"""Returns what stands in the last `<answer>...</answer>`, else in the last `\boxed{...}`, else the whole text."""
    tagged = _TAGGED.findall(completion) if "</answer>" in completion.lower() else []
    return (tagged[-1] if tagged else last_boxed(completion) or completion).strip()


def warm_up() -> None:
    """Imports reasoning-gym in a new worker, then takes away its right to act on anything but itself."""
    import logging

    import reasoning_gym  # noqa: F401
    import sympy  # noqa: F401

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    sys.dont_write_bytecode = True
    sys.addaudithook(_refuse)


def work(kind: str, *task: Any) -> Any:
    """Returns, in a worker, what a task asks for: `names`, `make` or `score`."""
    functions: dict[str, Callable[..., Any]] = {"names": names, "make": entry_of, "score": _score}
    return functions[kind](*task)


def _score(family: str, config: str, seed: int, index: int, question: str, answer: str) -> float:
    """Returns, in a worker, the score of an answer."""
    found = data_set(family, config, seed)
    entry = found[index]
    if str(entry["question"]) != question:
        raise ValueError("the installed reasoning-gym makes another entry of this name")
    score = float(found.score_answer(answer, entry))
    if not math.isfinite(score):
        raise ValueError(f"score {score}")
    return score


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    """Raises `PermissionError` where a worker is about to act on files, processes or the network."""
    if event == "open":
        _, mode, flags = args
        is_writing = any(letter in (mode or "") for letter in "wax+") or bool((flags or 0) & _WRITING)
    else:
        is_writing = event.startswith(_REFUSED) and event not in _HARMLESS
    if is_writing:
        raise PermissionError(f"a scorer may not do this: {event}")


def _names_entry(problem: Problem) -> bool:
    """Returns whether the meta of a problem names an entry."""
    return all(isinstance(problem.meta.get(key), kind) for key, kind in META.items())
