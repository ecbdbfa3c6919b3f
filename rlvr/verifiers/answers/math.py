r"""The math verifier: is a final answer mathematically equal to the gold answer?

Owns: the order of decisions (strings first, math-verify second), modes, and the door to math-verify.
Does not own: finding the answer in a text (`rlvr.verifiers.answers.extraction`), what strings decide
(`rlvr.verifiers.answers.notation`), killing workers (`rlvr.sandbox.pool`).

math-verify runs sympy, which can take for ever on a short answer such as `9^{9^{9^{9}}}`. So it runs in worker
processes under a hard deadline (`rlvr.verifiers.answers.math_worker`), and this module does not import it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.sandbox.pool import TaskFailure, WorkerPool, as_bool
from rlvr.verifiers.answers.extraction import Form, Found, find_answer, gold_text
from rlvr.verifiers.answers.notation import clean, is_plain, is_words, normal_form, same_number
from rlvr.verifiers.base import Memory, decided, failed, refuse_unusable, unparsed
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Mode, Outcome, Verdict


@dataclass(frozen=True)
class _Pair:
    """A gold answer and an extracted answer; equal pairs have equal verdicts."""

    gold: str
    answer: str

    @cached_property
    def forms(self) -> tuple[str, str]:
        """Normal forms of both."""
        return normal_form(self.gold), normal_form(self.answer)


class MathVerifier:
    r"""Judges final answers by strings where they decide, else by math-verify in killable worker processes.

    Each distinct pair of gold and answer is judged once. An answer that exceeds the deadline, the memory or the
    recursion limit of a worker is a `timeout`; a worker that dies or an exception in math-verify is an `error`, which
    is not remembered. Workers start when the first pair needs them. Not for use by several threads at a time.

    Two modes: `lenient` takes the answer in whatever form it stands; `strict` takes the form asked for and calls any
    other `unparsed`. A verdict's outcome is that of `mode`, its `other` that of the other one.

    Args:
        mode: `lenient` or `strict`.
        form: that the prompt asks for.
        num_workers: worker processes; by default this process's share of the cores, at most 8.
        deadline_s: longest time for one pair.
        max_answer_chars: a longer answer is wrong without being read.

    Example:
        >>> verifier = MathVerifier()
        >>> verifier.verify([(Problem("6 * 7?", "42"), "So it is $\\boxed{42.0}$.")])[0].outcome
        <Outcome.CORRECT: 'correct'>
    """

    uses_workers = True

    def __init__(
        self,
        mode: str = "lenient",
        form: str = "boxed",
        num_workers: int | None = None,
        deadline_s: float = 3.0,
        max_answer_chars: int = MAX_VERDICT_CHARS,
    ) -> None:
        self.mode, self.form = Mode(mode), Form(form)
        self.verifier_id = f"math@2+math-verify-{version('math-verify')}?mode={mode}&format={form}"
        self.max_answer_chars = max_answer_chars
        self.pool = WorkerPool("rlvr.verifiers.answers.math_worker", "work", num_workers, deadline_s)
        self.memory = Memory[_Pair]()

    @classmethod
    def of(cls, spec: Spec) -> "MathVerifier":
        """Returns the verifier of a recipe's string: `math?mode=strict&format=hash`."""
        spec.only("mode", "format")
        return cls(spec.choice("mode", list(Mode)), spec.choice("format", list(Form)))

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems whose gold answer cannot be read as mathematics."""
        golds = [gold_text(problem) for problem in problems]
        faults = self._gold_faults(sorted(set(golds)))
        bad = [(problem, faults[gold]) for problem, gold in zip(problems, golds, strict=True) if gold in faults]
        refuse_unusable("math", bad, len(problems), "a number, LaTeX or words; correct or remove these problems.")

    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order."""
        found = [find_answer(completion, self.form) for _, completion in items]
        pairs = [
            None if each is None else _Pair(gold_text(problem), each.text)
            for each, (problem, _) in zip(found, items, strict=True)
        ]
        verdicts = self._judge(dict.fromkeys(pair for pair in pairs if pair is not None))
        judged = [unparsed() if pair is None else verdicts[pair] for pair in pairs]
        return [self._in_mode(verdict, each) for verdict, each in zip(judged, found, strict=True)]

    def close(self) -> None:
        """Stops the worker processes; the next pair that needs them starts new ones."""
        self.pool.close()

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
            verdict = self._judge_as_strings(pair)
            if verdict is None:
                hard.append(pair)
            else:
                fresh[pair] = verdict
        if hard:
            results = self.pool.run([("compare", *_readable(pair)) for pair in hard], as_bool)
            fresh |= {pair: _verdict_of(result, pair) for pair, result in zip(hard, results, strict=True)}
        self.memory.keep({pair: each for pair, each in fresh.items() if len(pair.answer) <= self.max_answer_chars})
        return known | fresh

    def _judge_as_strings(self, pair: _Pair) -> Verdict | None:
        """Returns the verdict where strings decide, else None."""
        if len(pair.answer) > self.max_answer_chars:
            return decided(False, clean(pair.answer[:MAX_VERDICT_CHARS]), f"answer of {len(pair.answer)} characters")
        gold, answer = pair.forms
        if not answer:
            return unparsed()
        if gold.removesuffix("%") == answer.removesuffix("%"):
            return decided(True, answer)
        if is_words(pair.gold):
            return decided(gold.casefold() == answer.casefold(), answer)
        is_same = same_number(gold, answer)
        return None if is_same is None else decided(is_same, answer)

    def _gold_faults(self, golds: Sequence[str]) -> dict[str, str]:
        """Returns what is wrong with those gold answers that cannot be used."""
        faults = {gold: "longer than the limit for answers" for gold in golds if len(gold) > self.max_answer_chars}
        faults |= {gold: "empty" for gold in golds if not normal_form(gold)}
        asked = [gold for gold in golds if gold not in faults and not is_plain(normal_form(gold))]
        results = self.pool.run([("read", clean(gold), "") for gold in asked], as_bool)
        for gold, result in zip(asked, results, strict=True):
            if result is not True:
                faults[gold] = result.reason if isinstance(result, TaskFailure) else "not readable as mathematics"
        return faults


def _readable(pair: _Pair) -> tuple[str, str]:
    """Returns gold and answer for a parser; two percentages are compared without their signs."""
    gold, answer = clean(pair.gold), clean(pair.answer)
    if gold.endswith("%") and answer.endswith("%"):
        return gold[:-1], answer[:-1]
    return gold, answer


def _verdict_of(result: Any, pair: _Pair) -> Verdict:
    """Returns the verdict that a worker's result means."""
    _, answer = pair.forms
    return failed(result, answer) if isinstance(result, TaskFailure) else decided(bool(result), answer)
