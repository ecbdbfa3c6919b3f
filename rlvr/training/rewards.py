"""Rewards: from a verifier to reward functions in TRL's signature.

Owns: what an outcome is worth in training, the bonus for the format, what is logged about the verifier, its alarms.
Does not own: judging (`rlvr.verifiers`), truncation's rule (`rlvr.verifiers.verdicts`), what a trainer does with a
reward, the punishment of long completions (`rlvr.algorithms.dapo`).

`correct` is worth 1.0. `wrong`, `unparsed`, `truncated` and `timeout` speak of the completion and are worth 0.0.
`error` says nothing about it and is None, which TRL leaves out of the baseline and gives no advantage.
The bonus is a reward function of its own, beside the accuracy: whoever filters by accuracy still sees it alone.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlvr.errors import ProblemError
from rlvr.problems import Problem, ProblemSet
from rlvr.rollouts.shadow import shadow_alarm, shadow_metrics
from rlvr.verifiers import Verifier
from rlvr.verifiers.answers.extraction import last_boxed
from rlvr.verifiers.verdicts import Outcome, Verdict, account_for_truncation

logger = logging.getLogger(__name__)

RATES = {
    "verifier/timeout_rate": Outcome.TIMEOUT,
    "verifier/error_rate": Outcome.ERROR,
    "verifier/no_answer_rate": Outcome.UNPARSED,
}


@dataclass(frozen=True)
class Alarm:
    """When a share of verdicts is a reason to worry.

    Attributes:
        metric: name of the share in the training log.
        limit: largest share that is no reason.
        means: what it does to the training.
        advice: what to do.
    """

    metric: str
    limit: float
    means: str
    advice: str

    def sentence(self, share: float) -> str:
        """Returns what is said about a share above the limit."""
        return f"{self.metric} is {share:.1%}, above {self.limit:.0%}: {self.means}; {self.advice}."


ALARMS = {
    Outcome.ERROR: Alarm(
        metric="verifier/error_rate",
        limit=0.05,
        means="these completions are not learned from",
        advice="see the reasons with `rlvr verify --explain`, and mend the verifier or the problems",
    ),
    Outcome.TIMEOUT: Alarm(
        metric="verifier/timeout_rate",
        limit=0.20,
        means="these completions count as not correct",
        advice="see the reasons with `rlvr verify --explain`, and give the verifier more cores or simpler answers",
    ),
}


def make_reward_function(
    verifier: Verifier, problems: ProblemSet, eos_token_ids: frozenset[int], shadow: Verifier | None = None
) -> Callable[..., list[float | None]]:
    """Returns the reward function `accuracy(prompts, completions, completion_ids, problem_id, **kwargs)`.

    Per call it logs the shares of timeouts, errors and missing answers among the verifier's verdicts, before truncation
    is accounted for, and the outcome of each completion, if the trainer passes `log_metric` and `log_extra`.

    Args:
        verifier: judges the completions. If it raises, all rewards of the batch are None, and a warning is logged once.
        problems: where `problem_id` is looked up.
        eos_token_ids: a completion whose last token is none of these was cut off.
        shadow: judges them, too; what it says is logged and rewards none.
    """
    return _Accuracy(verifier, problems, eos_token_ids, shadow)


def make_format_reward(weight: float) -> Callable[..., list[float]]:
    r"""Returns the reward function `format`: `weight` for a completion with an answer in `\boxed{...}`, else 0."""

    def format_reward(completions: Sequence[Any], **_: Any) -> list[float]:
        return [0.0 if last_boxed(completion_text(each)) is None else weight for each in completions]

    format_reward.__name__ = "format"
    return format_reward


def alarm_notes(log_history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a sentence for each alarm that a training log shows, with the step at which the share was largest."""
    found = []
    for alarm in ALARMS.values():
        shares = [(row[alarm.metric], row.get("step")) for row in log_history if row.get(alarm.metric, 0) > alarm.limit]
        if shares:
            share, step = max(shares, key=lambda pair: pair[0])
            found.append(f"In training, at step {step}, {alarm.sentence(share)}")
    return [*found, *filter(None, [shadow_alarm(log_history)])]


