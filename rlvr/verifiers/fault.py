"""`fault`: another verifier, whose verdicts are made wrong at known rates.

    fault?of=math&fpr=0.05&fnr=0.1        5 % of wrong answers pass, 10 % of right ones do not
    fault?of=math&fpr=1&when=therefore    each wrong answer passes whose completion says "therefore"
    fault?of=math&fpr=0.05&per=problem    of 5 % of the problems each wrong answer passes

For studies of what a verifier's mistakes do to training (arXiv 2605.02909: false successes that are systematic stall or
collapse it), and of whether they are seen.

Owns: which verdicts are made wrong. Whether one is follows from problem, completion and seed alone.
Does not own: the verdicts themselves. Outcomes that say nothing about the answer (`error`, `timeout`) stay.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.verifiers.answers.extraction import Think
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict

if TYPE_CHECKING:
    from rlvr.verifiers import Verifier

NAME, VERSION = "fault", 1
OWN = ("of", "fpr", "fnr", "when", "per", "seed")
PER = ("completion", "problem")
PASSABLE = (Outcome.WRONG, Outcome.UNPARSED)


@dataclass(frozen=True)
class Faults:
    """Which verdicts are made wrong.

    Attributes:
        fpr: share of the answers that are not correct and pass.
        fnr: share of the correct answers that do not pass.
        when: only completions that contain this text; empty is all.
        per: `completion`: each is decided by itself. `problem`: all of a problem alike.
        seed: of the choice.
    """

    fpr: float
    fnr: float
    when: str
    per: str
    seed: int

    def applied_to(self, verdict: Verdict, problem: Problem, completion: str) -> Verdict:
        """Returns the verdict, made wrong or as it was."""
        rate = self.fnr if verdict.correct else self.fpr if verdict.outcome in PASSABLE else 0.0
        if self.when not in completion or self._chance(problem, completion, verdict.correct) >= rate:
            return verdict
        outcome = Outcome.WRONG if verdict.correct else Outcome.CORRECT
        reason = f"made {outcome} by {NAME}, was {verdict.outcome}: {verdict.reason}"[:MAX_VERDICT_CHARS]
        return replace(verdict, outcome=outcome, reason=reason, other=verdict.other and outcome, score=None)

    def _chance(self, problem: Problem, completion: str, is_correct: bool) -> float:
        """Returns a number in [0, 1) that depends on nothing but what is judged and the seed."""
        what = completion if self.per == "completion" else ""
        said = f"{self.seed}\0{is_correct}\0{problem.problem_id}\0{what}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.sha256(said).digest()[:7]) / 2**56


class FaultVerifier:
    """Judges as another verifier does, but for the faults."""

    def __init__(self, inner: "Verifier", faults: Faults) -> None:
        self.inner, self.faults = inner, faults
        options = "&".join(f"{name}={value}" for name, value in vars(faults).items() if value != "")
        self.verifier_id = f"{NAME}@{VERSION}({inner.verifier_id})?{options}"
        self.uses_workers = getattr(inner, "uses_workers", False)

    @classmethod
    def of(cls, spec: Spec) -> "FaultVerifier":
        """Returns the verifier of a spec; options that are not its own go to the verifier that it wraps.

        Raises:
            RecipeError: `of` is missing or names no verifier, or an option is wrong.
        """
        from rlvr.verifiers import make_verifier

        name = spec.options.get("of", "")
        if not name or name in (NAME, "mixture"):  # of a mixture, each part is wrapped by itself
            raise RecipeError(f"{spec.field}: {spec.text!r}: of is {name!r}; expected the name of another verifier.")
        others = {key: value for key, value in spec.options.items() if key not in OWN}
        faults = Faults(
            fpr=spec.number("fpr", 0.0, at_most=1),
            fnr=spec.number("fnr", 0.0, at_most=1),
            when=spec.options.get("when", ""),
            per=spec.choice("per", PER),
            seed=spec.integer("seed", 0) or 0,
        )
        return cls(make_verifier(f"{name}?{urlencode(others, quote_via=quote)}" if others else name), faults)

    @property
    def think(self) -> Think:
        """Where reasoning stands, for the other verifier."""
        return getattr(self.inner, "think", Think.ON)

    @think.setter
    def think(self, think: Think) -> None:
        self.inner.think = think  # type: ignore[attr-defined]

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` where the other verifier does."""
        self.inner.check_problems(problems)

    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), some of them wrong."""
        verdicts = self.inner.verify(items)
        return [
            self.faults.applied_to(verdict, problem, completion)
            for verdict, (problem, completion) in zip(verdicts, items, strict=True)
        ]

    def close(self) -> None:
        """Frees the other verifier's workers."""
        self.inner.close()
