"""The main job: train, probe while training, report. The one place that joins `rlvr` and `probes`.

Owns: turning a recipe into a training run with a probe attached, and the end of the run: summary, report, table.
Does not own: training (`rlvr.training.train`), measuring (`probes`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from probes.report import write_report
from probes.results.summary import RunFacts, metrics, write_summary
from probes.sampling.callback import ProbeCallback, ProbeSettings
from probes.statistics.plan import Plan
from probes.store.arm import Sampling
from rlvr.jobs.teaching import check_teacher, demonstrations_of
from rlvr.models.loading import check_model_name
from rlvr.problems import ProblemSet, load_problems
from rlvr.training.recipe import Recipe
from rlvr.training.rewards import alarm_notes
from rlvr.training.run_folder import RunFolder, versions
from rlvr.training.train import Inputs, load_inputs, train

SHOWN_FACTS = (
    "train_problems",
    "verifier",
    "num_generations",
    "learning_rate",
    "beta",
    "loss_type",
    "scale_rewards",
    "format_reward",
    "max_steps",
    "max_completion_length",
    "teacher",
    "teacher_draws",
    "temperature",
    "seed",
    "use_peft",
    "probe_temperature",
    "probe_top_p",
)


def run_job(recipe: Recipe) -> dict[str, Any] | None:
    """Runs a recipe to its end; returns the summary on the main process, None elsewhere or where nothing is probed."""
    check_model_name(recipe.values.get("model_name_or_path"))
    check_teacher(recipe)
    plan = make_plan(recipe)
    inputs = load_inputs(recipe)
    probe_problems = load_probe_problems(recipe, inputs)
    args = recipe.training()
    inputs = replace(inputs, demonstrations=demonstrations_of(recipe, args, inputs))
    run_dir, facts = Path(args.output_dir), make_facts(recipe, args)

    def after_probe(log_history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        seed = recipe.run.probe_seed
        return metrics(write_summary(run_dir, recipe.run.probe_k_max, log_history, facts, seed, with_studies=False))

    attach = []
    if probe_problems is not None:
        settings = make_settings(recipe, inputs, probe_problems, plan)
        attach.append(ProbeCallback(settings, run_dir, after_probe).attach)
    folder = train(recipe, args, inputs, content_ids(inputs, probe_problems), attach)
    if args.process_index != 0 or probe_problems is None:
        return None
    return finish(folder, recipe, facts)


def make_plan(recipe: Recipe) -> Plan:
    """Returns the plan of the probes, checked against k_max.

    Raises:
        RecipeError: the values of the plan do not fit together.
    """
    run = recipe.run
    plan = Plan.of_numbers(run.probe_max_draws, run.probe_stop_at, run.probe_first_look, run.probe_give_up_at)
    plan.validate_k_max(run.probe_k_max)
    return plan


def load_probe_problems(recipe: Recipe, inputs: Inputs) -> ProblemSet | None:
    """Returns the held-out problems, checked by the verifier, or None where nothing is probed."""
    spec = recipe.run.probe_problems
    if not spec:
        return None
    problems = load_problems(spec)
    inputs.verifier.check_problems(list(problems))
    return problems


def make_settings(recipe: Recipe, inputs: Inputs, problems: ProblemSet, plan: Plan) -> ProbeSettings:
    """Returns the settings of the probe callback."""
    run = recipe.run
    sampling = Sampling(
        temperature=run.probe_temperature,
        top_p=run.probe_top_p,
        top_k=run.probe_top_k,
        max_new_tokens=run.probe_max_new_tokens or recipe.values["max_completion_length"],
    )
    return ProbeSettings(
        problems=problems,
        verifier=inputs.verifier,
        plan=plan,
        k_max=run.probe_k_max,
        probe_steps=run.probe_steps,
        sampling=sampling,
        prompt_format=inputs.prompt_format,
        num_scored=run.probe_num_scored,
        on_narrowing=run.probe_on_narrowing,
        store_root=Path(run.probe_store) if run.probe_store else None,
    )


def content_ids(inputs: Inputs, probe_problems: ProblemSet | None) -> dict[str, str | None]:
    """Returns the content ids that the manifest records."""
    probe = probe_problems.content_id if probe_problems is not None else None
    found: dict[str, str | None] = {"train_problems": inputs.problems.content_id, "probe_problems": probe}
    if inputs.demonstrations is not None:
        found["demonstrations"] = inputs.demonstrations.content_id
    return found


def make_facts(recipe: Recipe, args: Any) -> RunFacts:
    """Returns what the report says about the run."""
    values = {key: str(recipe.values[key]) for key in SHOWN_FACTS if key in recipe.values}
    found = {**values, "processes": str(args.world_size), **versions()}
    return RunFacts(Path(args.output_dir).name, recipe.algorithm.name, str(recipe.values["model_name_or_path"]), found)


def finish(folder: RunFolder, recipe: Recipe, facts: RunFacts) -> dict[str, Any]:
    """Writes the last summary and the report, and returns the summary."""
    k_max, seed = recipe.run.probe_k_max, recipe.run.probe_seed
    log_history = folder.log_history()
    said = [*early_end(folder, k_max), *alarm_notes(log_history)]
    summary = write_summary(folder.path, k_max, log_history, facts, seed, more_notes=said)
    write_report(folder.path)
    return summary


def early_end(folder: RunFolder, k_max: int) -> list[str]:
    """Returns a sentence where a finished run took fewer steps than it was to take: a probe had it stopped."""
    state = json.loads((folder.path / "trainer_state.json").read_text(encoding="utf-8"))
    step, max_steps = state["global_step"], state["max_steps"]
    if step >= max_steps:
        return []
    return [
        f"Training ended early, at step {step} of {max_steps}: the probe there showed a loss at k = {k_max} "
        "(probe_on_narrowing: stop)."
    ]
