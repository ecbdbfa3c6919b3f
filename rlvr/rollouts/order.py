"""The order in which a training visits the rows of its data set, and how often it has visited each.

Owns: an order that depends on the epoch alone, so that a run that goes on from a checkpoint visits what an
uninterrupted one would; and the visits that follow from it.
Does not own: the order itself (TRL's RepeatSampler, which has it from its seed).

TRL's sampler takes the permutations of the epochs from one generator, one after the other. A process that goes on in
the third epoch has a new generator: TRL would give it the permutation of the first epoch.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import Sampler
from trl.trainer.utils import RepeatSampler


@dataclass(frozen=True)
class Order:
    """What decides which rows are visited.

    Attributes:
        num_rows: of the data set.
        num_generations: rollouts of a row, one after the other.
        batch_rows: rows of one generation, over all processes; those of an epoch that fill no batch are left out.
        num_uses: how often a generation's rollouts are passed to the model.
        accumulation: such passes to one optimizer step.
        seed: of the permutations; None where rows are visited in their order.
    """

    num_rows: int
    num_generations: int
    batch_rows: int
    num_uses: int
    accumulation: int
    seed: int | None

    @classmethod
    def of(cls, sampler: RepeatSampler, accumulation: int) -> "Order":
        """Returns the order of a sampler of TRL."""
        return cls(
            num_rows=sampler.num_samples,
            num_generations=sampler.mini_repeat_count,
            batch_rows=sampler.batch_size,
            num_uses=sampler.repeat_count,
            accumulation=accumulation,
            seed=sampler.seed if sampler.shuffle else None,
        )

    def num_batches(self, num_steps: int) -> int:
        """Returns how many generations an uninterrupted run has made after so many optimizer steps.

        The last step of an epoch has fewer passes where they do not come out even.
        """
        passes = self.num_rows // self.batch_rows * self.num_uses
        epochs, steps = divmod(num_steps, math.ceil(passes / self.accumulation))
        return math.ceil((epochs * passes + min(steps * self.accumulation, passes)) / self.num_uses)

    def visits(self, num_steps: int) -> list[int]:
        """Returns how many rollouts an uninterrupted run has made of each row, in the order of the data set."""
        epochs, batches = divmod(self.num_batches(num_steps), self.num_rows // self.batch_rows)
        sampler = RepeatSampler(range(self.num_rows), 1, self.batch_rows, 1, self.seed is not None, self.seed)
        visited: Counter[int] = Counter()
        for _ in range(epochs):
            visited.update(sampler)
        visited.update(row for row, _ in zip(sampler, range(batches * self.batch_rows), strict=False))
        return [visited[row] * self.num_generations for row in range(self.num_rows)]


class EpochOrder(Sampler[int]):
    """TRL's order of the epoch that training is in.

    Args:
        sampler: of TRL.
        epoch: returns the epoch, from 0; asked when an epoch's first row is wanted.
    """

    def __init__(self, sampler: RepeatSampler, epoch: Callable[[], int]) -> None:
        self.sampler, self.epoch = sampler, epoch

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        """Yields indices of rows as an uninterrupted run's sampler would in this epoch."""
        if self.sampler.shuffle and self.sampler.seed is not None:
            self.sampler.generator.manual_seed(self.sampler.seed)
            for _ in range(self.epoch()):
                torch.randperm(self.sampler.num_samples, generator=self.sampler.generator)
        return iter(self.sampler)
