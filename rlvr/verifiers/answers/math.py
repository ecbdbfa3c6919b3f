r"""The math verifier: is a final answer mathematically equal to the gold answer?

Owns: the order of decisions (what notation decides first, math-verify second), modes, and the door to math-verify.
Does not own: finding the answer in a text (`rlvr.verifiers.answers.extraction`), the rules of notation
(`rlvr.verifiers.answers.equality.rules`), killing workers (`rlvr.sandbox.pool`).

math-verify runs sympy, which can take for ever on a short answer such as `9^{9^{9^{9}}}`. So it runs in worker
processes under limits and a hard deadline (`rlvr.verifiers.answers.math_worker`), and this module does not import it.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.sandbox.pool import TaskFailure, WorkerPool, as_text
from rlvr.verifiers.answers.equality.rules import Pair, decide
from rlvr.verifiers.answers.equality.structure import LIST, SET, parts_of
from rlvr.verifiers.answers.extraction import Form, Found, Think, all_boxed, find_answer, gold_text, joined_boxed
from rlvr.verifiers.answers.notation import normal_form, tidy
from rlvr.verifiers.base import Memory, after_reasoning, decided, refuse_unusable, unparsed
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Mode, Outcome, Verdict

BOXES = ("last", "all")
NO_GOLD, OVER = "gold: ", "over: "  # what a worker's reasons begin with
_SANE = ("compare", "1+x", "x+1", False)  # what a worker that works calls right
_PERCENT = re.compile(r"%|per\s?cent", re.IGNORECASE)


class _NeedsMathError(Exception):
    """Notation does not decide."""


@dataclass(frozen=True)
class _Pair:
    """A gold answer and an extracted answer; equal pairs have equal verdicts.

    Attributes:
        gold, answer: as they were written.
        percent_asked: whether the question speaks of percent.
    """

    gold: str
    answer: str
    percent_asked: bool

    @cached_property
    def shown(self) -> str:
        """The normal form of the answer."""
        return normal_form(self.answer)


class MathVerifier:
    r"""Judges final answers by notation where it decides, else by math-verify in killable worker processes.

    Each distinct pair of gold and answer is judged once. An answer that exceeds a cap, the deadline, the memory or the
    recursion limit of a worker is a `timeout`, and so is one on which workers die again and again. `error` is left for
    a gold answer that `check_problems` would refuse, and for workers that fail whatever they are given; it is not
    remembered. Workers start when the first pair needs them. Not for use by several threads at a time.

    Two modes: `lenient` takes the answer in whatever form it stands; `strict` takes the form asked for and calls any
    other `unparsed`. A verdict's outcome is that of `mode`, its `other` that of the other one.

    Of several boxes the last one is the answer; where gold has several parts, with those that it joins to it:
    `\boxed{1} and \boxed{-2}`.

    Args:
        mode: `lenient` or `strict`.
        form: that the prompt asks for.
        num_workers: worker processes; by default this process's share of the cores, at most 8.
        deadline_s: longest processor time for one pair.
        max_answer_chars: a longer answer is wrong without being read.
        boxes: `last`, or `all`: where gold has several parts, all boxes of the completion together are the answer.

    Example:
        >>> verifier = MathVerifier()
        >>> verifier.verify([(Problem("6 * 7?", "42"), "So it is $\\boxed{42.0}$.")])[0].outcome
        <Outcome.CORRECT: 'correct'>
    """

    uses_workers = True
    think = Think.ON

    def __init__(
        self,
        mode: str = "lenient",
        form: str = "boxed",
        num_workers: int | None = None,
        deadline_s: float = 3.0,
        max_answer_chars: int = MAX_VERDICT_CHARS,
        boxes: str = BOXES[0],
    ) -> None:
        self.mode, self.form, self.boxes = Mode(mode), Form(form), boxes
        self.verifier_id = f"math@3+math-verify-{version('math-verify')}?mode={mode}&format={form}"
        if boxes != BOXES[0]:
            self.verifier_id += f"&boxes={boxes}"
        self.max_answer_chars = max_answer_chars
        self.pool = WorkerPool(
            "rlvr.verifiers.answers.math_worker", "work", num_workers, deadline_s, rehearse="rehearse"
        )
        self.memory = Memory[_Pair]()

    @classmethod
    def of(cls, spec: Spec) -> "MathVerifier":
        """Returns the verifier of a recipe's string: `math?mode=strict&format=hash&workers=16`."""
        spec.only("mode", "format", "boxes", "workers")
        return cls(
            spec.choice("mode", list(Mode)),
            spec.choice("format", list(Form)),
            spec.integer("workers", at_least=1),
            boxes=spec.choice("boxes", BOXES),
        )

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems whose gold answer cannot be read as mathematics."""
        golds = [gold_text(problem) for problem in problems]
        faults = self._gold_faults(sorted(set(golds)))
        bad = [(problem, faults[gold]) for problem, gold in zip(problems, golds, strict=True) if gold in faults]
        refuse_unusable("math", bad, len(problems), "a number, LaTeX or words; correct or remove these problems.")

    @after_reasoning
    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order."""
        found = [find_answer(completion, self.form) for _, completion in items]
        pairs = [
            None if each is None else self._pair(problem, completion, each)
            for each, (problem, completion) in zip(found, items, strict=True)
        ]
        verdicts = self._judge(dict.fromkeys(pair for pair in pairs if pair is not None))
        judged = [unparsed() if pair is None else verdicts[pair] for pair in pairs]
        return [self._in_mode(verdict, each) for verdict, each in zip(judged, found, strict=True)]

    def close(self) -> None:
        """Stops the worker processes; the next pair that needs them starts new ones."""
        self.pool.close()

    def _pair(self, problem: Problem, completion: str, found: Found) -> _Pair:
        """Returns gold and answer; of several boxes those that gold asks for."""
        gold, answer = gold_text(problem), found.text
        if found.form is Form.BOXED and _has_several(gold):
            answer = ", ".join(all_boxed(completion)) if self.boxes == "all" else joined_boxed(completion) or answer
        return _Pair(gold, answer, _PERCENT.search(problem.question) is not None)

    def _in_mode(self, lenient: Verdict, found: Found | None) -> Verdict:
        """Returns the verdict of the mode, with the outcome of the other one beside it."""
        is_asked = found is None or found.form is self.form
        strict = lenient.outcome if is_asked else Outcome.UNPARSED
        if self.mode is Mode.LENIENT:
            return replace(lenient, other=strict)
        reason = lenient.reason if is_asked else f"the answer is not in the form asked for ({self.form})"
        return replace(lenient, outcome=strict, reason=reason, other=lenient.outcome)

    def _judge(self, pairs: Collection[_Pair]) -> dict[_Pair, Verdict]:
        """Returns the verdicts of distinct pairs; those of long answers are not remembered."""
        known = self.memory.recall(pairs)
        fresh, hard = dict[_Pair, Verdict](), list[_Pair]()
        for pair in (pair for pair in pairs if pair not in known):
            verdict = self._judge_by_notation(pair)
            if verdict is None:
                hard.append(pair)
            else:
                fresh[pair] = verdict
        fresh |= self._judge_by_mathematics(hard)
        self.memory.keep({pair: each for pair, each in fresh.items() if len(pair.answer) <= self.max_answer_chars})
        return known | fresh

    def _judge_by_notation(self, pair: _Pair) -> Verdict | None:
        """Returns the verdict where notation decides, else None."""
        if len(pair.answer) > self.max_answer_chars:
            start = normal_form(pair.answer[:MAX_VERDICT_CHARS])
            return decided(False, start, f"answer of {len(pair.answer)} characters")
        if not pair.shown:
            return unparsed()
        is_same = _by_notation(tidy(pair.gold), tidy(pair.answer), pair.percent_asked)
        return None if is_same is None else decided(is_same, pair.shown)

    def _judge_by_mathematics(self, pairs: Sequence[_Pair]) -> dict[_Pair, Verdict]:
        """Returns the verdicts of workers; a pair on which one failed is tried once more."""
        tasks = {pair: ("compare", pair.gold, pair.answer, pair.percent_asked) for pair in pairs}
        results = dict(zip(tasks, self.pool.run(list(tasks.values()), as_text), strict=True))
        failed = [pair for pair, result in results.items() if _is_failure(result)]
        if failed:
            results |= dict(zip(failed, self.pool.run([tasks[pair] for pair in failed], as_text), strict=True))
        still = [pair for pair in failed if _is_failure(results[pair])]
        if still and self.pool.run([_SANE], as_text) == ["right"]:  # so it is the answer on which they die
            results |= {
                pair: replace(result, over_limit=True)
                for pair in still
                if isinstance(result := results[pair], TaskFailure)
            }
        return {pair: _verdict_of(result, pair.shown) for pair, result in results.items()}

    def _gold_faults(self, golds: Sequence[str]) -> dict[str, str]:
        """Returns what is wrong with those gold answers that cannot be used."""
        faults = {gold: "longer than the limit for answers" for gold in golds if len(gold) > self.max_answer_chars}
        faults |= {gold: "empty" for gold in golds if not normal_form(gold)}
        asked = [gold for gold in golds if gold not in faults and not _is_plain(normal_form(gold))]
        results = self.pool.run([("read", gold, "") for gold in asked], as_text)
        for gold, result in zip(asked, results, strict=True):
            if result != "right":
                faults[gold] = result.reason if isinstance(result, TaskFailure) else result.removeprefix(NO_GOLD)
        return faults


