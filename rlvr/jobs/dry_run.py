"""The dry run: what a recipe resolves to and what it will cost.

Owns: the arithmetic of rollouts, draws and tokens, and its output.
Does not own: reading the recipe (`rlvr.training.recipe`, `rlvr.jobs.resolve`). Nothing is trained, downloaded or
written.
"""

import json
import math
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from rlvr.console import echo
from rlvr.jobs.resolve import Job, Probing, resolve
from rlvr.problems import ProblemSet, load_problems
from rlvr.problems.loaders import COUNTDOWN, FILE_SUFFIXES, named_verifiers
from rlvr.problems.spec import joined
from rlvr.training.recipe import Recipe
from rlvr.training.settings import Task, Teacher, TrainingSettings
from rlvr.verifiers import Verifier, make_verifier, verifier_for


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
    job = resolve(recipe)
    verifier = make_verifier(job.task.verifier)
    num_train = _num_problems(job.task.problems, job.task, verifier)
    num_probe = _num_problems(job.probing.problems, job.task, verifier) if job.probing else 0
    num_processes = num_processes or int(os.environ.get("WORLD_SIZE", "1"))
    cost = cost_of(job, num_processes, num_train, num_probe)
    shown = recipe.chosen(sorted(recipe.given | {"algorithm"}))
    result = {"recipe": shown, "processes": num_processes, "train_problems": num_train, "probe_problems": num_probe}
    if as_json:
        echo(json.dumps({**result, "cost": asdict(cost)}, default=str))
        return
    echo(yaml.safe_dump(json.loads(json.dumps(shown, default=str)), sort_keys=False), nl=False)
    echo(f"\nproblems: {_say(num_train)} to train on, {_say(num_probe)} to probe")
    echo(f"processes: {num_processes}")
    for name, value in asdict(cost).items():
        echo(f"{name}: {_say(value)}")


def cost_of(job: Job, num_processes: int, num_train: int | None, num_probe: int | None) -> Cost:
    """Returns the cost of a job.

    Raises:
        RecipeError: TRL refuses the values.
    """
    args = _arguments(job.training, num_processes)
    if job.teacher is not None:
        return _supervised_cost(job, job.teacher, args, num_train, num_probe)
    completions = args.per_device_train_batch_size * args.gradient_accumulation_steps
    rollouts_per_step = _most_rollouts(job.training.algorithm.name, args, completions // args.num_iterations)
    steps = _steps(args, completions, num_train)
    rollouts = None if steps is None else steps * rollouts_per_step
    rollout_tokens = None if rollouts is None else rollouts * args.max_completion_length
    return Cost(steps, rollouts_per_step, rollouts, rollout_tokens, *_probing(job.probing, steps, num_probe))


def _arguments(training: TrainingSettings, num_processes: int) -> Any:
    """Returns TRL's config for one process that has the batch of all, so that TRL checks the values of the whole.

    Devices that this machine lacks are no error in a dry run.
    """
    whole = training.per_device_batch * num_processes
    return training.arguments(
        use_cpu=True, deepspeed=None, output_dir=os.devnull, report_to="none", per_device_train_batch_size=whole
    )


def _most_rollouts(algorithm: str, args: Any, batch: int) -> int:
    """Returns how many completions a step generates at most, for a batch of rollouts that is learned from."""
    if algorithm == "dapo":  # every round may draw a whole batch
        return batch * (1 + int(args.max_resample_rounds))
    if algorithm == "remax":  # one greedy completion a prompt
        return batch + batch // int(args.num_generations)
    return batch


def _supervised_cost(job: Job, teacher: Teacher, args: Any, num_train: int | None, num_probe: int | None) -> Cost:
    """Returns the cost of an arm that learns from demonstrations: its rollouts are what a teacher model draws.

    A solver or a file costs no rollouts. Steps are known if `max_steps` is given, because how many demonstrations are
    kept is not known before.
    """
    steps = int(args.max_steps) if args.max_steps > 0 else None
    rollouts = (None if num_train is None else num_train * teacher.draws) if teacher.is_model else 0
    tokens = None if rollouts is None else rollouts * teacher.max_new_tokens
    return Cost(steps, 0, rollouts, tokens, *_probing(job.probing, steps, num_probe))


def _probing(
    probing: Probing | None, steps: int | None, num_problems: int | None
) -> tuple[int | None, int | None, int | None]:
    """Returns the number of probes, of their draws and of the tokens in these, None where they are not known."""
    if probing is None:
        return 0, 0, 0
    num_probes = None if steps is None else _num_probes(steps, probing.steps)
    if num_problems is None or num_probes is None:
        return num_probes, None, None
    draws = num_probes * num_problems * probing.plan.max_draws
    return num_probes, draws, draws * probing.sampling.max_new_tokens


def _steps(args: Any, completions: int, num_train: int | None) -> int | None:
    """Returns the number of optimizer steps: max_steps, or epochs over the problems, G completions each."""
    if args.max_steps > 0:
        return int(args.max_steps)
    if num_train is None:
        return None
    return math.ceil(float(args.num_train_epochs) * num_train * int(args.num_generations) / completions)


def _num_probes(steps: int, every: int) -> int:
    """Returns how many probes a run makes: at 0, at every `every` steps, at the end."""
    inner = steps // every if every else 0
    return 1 + inner + (1 if every == 0 or steps % every else 0)


def _num_problems(spec: str, task: Task, verifier: Verifier) -> int | None:
    """Returns the number of problems of a file or generator; None for a Hub data set, which is not downloaded.

    Raises:
        InputError: they cannot be read, or a verifier that they name cannot be made.
    """
    locations = [part.split("?")[0] for part in joined(spec)]
    if not all(each.startswith(COUNTDOWN) or each.endswith(FILE_SUFFIXES) or Path(each).exists() for each in locations):
        return None
    problems: ProblemSet = load_problems(spec)
    trusted = problems.trusted | named_verifiers(task.problems)  # as a run, which reads these first
    verifier_for(replace(problems, trusted=trusted), task.verifier, like=verifier)
    return len(problems)


def _say(value: int | None) -> str:
    return "not known before a download" if value is None else f"{value:,}"
