"""Plans: how many draws a probe owes for each problem, decided at a few looks.

Owns: `Plan`, the grid of k, the rule that ties k_max to the number of draws, and which process has which problems.
Does not own: making the draws (`probes.engines`), keeping them (`probes.store`), replaying a plan over verdicts
(`probes.statistics.outcomes`), estimating from them (`probes.statistics.estimators`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from rlvr.errors import RecipeError

T = TypeVar("T")

FIRST_LOOK, STOP_AT = 32, 16


@dataclass(frozen=True)
class Plan:
    """A group-sequential plan: at each look, a problem stops or draws on to the next.

    A problem stops at the first look with at least `stop_at` successes, so easy problems cost a few dozen draws and
    only hard ones cost `max_draws`. It may also stop without any success at `give_up_at`. A fixed number of draws is
    the plan with one look. Whether a problem stops depends on look and successes alone: that makes the estimates of
    `probes.statistics.estimators` exactly unbiased.

    Attributes:
        looks: cumulative numbers of draws, ascending; the last is n_max.
        stop_at: r, successes that end a problem; None never stops early.
        give_up_at: the look that ends a problem without success; None never gives up. No k above it can be estimated.

    Raises:
        RecipeError: looks that do not ascend from 1, stop_at below 1, or give_up_at that is no look.

    Example:
        >>> Plan.sequential(256).looks
        (32, 64, 128, 256)
    """

    looks: tuple[int, ...]
    stop_at: int | None = None
    give_up_at: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "looks", tuple(self.looks))
        if not self.looks or any(low >= high for low, high in zip((0, *self.looks), self.looks, strict=False)):
            raise RecipeError(f"plan: looks {self.looks} are not usable; expected numbers of draws that ascend from 1.")
        if self.stop_at is not None and self.stop_at < 1:
            raise RecipeError(f"probe_stop_at: {self.stop_at} is too small; expected at least 1.")
        if self.give_up_at is not None and self.give_up_at not in self.looks:
            raise RecipeError(
                f"probe_give_up_at: {self.give_up_at} is not a look of the plan; use one of {list(self.looks)}."
            )

    @classmethod
    def fixed(cls, num_draws: int) -> "Plan":
        """Returns the plan with the same number of draws for every problem.

        Raises:
            RecipeError: `num_draws` is below 1.
        """
        if num_draws < 1:
            raise RecipeError(f"probe_max_draws: {num_draws} is too small; expected at least 1.")
        return cls((num_draws,))

    @classmethod
    def sequential(
        cls, max_draws: int, stop_at: int | None = STOP_AT, first_look: int = FIRST_LOOK, give_up_at: int | None = None
    ) -> "Plan":
        """Returns the plan that looks at `first_look` draws, at twice as many, and so on up to `max_draws`.

        Raises:
            RecipeError: a number is below 1, or `give_up_at` is no look.
        """
        if min(max_draws, first_look) < 1:
            raise RecipeError(
                f"probe_max_draws: {max_draws} with a first look at {first_look}; expected at least 1 each."
            )
        looks = [min(first_look, max_draws)]
        while looks[-1] < max_draws:
            looks.append(min(2 * looks[-1], max_draws))
        return cls(tuple(looks), stop_at, give_up_at)

    @classmethod
    def of_numbers(cls, max_draws: int, stop_at: int, first_look: int, give_up_at: int) -> "Plan":
        """Returns the plan that recipe fields or flags describe, where 0 switches `stop_at` and `give_up_at` off.

        Raises:
            RecipeError: the numbers do not fit together.
        """
        if not stop_at and not give_up_at:
            return cls.fixed(max_draws)
        return cls.sequential(max_draws, stop_at or None, first_look, give_up_at or None)

    @property
    def max_draws(self) -> int:
        """n_max, the draws of a problem that never stops early."""
        return self.looks[-1]

    @property
    def first_look(self) -> int:
        """The draws that every problem has, whatever came out."""
        return self.looks[0]

    @property
    def largest_k(self) -> int:
        """The largest k whose q^k can be estimated: "the first k draws all fail" must be seen to the end."""
        return self.give_up_at or self.max_draws

    @property
    def is_fixed(self) -> bool:
        """Whether every problem has the same number of draws."""
        return len(self.looks) == 1

    def stops(self, num_draws: int, num_correct: int) -> bool:
        """Returns whether a problem ends at this look with so many successes."""
        if num_draws >= self.max_draws:
            return True
        if self.stop_at is not None and num_correct >= self.stop_at:
            return True
        return self.give_up_at is not None and num_correct == 0 and num_draws >= self.give_up_at

    def to_json(self) -> dict[str, Any]:
        """Returns the plan as JSON values."""
        return {**asdict(self), "looks": list(self.looks)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Plan":
        """Returns the plan written by `to_json`.

        Raises:
            RecipeError: the value describes no plan known here.
        """
        expected = cls((32, 64), 16).to_json()
        if value.keys() != expected.keys() or not isinstance(value["looks"], list):
            raise RecipeError(f"plan: {dict(value)} is not known; expected the form {expected}.")
        if not all(_is_count(number) for number in (*value["looks"], value["stop_at"] or 1, value["give_up_at"] or 1)):
            raise RecipeError(f"plan: {dict(value)} is not known; expected whole numbers, as in {expected}.")
        return cls(tuple(value["looks"]), value["stop_at"], value["give_up_at"])

    def validate_k_max(self, k_max: int) -> None:
        """Checks that the draw-sampling variance of pass@k_max can be estimated without bias: 2 k_max <= `largest_k`.

        Raises:
            RecipeError: k_max is below 1 or above half of `largest_k`.
        """
        if k_max < 1:
            raise RecipeError(f"probe_k_max: {k_max} is too small; expected at least 1.")
        if 2 * k_max <= self.largest_k:
            return
        name, key = ("give_up_at", "probe_give_up_at") if self.give_up_at else ("n_max", "probe_max_draws")
        raise RecipeError(
            f"probe_k_max: {k_max} exceeds {name} / 2 = {self.largest_k / 2:g}; "
            f"raise {key} to {2 * k_max} or lower probe_k_max."
        )


def k_grid(k_max: int) -> tuple[int, ...]:
    """Returns the powers of two up to k_max, and k_max itself, in ascending order.

    Raises:
        RecipeError: k_max is below 1.

    Example:
        >>> k_grid(12)
        (1, 2, 4, 8, 12)
    """
    if k_max < 1:
        raise RecipeError(f"probe_k_max: {k_max} is too small; expected at least 1.")
    powers = [2**exponent for exponent in range(k_max.bit_length())]
    return tuple(powers) if powers[-1] == k_max else (*powers, k_max)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def shard(problems: Iterable[T], process_index: int, num_processes: int) -> list[T]:
    """Returns every num_processes-th problem, starting with the process's own index."""
    return list(problems)[process_index::num_processes]
