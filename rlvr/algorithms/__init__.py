"""Algorithms: what each adds to TRL, one file an algorithm.

Owns: the one place that turns `algorithm:` of a recipe into a TRL config class and a trainer class.
Does not own: the run around it (`rlvr.training.train`).
"""

from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from rlvr.errors import RecipeError


@dataclass(frozen=True)
class Algorithm:
    """Where an algorithm's classes are; they are imported when they are needed, because trl is slow to load.

    Attributes:
        name: in recipes.
        module: of this package that has `Config`, `Trainer` and `OBJECTIVE`.
        is_supervised: it learns from demonstrations instead of rollouts of its own.
    """

    name: str
    module: str
    is_supervised: bool = False

    @property
    def config_class(self) -> Any:
        """TRL's config class, whose fields a recipe may set."""
        return import_module(self.module).Config

    @property
    def trainer_class(self) -> Any:
        """The trainer class."""
        return import_module(self.module).Trainer

    @property
    def objective(self) -> tuple[str, ...]:
        """Recipe keys that decide what is optimised; shipped recipes write every one of them."""
        return tuple(import_module(self.module).OBJECTIVE)


NAMES = (
    "grpo",
    "rloo",
    "rloo_sequence",
    "reinforce_plus_plus",
    "reinforce_plus_plus_baseline",
    "remax",
    "dapo",
    "ppo",
)
SUPERVISED = ("distill", "rft")
ALGORITHMS = {name: Algorithm(name, f"rlvr.algorithms.{name}", name in SUPERVISED) for name in (*NAMES, *SUPERVISED)}


def get_algorithm(name: str) -> Algorithm:
    """Returns the algorithm called `name`.

    Raises:
        RecipeError: there is none.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    near = get_close_matches(name, ALGORITHMS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(ALGORITHMS)}."
    raise RecipeError(f"algorithm: {name!r} is not known; {hint}")