class _Accuracy:
    """The reward function; TRL logs it under its `__name__`."""

    def __init__(
        self, verifier: Verifier, problems: ProblemSet, eos_token_ids: frozenset[int], shadow: Verifier | None
    ) -> None:
        self.__name__ = "accuracy"
        self._shadow = shadow
        self._verifier = verifier
        self._problems = problems
        self._eos_token_ids = eos_token_ids
        self._warned: set[str] = set()
        self._alarmed: set[Outcome] = set()

    def __call__(
        self,
        prompts: Sequence[Any],  # noqa: ARG002 - TRL passes it by name
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        problem_id: Sequence[str],
        **kwargs: Any,
    ) -> list[float | None]:
        """Returns a reward from 0.0 to 1.0, or None, for each completion."""
        items = [
            (self._problem(name), completion_text(completion))
            for name, completion in zip(problem_id, completions, strict=True)
        ]
        verdicts = self._verify(self._verifier, items)
        finals = self._finals(verdicts, completion_ids)
        outcomes = [verdict.outcome for verdict in finals]
        self._alarm(verdicts)
        if self._shadow is not None:
            shadow = self._finals(self._verify(self._shadow, items), completion_ids)
            _log_shadow(outcomes, [verdict.outcome for verdict in shadow], kwargs)
        _log(verdicts, outcomes, problem_id, [len(ids) for ids in completion_ids], kwargs)
        return [reward_of(verdict) for verdict in finals]

    def _finals(self, verdicts: Sequence[Verdict], completion_ids: Sequence[Sequence[int]]) -> list[Verdict]:
        """Returns what verdicts come to, truncation accounted for."""
        return [
            account_for_truncation(verdict, truncated=self._is_truncated(ids))
            for verdict, ids in zip(verdicts, completion_ids, strict=True)
        ]

    def _problem(self, problem_id: str) -> Problem:
        """Returns the problem of an id."""
        try:
            return self._problems.by_id[problem_id]
        except KeyError:
            raise ProblemError(
                f"problem_id {problem_id!r} is not in the problem set {self._problems.name!r}; train on the problems "
                "that the reward function was made for."
            ) from None

    def _verify(self, verifier: Verifier, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns the verdicts; a verifier that fails as a whole makes each an `error`."""
        try:
            verdicts = verifier.verify(items)
            if len(verdicts) != len(items):
                raise ValueError(f"{len(verdicts)} verdicts for {len(items)} completions")
        except Exception as error:
            logger.log(
                logging.DEBUG if verifier.verifier_id in self._warned else logging.WARNING,
                "the verifier %s failed; the batch gets no verdicts of it, and this warning is not repeated",
                verifier.verifier_id,
                exc_info=error,
            )
            self._warned.add(verifier.verifier_id)
            return [Verdict(Outcome.ERROR, reason=f"{type(error).__name__}: {error}"[:1000])] * len(items)
        return verdicts

    def _alarm(self, verdicts: Sequence[Verdict]) -> None:
        """Warns, once for each alarm, where too large a share of a batch has its outcome."""
        for outcome, alarm in ALARMS.items():
            share = _share(verdicts, outcome)
            if share > alarm.limit and outcome not in self._alarmed:
                self._alarmed.add(outcome)
                reason = next(verdict.reason for verdict in verdicts if verdict.outcome is outcome)
                logger.warning("%s First reason: %s. This is said once.", alarm.sentence(share), reason or "none given")

    def _is_truncated(self, token_ids: Sequence[int]) -> bool:
        """Returns whether a completion was cut off."""
        return not token_ids or int(token_ids[-1]) not in self._eos_token_ids


def reward_of(verdict: Verdict) -> float | None:
    """Returns what a verdict is worth: its score where an answer was graded, else 1.0 or 0.0; None of an error."""
    if verdict.outcome is Outcome.ERROR:
        return None
    if verdict.score is not None and verdict.outcome in (Outcome.CORRECT, Outcome.WRONG):
        return verdict.score
    return 1.0 if verdict.correct else 0.0


def completion_text(completion: str | Sequence[dict[str, Any]]) -> str:
    """Returns the text of a completion: itself, or the last assistant message of a conversation."""
    if isinstance(completion, str):
        return completion
    contents = [message.get("content") for message in completion if message.get("role") == "assistant"]
    content = contents[-1] if contents else None
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if part.get("type") == "text")
    return content or ""


def _share(verdicts: Sequence[Verdict], outcome: Outcome) -> float:
    """Returns the share of verdicts with an outcome; 0 of none."""
    return sum(verdict.outcome is outcome for verdict in verdicts) / max(1, len(verdicts))


def _log_shadow(outcomes: Sequence[Outcome], shadow: Sequence[Outcome], kwargs: dict[str, Any]) -> None:
    """Logs what a shadow verifier says beside the one that rewards, where the trainer offers it."""
    if "log_metric" in kwargs:
        for name, value in shadow_metrics(outcomes, shadow).items():
            kwargs["log_metric"](name, value)
    if "log_extra" in kwargs:
        kwargs["log_extra"]("shadow_outcome", [str(outcome) for outcome in shadow])


def _log(
    verdicts: Sequence[Verdict],
    outcomes: Sequence[Outcome],
    problem_ids: Sequence[str],
    num_tokens: Sequence[int],
    kwargs: dict[str, Any],
) -> None:
    """Logs rates, and of each completion its problem, tokens and outcome, where the trainer offers it."""
    if "log_metric" in kwargs:
        for name, outcome in RATES.items():
            kwargs["log_metric"](name, _share(verdicts, outcome))
    if "log_extra" in kwargs:
        kwargs["log_extra"]("problem_id", list(problem_ids))
        kwargs["log_extra"]("num_tokens", list(num_tokens))
        kwargs["log_extra"]("outcome", [str(outcome) for outcome in outcomes])
