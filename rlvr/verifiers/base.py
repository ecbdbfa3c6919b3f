"""What verifiers share: the verdicts that they give, the loop over a batch, and the memory of earlier batches.

Owns: `PlainVerifier`, `Memory`, `after_reasoning`, verdicts within the limits of their fields, the message for problems
that cannot be judged.
Does not own: how an answer is found (`rlvr.verifiers.answers.extraction`) or judged (each verifier), what an outcome
means (`rlvr.verifiers.verdicts`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import wraps
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rlvr.errors import ProblemError
from rlvr.problems import Problem
from rlvr.verifiers.answers.extraction import Think, answer_part
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict

if TYPE_CHECKING:
    from rlvr.sandbox.pool import TaskFailure

NUM_NAMED = 5  # problems in a message
MEMORY_SIZE = 100_000

Key = TypeVar("Key", bound=Hashable)


def decided(is_correct: bool, answer: str, reason: str = "") -> Verdict:
    """Returns the verdict of an answer."""
    return _within_limits(Outcome.CORRECT if is_correct else Outcome.WRONG, answer, reason)


def unparsed(reason: str = "no answer found") -> Verdict:
    """Returns the verdict of a completion without an answer."""
    return _within_limits(Outcome.UNPARSED, None, reason)


def failed(failure: "TaskFailure", answer: str) -> Verdict:
    """Returns the verdict of an answer on which a worker failed: only a limit that it exceeded is its own doing."""
    return _within_limits(Outcome.TIMEOUT if failure.over_limit else Outcome.ERROR, answer, failure.reason)


def _within_limits(outcome: Outcome, answer: str | None, reason: str) -> Verdict:
    """Returns a verdict with its texts cut to what a verdict may hold."""
    return Verdict(outcome, answer and answer[:MAX_VERDICT_CHARS], reason[:MAX_VERDICT_CHARS])


Verify = Callable[[Any, Sequence[tuple[Problem, str]]], list[Verdict]]


def after_reasoning(verify: Verify) -> Verify:
    """Makes a verifier's `verify` see only what follows the reasoning of each completion.

    A completion whose reasoning is not closed is `unparsed`, whatever stands in it. The verifier's attribute `think`
    says where reasoning stands; without one, it is between `<think>` and `</think>`.
    """

    @wraps(verify)
    def verify_answers(self: Any, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        think = getattr(self, "think", Think.ON)
        parts = [answer_part(completion, think) for _, completion in items]
        closed = [(problem, part) for (problem, _), part in zip(items, parts, strict=True) if part is not None]
        verdicts = iter(verify(self, closed))
        return [unparsed("the reasoning is not closed") if part is None else next(verdicts) for part in parts]

    return verify_answers


def one_line(text: str) -> str:
    """Returns a text in one line, as long as a reason may be."""
    return " ".join(text.split())[:MAX_VERDICT_CHARS]


def refuse_unusable(verifier: str, faults: Sequence[tuple[Problem, str]], num_problems: int, expected: str) -> None:
    """Raises `ProblemError` naming the first problems that a verifier cannot use, if there are any.

    Args:
        verifier: its name.
        faults: problems, each with what is wrong with it.
        num_problems: of which these are some.
        expected: what was expected, and what to do.
    """
    if not faults:
        return
    named = "; ".join(
        f"{each.question[:60]!r} has answer {each.answer[:60]!r} ({why})" for each, why in faults[:NUM_NAMED]
    )
    raise ProblemError(
        f"{len(faults)} of {num_problems} problems cannot be judged by the {verifier} verifier: {named}. Expected "
        f"{expected}"
    )


class PlainVerifier(ABC):
    """A verifier that judges one completion after the other in this process.

    Attributes:
        verifier_id: name, version of the rules, and every option that changes verdicts.
        expected: the part of a message that says which gold answers can be used.
    """

    verifier_id: str
    expected: str

    @abstractmethod
    def fault(self, problem: Problem) -> str | None:
        """Returns what makes a problem unusable, or None."""

    @abstractmethod
    def judge(self, problem: Problem, completion: str) -> Verdict:
        """Returns the verdict of one completion to a problem without fault."""

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems whose gold answer cannot be used."""
        faults = [(problem, fault) for problem in problems if (fault := self.fault(problem)) is not None]
        name = self.verifier_id.partition("@")[0]
        refuse_unusable(name, faults, len(problems), f"{self.expected}; correct or remove these problems.")

    @after_reasoning
    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order; a problem with a fault is an `error`."""
        return [self._verdict(problem, completion) for problem, completion in items]

    def close(self) -> None:  # noqa: B027 - complete as it is
        """Does nothing: there are no workers."""

    def _verdict(self, problem: Problem, completion: str) -> Verdict:
        """Returns the verdict of one completion."""
        fault = self.fault(problem)
        if fault is not None:
            return Verdict(Outcome.ERROR, reason=f"the gold answer cannot be used: {fault}"[:MAX_VERDICT_CHARS])
        return self.judge(problem, completion)


class Memory(Generic[Key]):
    """Verdicts of earlier batches, the `MEMORY_SIZE` youngest of them. An `error` is judged again: it is not kept."""

    def __init__(self) -> None:
        self._verdicts: dict[Key, Verdict] = {}

    def recall(self, keys: Iterable[Key]) -> dict[Key, Verdict]:
        """Returns those verdicts that are remembered, and makes them the youngest."""
        found = {key: self._verdicts.pop(key) for key in keys if key in self._verdicts}
        self._verdicts |= found
        return found

    def keep(self, verdicts: Mapping[Key, Verdict]) -> None:
        """Remembers verdicts as the youngest."""
        for key, verdict in verdicts.items():
            self._verdicts.pop(key, None)
            if verdict.outcome is not Outcome.ERROR:
                self._verdicts[key] = verdict
        for key in list(islice(self._verdicts, max(0, len(self._verdicts) - MEMORY_SIZE))):
            del self._verdicts[key]

    def clear(self) -> None:
        """Forgets everything."""
        self._verdicts.clear()
