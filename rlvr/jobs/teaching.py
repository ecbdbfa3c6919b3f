"""The teacher of a supervised arm: where its demonstrations come from.

Owns: what `teacher` in a recipe means, and sampling a model through the engines of `probes`.
Does not own: which completions are kept (`rlvr.training.demonstrations`), sampling (`probes.sampling.sample`).

A model's completions are a store of `probes` in the run's folder, `teacher/`: a killed start goes on where it stopped,
and verdicts stay inspectable.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from accelerate import PartialState

from probes.engines.sources import EngineOptions
from probes.sampling.probe import Measurement
from probes.sampling.sample import sample_store
from probes.statistics.plan import Plan
from probes.store.arm import Sampling
from rlvr.errors import RecipeError
from rlvr.training.demonstrations import SOLVER, Candidate, Demonstrations, choose, judged, read_completions, solved
from rlvr.training.recipe import Recipe
from rlvr.training.train import Inputs


def check_teacher(recipe: Recipe) -> None:
    """Raises `RecipeError` where a recipe's teacher and algorithm do not fit together."""
    run, name = recipe.run, recipe.algorithm.name
    if name == "distill" and not run.teacher:
        raise RecipeError(f"teacher: missing; distill needs a model, a .jsonl file of completions, or {SOLVER!r}.")
    if name != "distill" and run.teacher:
        raise RecipeError(f"teacher: {run.teacher!r} is given, but {name} has none; use algorithm: distill.")
    for key in ("teacher_draws", "teacher_max_kept", "teacher_max_new_tokens"):
        if getattr(run, key) < 1:
            raise RecipeError(f"{key}: {getattr(run, key)} is below 1.")
    if recipe.algorithm.is_supervised and run.probe_problems and not run.probe_max_new_tokens:
        raise RecipeError(f"probe_max_new_tokens: missing; {name} has no max_completion_length to take it from.")


def demonstrations_of(recipe: Recipe, args: Any, inputs: Inputs) -> Demonstrations | None:
    """Returns what a supervised algorithm learns from, None for the others. All processes call it.

    Raises:
        InputError: the teacher cannot be used, or nothing that it said is correct.
    """
    if not recipe.algorithm.is_supervised:
        return None
    return choose(_candidates(recipe, args, inputs), inputs.problems, recipe.run.teacher_max_kept, args.seed)


def _candidates(recipe: Recipe, args: Any, inputs: Inputs) -> Iterable[Candidate]:
    """Returns the completions of the recipe's teacher with their verdicts."""
    teacher = recipe.run.teacher or str(recipe.values["model_name_or_path"])
    if teacher == SOLVER:
        return solved(inputs.problems)
    if teacher.endswith((".jsonl", ".json")):
        return judged(read_completions(Path(teacher), inputs.problems), inputs.verifier)
    return _sampled(teacher, recipe, args, inputs)


def _sampled(teacher: str, recipe: Recipe, args: Any, inputs: Inputs) -> Iterable[Candidate]:
    """Yields the draws of a teacher model on the training problems; each process samples its share."""
    run = recipe.run
    what = Measurement(
        problems=inputs.problems,
        verifier=inputs.verifier,
        plan=Plan.fixed(run.teacher_draws),
        sampling=Sampling(temperature=run.teacher_temperature, max_new_tokens=run.teacher_max_new_tokens),
        prompt_format=inputs.prompt_format,
    )
    endpoints = (run.teacher_endpoint,) if run.teacher_endpoint else ()
    options = EngineOptions(
        engine=run.teacher_engine,
        model=teacher,
        dtype=str(recipe.values.get("dtype") or "auto"),
        trust_remote_code=args.trust_remote_code,
        endpoints=endpoints,
    )
    store = sample_store(what, options, Path(args.output_dir) / "teacher", show_progress=not args.disable_tqdm)
    PartialState().wait_for_everyone()
    verdicts = {
        (problem.problem_id, index): verdict
        for problem in inputs.problems
        for index, verdict in store.verdicts(inputs.verifier.verifier_id, problem.problem_id).items()
    }
    for draw in store.draws():
        verdict = verdicts.get((draw.problem_id, draw.draw_index))
        if draw.draw_index < run.teacher_draws and verdict is not None:
            yield Candidate(inputs.problems.by_id[draw.problem_id], draw.completion, verdict.correct, draw.num_tokens)
