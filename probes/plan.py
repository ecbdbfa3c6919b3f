"""Plans: how many draws a probe owes for each problem.

Owns: `Plan`, the grid of k, and the rule that ties k_max to the number of draws.
Does not own: making the draws (`probes.engines`), keeping them (`probes.store`), estimating from them
(`probes.estimators`: the unbiased estimate belongs to a plan, so another stopping rule brings its own).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rlvr.errors import RecipeError


@dataclass(frozen=True)
class Plan:
    """A fixed number of draws for every problem, whatever their verdicts.

    Attributes:
        num_draws: n, the draws owed for each problem; at least 1.

    Raises:
        RecipeError: `num_draws` is below 1.

    Example:
        >>> Plan(num_draws=4).owed({0, 2})
        [1, 3]
    """

    num_draws: int

    def __post_init__(self) -> None:
        if self.num_draws < 1:
            raise RecipeError(f"probe_max_draws: {self.num_draws} is too small; expected at least 1.")

    def to_json(self) -> dict[str, Any]:
        """Returns the plan as JSON values."""
        return {"kind": "fixed", "num_draws": self.num_draws}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Plan":
        """Returns the plan written by `to_json`.

        Raises:
            RecipeError: the value describes no plan known here.
        """
        num_draws = value.get("num_draws")
        if value.get("kind") != "fixed" or isinstance(num_draws, bool) or not isinstance(num_draws, int):
            raise RecipeError(f"plan: {dict(value)} is not known; expected the form {cls(num_draws=1).to_json()}.")
        return cls(num_draws=num_draws)

    def owed(self, stored: Collection[int]) -> list[int]:
        """Returns the draw indices that one problem still owes, in ascending order.

        Args:
            stored: draw indices that the store holds for the problem; those of a longer plan are ignored.
        """
        held = set(stored)
        return [index for index in range(self.num_draws) if index not in held]

    def validate_k_max(self, k_max: int) -> None:
        """Checks that the draw-sampling variance of pass@k_max can be estimated without bias, which takes n >= 2 k_max.

        Raises:
            RecipeError: k_max is below 1 or above half the number of draws.
        """
        if k_max < 1:
            raise RecipeError(f"probe_k_max: {k_max} is too small; expected at least 1.")
        if 2 * k_max > self.num_draws:
            raise RecipeError(
                f"probe_k_max: {k_max} exceeds n_max / 2 = {self.num_draws / 2:g}; "
                f"raise probe_max_draws to {2 * k_max} or lower probe_k_max."
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
