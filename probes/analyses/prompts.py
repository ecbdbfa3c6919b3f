"""Two prompts: how much of a difference a prompt alone makes to one and the same model.

Owns: the comparison of one model's arms under two prompts.
Does not own: comparisons of models (`probes.statistics.intervals`). pass@1 of one base went from 34.5 to 61.4 by the
prompt alone: a gain of training that is no larger than this may be a gain of format.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from probes.statistics.estimators import Counts
from probes.statistics.intervals import StepComparison, compare_counts
from probes.store.arm import Arm
from rlvr.errors import InputError


@dataclass(frozen=True)
class PromptEffect:
    """One model under two prompts.

    Attributes:
        comparison: second prompt minus first, with a band over all k.
        moves: whether the band excludes 0 at some k.
    """

    comparison: StepComparison
    moves: bool


def prompt_effect(
    first: tuple[Arm, Counts], second: tuple[Arm, Counts], ks: Sequence[int], seed: int = 0
) -> PromptEffect:
    """Returns what the prompt changes.

    Raises:
        InputError: the arms differ in more than the prompt; the message names the fields.
    """
    more = [field for field in first[0].differences(second[0]) if field != "prompt"]
    if more:
        raise InputError(f"two prompts: the arms differ in {', '.join(more)} too; sample one model with both prompts.")
    comparison = compare_counts(first[1], second[1], ks, seed=seed).at()
    return PromptEffect(comparison, any(word != "cannot tell" for word in comparison.verdict_K))