def _has_several(gold: str) -> bool:
    """Returns whether a gold answer is a list or a set of several."""
    parts = parts_of(tidy(gold))
    return parts is not None and parts.kind in (LIST, SET) and len(parts.items) > 1


def _is_plain(form: str) -> bool:
    """Returns whether a normal form is a decimal number or letters, so that a gold answer needs no parser."""
    return re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?|[A-Za-z]+", form) is not None


def _by_notation(gold: str, answer: str, percent_asked: bool) -> bool | None:
    """Returns whether two tidy texts are one answer, or None where that takes mathematics."""

    def same(a: str, b: str) -> bool:
        verdict = decide(Pair(a, b, percent_asked), same)
        if verdict is None:
            raise _NeedsMathError
        return verdict

    try:
        return same(gold, answer)
    except (_NeedsMathError, RecursionError):
        return None


def _is_failure(result: Any) -> bool:
    """Returns whether a worker failed otherwise than at a limit."""
    return isinstance(result, TaskFailure) and not result.over_limit


def _verdict_of(result: Any, answer: str) -> Verdict:
    """Returns the verdict that a worker's result means."""
    if isinstance(result, TaskFailure):
        return Verdict(
            Outcome.TIMEOUT if result.over_limit else Outcome.ERROR, answer[:MAX_VERDICT_CHARS], result.reason
        )
    if result.startswith(OVER):
        return Verdict(Outcome.TIMEOUT, answer[:MAX_VERDICT_CHARS], result.removeprefix(OVER))
    if result.startswith(NO_GOLD):
        return Verdict(Outcome.ERROR, answer[:MAX_VERDICT_CHARS], f"the gold answer cannot be used: {result}")
    return decided(result == "right", answer)
