"""The dry run: what a recipe resolves to and what it will cost.

Owns: the arithmetic of rollouts, draws and tokens, and its output.
Does not own: reading the recipe (`rlvr.training.recipe`). Nothing is trained, downloaded or written.
"""

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from rlvr.errors import RecipeError
from rlvr.models.loading import check_model_name
from rlvr.problems import ProblemSet, load_problems
from rlvr.problems.loaders import COUNTDOWN, FILE_SUFFIXES, JOINT
from rlvr.training.demonstrations import SOLVER
from rlvr.training.recipe import Recipe
from rlvr.training.recipe_fields import RunArguments
from rlvr.verifiers import make_verifier


@dataclass(frozen=True)
class Cost:
    """Upper bounds; None where a number of problems is not known without a download.

    Attributes:
        steps: optimizer steps.
        rollouts_per_step: completions generated per optimizer step, over all processes.
        rollouts: completions of the training.
        rollout_tokens: at most this many generated tokens in them.
        probes: number of probes, the first and the last included.
        draws: completions of all probes.
        draw_tokens: at most this many generated tokens in them.
    """

    steps: int | None
    rollouts_per_step: int
    rollouts: int | None
    rollout_tokens: int | None
    probes: int | None
    draws: int | None
    draw_tokens: int | None


def print_dry_run(recipe: Recipe, num_processes: int | None, as_json: bool) -> None:
    """Checks a recipe as far as that is possible without its model, and prints it with its cost.

    Raises:
        InputError: as a real start would.
    """
    from rlvr.jobs.run import make_plan
    from rlvr.jobs.teaching import check_teacher

    run = recipe.run
    check_model_name(recipe.values.get("model_name_or_path"))
    check_teacher(recipe)
    make_plan(recipe)
    assert run.verifier is not None
    make_verifier(run.verifier)
    num_train = _num_problems(run.train_problems)
    num_probe = _num_problems(run.probe_problems)
    num_processes = num_processes or int(os.environ.get("WORLD_SIZE", "1"))
    cost = cost_of(recipe, num_processes, num_train, num_probe)
    _check_against_trl(recipe, num_processes)
    shown = {key: recipe.values[key] for key in sorted(recipe.given | {"algorithm"})}
    result = {"recipe": shown, "processes": num_processes, "train_problems": num_train, "probe_problems": num_probe}
    if as_json:
        click.echo(json.dumps({**result, "cost": asdict(cost)}, default=str))
        return
    click.echo(yaml.safe_dump(json.loads(json.dumps(shown, default=str)), sort_keys=False), nl=False)
    click.echo(f"\nproblems: {_say(num_train)} to train on, {_say(num_probe)} to probe")
    click.echo(f"processes: {num_processes}")
    for name, value in asdict(cost).items():
        click.echo(f"{name}: {_say(value)}")


