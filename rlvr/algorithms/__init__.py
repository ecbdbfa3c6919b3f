"""Algorithms: what each adds to TRL, one file an algorithm.

    advantages     what several share, as functions of rewards
    base           the thin trainer on TRL's GRPOTrainer that the rollout algorithms derive from
    grpo, rloo, reinforce_plus_plus, reinforce_plus_plus_baseline, remax, dapo, ppo
    rloo_sequence  TRL's own RLOO
    sft            distill and rft, on TRL's SFTTrainer

Owns: the one place that turns `algorithm:` of a recipe into a TRL config class and a trainer class.
Does not own: the run around it (`rlvr.training.train`); measuring: nothing here imports `probes`.
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
        has_teacher: its demonstrations come from the recipe's `teacher`; without one the base is its own.
    """

    name: str
    module: str
    is_supervised: bool = False
    has_teacher: bool = False

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
        return (*import_module(self.module).OBJECTIVE, *(("teacher",) if self.has_teacher else ()))


ROLLOUT = (
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
ALGORITHMS = {name: Algorithm(name, f"rlvr.algorithms.{name}") for name in ROLLOUT} | {
    name: Algorithm(name, "rlvr.algorithms.sft", is_supervised=True, has_teacher=name == "distill")
    for name in SUPERVISED
}


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
