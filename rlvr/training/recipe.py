"""Recipes: YAML and flags in TrlParser's conventions, read and checked.

Owns: reading and overriding, unknown keys, wrong values.
Does not own: the fields (`rlvr.training.recipe_fields` and TRL); what their values mean to each room:
`rlvr.jobs.resolve` turns a recipe into that, and nobody else reads its keys.

A recipe has the fields of `RunArguments`, of TRL's `ModelConfig`, and of the algorithm's TRL config. A flag
`--key value` overrides the YAML value. An unknown key is an error that names the nearest known one.
"""

import argparse
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rlvr.algorithms import SUPERVISED, Algorithm, get_algorithm
from rlvr.errors import RecipeError
from rlvr.secrets import refuse_secrets, refuse_secrets_in_flags
from rlvr.training.recipe_fields import RunArguments

NARROWING = ("log", "save", "stop")
# TRL's own RLOO would learn from the bonus of a completion that the verifier failed on; the others have no rewards.
WITHOUT_SHAPING = ("rloo_sequence", *SUPERVISED)


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes:
        values: every field with its value, ours and TRL's.
        given: the keys that YAML or flags set.
        source: the YAML file, or None.
        algorithm: that `values["algorithm"]` names.
    """

    values: Mapping[str, Any]
    given: frozenset[str]
    source: str | None
    algorithm: Algorithm

    @property
    def own(self) -> RunArguments:
        """The fields that rlvr adds to TRL's."""
        return RunArguments(**self.part(RunArguments))

    def part(self, of: type) -> dict[str, Any]:
        """Returns the values that belong to one dataclass."""
        return {item.name: self.values[item.name] for item in fields(of) if item.init and item.name in self.values}

    def chosen(self, keys: Iterable[str]) -> dict[str, Any]:
        """Returns the values of those keys that this recipe's algorithm knows."""
        return {key: self.values[key] for key in keys if key in self.values}


def read_recipe(config: str | None, flags: Sequence[str] = ()) -> Recipe:
    """Returns the recipe of a YAML file and of the flags that override it.

    Args:
        config: path of the YAML file, or None.
        flags: `--key value`, `--key=value`, `--key` for a boolean, `--no_key` to switch off what is on by default.

    Raises:
        RecipeError: a file, key or value is wrong.
    """
    from trl import ModelConfig, TrlParser

    refuse_secrets_in_flags(flags)
    given = _read_yaml(config) if config is not None else {}
    refuse_secrets(given, str(config))
    _set_environment(given.pop("env", None), config)
    algorithm = get_algorithm(str(_early_flag(flags, "algorithm") or given.get("algorithm", "grpo")))
    parser = TrlParser([RunArguments, ModelConfig, algorithm.config_class], allow_abbrev=False, add_help=False)
    parser.error = _raise_recipe_error  # argparse would print its usage of 300 lines and exit
    actions = {action.dest: action for action in parser._actions}
    for key, value in given.items():
        _check_key(key, actions, str(config))
        _check_type(key, value, actions[key])
    parser.set_defaults_with_config(**given)
    namespace, unknown = parser.parse_known_args(list(flags))
    for flag in unknown:
        _check_key(flag.split("=")[0].lstrip("-"), actions, "command line")
        raise RecipeError(f"command line: {flag!r} is not expected there; write --key value.")
    flagged = {action.dest for action in parser._actions if _is_flagged(action, flags)}
    recipe = Recipe(dict(vars(namespace)), frozenset({*given, *flagged}), config, algorithm)
    _check_values(recipe)
    return recipe


def _read_yaml(path: str) -> dict[str, Any]:
    """Returns the mapping of a YAML file."""
    import yaml

    if not Path(path).is_file():
        raise RecipeError(f"{path}: no such recipe; give the path of a YAML file to --config.")
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: expected a YAML mapping of keys to values, saw {type(value).__name__}.")
    return value


def _set_environment(env: Any, path: str | None) -> None:
    """Sets the variables of a recipe's `env` mapping, as TrlParser does."""
    if env is None:
        return
    if not isinstance(env, dict):
        raise RecipeError(f"{path}: env: expected a mapping of variables to values, saw {type(env).__name__}.")
    os.environ.update({str(key): str(value) for key, value in env.items()})


def _early_flag(flags: Sequence[str], name: str) -> str | None:
    """Returns the value of a flag that is needed before the parser can be built."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(f"--{name}")
    return getattr(parser.parse_known_args(list(flags))[0], name)  # type: ignore[no-any-return]


def _check_key(key: str, actions: Mapping[str, argparse.Action], where: str) -> None:
    """Raises `RecipeError` with the nearest known name unless the key is known."""
    if key in actions:
        return
    near = get_close_matches(key, actions, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "see `rlvr train --help` and TRL's documentation of its config."
    raise RecipeError(f"{where}: unknown key {key!r}; {hint}")


def _check_type(key: str, value: Any, action: argparse.Action) -> None:
    """Raises `RecipeError` where YAML has a list or mapping, or a word, for a number."""
    expects_number = action.type in (int, float)
    if expects_number and action.nargs is None and isinstance(value, (list, dict, bool)):
        raise RecipeError(f"{key}: expected a number, saw {value!r}.")


def _raise_recipe_error(message: str) -> None:
    raise RecipeError(re.sub(r"^argument --(\w+)(/--[\w-]+)*", r"\1", message) + ".")


def _is_flagged(action: argparse.Action, flags: Sequence[str]) -> bool:
    return any(flag.split("=")[0] in action.option_strings for flag in flags)


def _check_values(recipe: Recipe) -> None:
    """Raises `RecipeError` where our own fields lack a value or contradict each other."""
    run = recipe.own
    for key in ("verifier", "train_problems"):
        if not getattr(run, key):
            raise RecipeError(f"{key}: missing; add it to the recipe or give --{key}.")
    for key in ("probe_k_max", "probe_max_draws"):
        if getattr(run, key) < 1:
            raise RecipeError(f"{key}: {getattr(run, key)} is below 1.")
    if run.probe_on_narrowing not in NARROWING:
        raise RecipeError(f"probe_on_narrowing: {run.probe_on_narrowing!r} is not known; use {', '.join(NARROWING)}.")
    if not 0 <= run.format_reward < math.inf:
        raise RecipeError(
            f"format_reward: {run.format_reward} is no bonus; expected 0 (off) or a small number above it."
        )
    if run.format_reward and recipe.algorithm.name in WITHOUT_SHAPING:
        raise RecipeError(f"format_reward: {recipe.algorithm.name} cannot use it; set 0, or another algorithm.")
    if run.guard_patience < 0:
        raise RecipeError(f"guard_patience: {run.guard_patience} is negative; 0 switches the guards off.")
    if run.probe_steps < 0:
        raise RecipeError(f"probe_steps: {run.probe_steps} is negative; 0 probes at start and end only.")
    if run.probe_temperature < 0:
        raise RecipeError(f"probe_temperature: {run.probe_temperature} is negative.")
    if not 0 < run.probe_top_p <= 1:
        raise RecipeError(f"probe_top_p: {run.probe_top_p} is outside (0, 1]; 1 switches it off.")