def cost_of(recipe: Recipe, num_processes: int, num_train: int | None, num_probe: int | None) -> Cost:
    """Returns the cost of a recipe.

    Raises:
        RecipeError: neither max_steps nor a number of training problems is known.
    """
    values, run = recipe.values, recipe.run
    if recipe.algorithm.is_supervised:
        return _supervised_cost(recipe, num_train, num_probe)
    completions = values["per_device_train_batch_size"] * values["gradient_accumulation_steps"] * num_processes
    rollouts_per_step = _most_rollouts(recipe, completions // values["num_iterations"])
    steps = _steps(values, completions, num_train)
    num_probes, draws = _probing(steps, run, num_probe)
    rollouts = None if steps is None else steps * rollouts_per_step
    max_length, draw_length = (
        values["max_completion_length"],
        run.probe_max_new_tokens or values["max_completion_length"],
    )
    rollout_tokens = None if rollouts is None else rollouts * max_length
    draw_tokens = None if draws is None else draws * draw_length
    return Cost(steps, rollouts_per_step, rollouts, rollout_tokens, num_probes, draws, draw_tokens)


def _most_rollouts(recipe: Recipe, batch: int) -> int:
    """Returns how many completions a step generates at most, for a batch of rollouts that is learned from."""
    if recipe.algorithm.name == "dapo":  # every round may draw a whole batch
        return batch * (1 + int(recipe.values["max_resample_rounds"]))
    if recipe.algorithm.name == "remax":  # one greedy completion a prompt
        return batch + batch // int(recipe.values["num_generations"])
    return batch


def _supervised_cost(recipe: Recipe, num_train: int | None, num_probe: int | None) -> Cost:
    """Returns the cost of an arm that learns from demonstrations: its rollouts are what a teacher model draws.

    A solver or a file costs no rollouts. Steps are known if `max_steps` is given, because how many demonstrations are
    kept is not known before.
    """
    values, run = recipe.values, recipe.run
    steps = int(values["max_steps"]) if values["max_steps"] and values["max_steps"] > 0 else None
    is_model = run.teacher is None or not (run.teacher == SOLVER or run.teacher.endswith((".jsonl", ".json")))
    rollouts = (None if num_train is None else num_train * run.teacher_draws) if is_model else 0
    num_probes, draws = _probing(steps, run, num_probe)
    tokens = None if rollouts is None else rollouts * run.teacher_max_new_tokens
    draw_tokens = None if draws is None else draws * (run.probe_max_new_tokens or 0)
    return Cost(steps, 0, rollouts, tokens, num_probes, draws, draw_tokens)


def _probing(steps: int | None, run: RunArguments, num_probe: int | None) -> tuple[int | None, int | None]:
    """Returns the number of probes and of their draws, None where they are not known."""
    num_probes = None if steps is None else _num_probes(steps, run.probe_steps, run.probe_problems)
    draws = None if num_probe is None or num_probes is None else num_probes * num_probe * run.probe_max_draws
    return num_probes, draws


def _steps(values: Any, completions: int, num_train: int | None) -> int | None:
    """Returns the number of optimizer steps: max_steps, or epochs over the problems, G completions each."""
    if values["max_steps"] and values["max_steps"] > 0:
        return int(values["max_steps"])
    if num_train is None:
        return None
    return math.ceil(float(values["num_train_epochs"]) * num_train * int(values["num_generations"]) / completions)


def _num_probes(steps: int, every: int, probe_problems: str | None) -> int:
    """Returns how many probes a run makes: at 0, at every `every` steps, at the end."""
    if not probe_problems:
        return 0
    inner = steps // every if every else 0
    return 1 + inner + (1 if every == 0 or steps % every else 0)


def _num_problems(spec: str | None) -> int | None:
    """Returns the number of problems of a file or generator; None for a Hub data set, which is not downloaded."""
    if not spec:
        return 0
    locations = [part.split("?")[0] for part in spec.split(JOINT)]
    if not all(each.startswith(COUNTDOWN) or each.endswith(FILE_SUFFIXES) or Path(each).exists() for each in locations):
        return None
    problems: ProblemSet = load_problems(spec)
    return len(problems)


def _check_against_trl(recipe: Recipe, num_processes: int) -> None:
    """Lets TRL check the values; devices that this machine lacks are no error in a dry run."""
    values = recipe.values
    size = values["per_device_train_batch_size"] * num_processes
    if recipe.algorithm.is_supervised:
        recipe.training(use_cpu=True, deepspeed=None, output_dir=os.devnull, report_to="none")
        return
    generation = values.get("generation_batch_size") or size * (
        values.get("steps_per_generation") or values["gradient_accumulation_steps"]
    )
    if generation % values["num_generations"]:
        raise RecipeError(
            f"generation batch of {generation} completions (per_device_train_batch_size x processes x "
            f"steps per generation) is not a multiple of num_generations = {values['num_generations']}."
        )
    recipe.training(use_cpu=True, deepspeed=None, output_dir=os.devnull, report_to="none", **_one_process(values, size))


def _one_process(values: Any, size: int) -> dict[str, Any]:
    """Returns overrides that give one process the batch of all, so that TRL's checks see the whole batch."""
    return {"per_device_train_batch_size": size, "num_generations": values["num_generations"]}


def _say(value: int | None) -> str:
    return "not known before a download" if value is None else f"{value:,}"
