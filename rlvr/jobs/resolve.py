"""From a recipe to what each room is given: the one place that reads a recipe's keys.

    Job        the whole
    Task       problems, verifier, prompt format          -> `rlvr.training.settings`
    TrainingSettings  algorithm and TRL's own fields      -> `rlvr.training.train`
    Teacher    of a supervised arm                        -> `rlvr.jobs.teaching`
    Probing    what is measured while training            -> `probes.sampling.callback`
    RunRecord  what makes a run this run                  -> `rlvr.training.run_folder`

Owns: which value goes where, and the checks that need several of these.
Does not own: reading and checking single values (`rlvr.training.recipe`); nothing is loaded, made or downloaded here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probes.sampling.callback import ProbeSettings
from probes.statistics.plan import Plan
from probes.store.arm import Sampling
from rlvr.errors import RecipeError
from rlvr.models.loading import check_model_name
from rlvr.problems import ProblemSet, load_problems
from rlvr.problems.prompts import PromptFormat
from rlvr.training.demonstrations import SOLVER
from rlvr.training.recipe import Recipe
from rlvr.training.recipe_fields import FREE_KEYS, SEED_KEYS, SHARED_KEYS, SHOWN_KEYS, RunArguments, defaults
from rlvr.training.run_folder import RunRecord
from rlvr.training.settings import Inputs, Task, Teacher, TrainingSettings
from rlvr.training.train import between_rollouts, steps_per_rollouts
from rlvr.verifiers import Verifier, verifier_for


@dataclass(frozen=True)
class Probing:
    """What is measured while training, by the names that a recipe has for it.

    Attributes:
        problems: for `load_problems`.
        verifier: for `verifier_for`.
        plan: how many draws.
        k_max: largest k.
        steps: probe every so many; 0: at start and end only.
        sampling: of a draw.
        num_scored: draws per problem that are read again for entropy and perplexity.
        on_narrowing: log, save or stop.
        store_root: folder of the stores; None: in the run's folder.
        seed: of the resampling in intervals.
    """

    problems: str
    verifier: str
    plan: Plan
    k_max: int
    steps: int
    sampling: Sampling
    num_scored: int
    on_narrowing: str
    store_root: Path | None
    seed: int

    def load(self, inputs: Inputs) -> tuple[ProblemSet, Verifier]:
        """Returns the held-out problems and their verifier, which can judge them.

        Raises:
            InputError: a file, row, gold answer or name is wrong.
        """
        problems = load_problems(self.problems)
        verifier = verifier_for(problems, self.verifier, inputs.prompt_format.think, inputs.verifier)
        verifier.check_problems(list(problems))
        return problems, verifier

    def settings(self, inputs: Inputs, problems: ProblemSet, verifier: Verifier) -> ProbeSettings:
        """Returns the settings of the probe callback."""
        return ProbeSettings(
            problems=problems,
            verifier=verifier,
            plan=self.plan,
            k_max=self.k_max,
            probe_steps=self.steps,
            sampling=self.sampling,
            prompt_format=inputs.prompt_format,
            num_scored=self.num_scored,
            on_narrowing=self.on_narrowing,
            store_root=self.store_root,
        )

    def check_steps(self, args: Any) -> None:
        """Raises `RecipeError` where narrowing could have a checkpoint saved that a run cannot go on from exactly."""
        multiple = steps_per_rollouts(args)
        if self.on_narrowing != "log" and self.steps % multiple:
            raise RecipeError(
                f"probe_steps: {self.steps} with probe_on_narrowing: {self.on_narrowing} may save "
                f"{between_rollouts(multiple)} Use a multiple of {multiple}."
            )


@dataclass(frozen=True)
class Job:
    """A recipe, resolved.

    Attributes:
        task: what is asked and what is right.
        training: what is trained, and how.
        teacher: of a supervised algorithm, else None.
        probing: what is measured; None: nothing.
        record: for the manifest, without content ids, which are known when problems are loaded.
        shared: what the arms of a comparison must agree on, by recipe key.
        shown: what the report says of the recipe, by recipe key.
    """

    task: Task
    training: TrainingSettings
    teacher: Teacher | None
    probing: Probing | None
    record: RunRecord
    shared: Mapping[str, Any]
    shown: Mapping[str, str]


def resolve(recipe: Recipe) -> Job:
    """Returns what a recipe means to each room.

    Raises:
        RecipeError: values do not fit together.
        ModelError: the model's name cannot be resolved.
    """
    own = recipe.own
    assert own.train_problems is not None
    assert own.verifier is not None
    check_model_name(recipe.values.get("model_name_or_path"))
    teacher, probing = _teacher(recipe), _probing(recipe)
    prompt_format = PromptFormat(own.prompt_template, own.prompt_system, own.prompt_chat, own.prompt_think)
    return Job(
        task=Task(own.train_problems, own.verifier, prompt_format, own.format_reward, own.shadow_verifier),
        training=_training(recipe),
        teacher=teacher,
        probing=probing,
        record=_record(recipe),
        shared=recipe.chosen(SHARED_KEYS),
        shown={key: str(value) for key, value in recipe.chosen(SHOWN_KEYS).items()},
    )


def _training(recipe: Recipe) -> TrainingSettings:
    """Returns the algorithm with TRL's own fields."""
    from trl import ModelConfig

    if recipe.own.keep_rollouts and recipe.algorithm.is_supervised:
        raise RecipeError(f"keep_rollouts: {recipe.algorithm.name} makes no rollouts; its demonstrations are kept.")
    return TrainingSettings(
        algorithm=recipe.algorithm,
        values=recipe.part(recipe.algorithm.config_class),
        model=ModelConfig(**recipe.part(ModelConfig)),
        guard_patience=recipe.own.guard_patience,
        keep_rollouts=recipe.own.keep_rollouts,
        source=recipe.source,
    )


def _teacher(recipe: Recipe) -> Teacher | None:
    """Returns the teacher of a supervised algorithm; without one of its own the base is its teacher."""
    own, algorithm = recipe.own, recipe.algorithm
    if algorithm.has_teacher and not own.teacher:
        raise RecipeError(
            f"teacher: missing; {algorithm.name} needs a model, a .jsonl file of completions, or {SOLVER!r}."
        )
    if not algorithm.has_teacher and own.teacher:
        raise RecipeError(f"teacher: {own.teacher!r} is given, but {algorithm.name} has none; use algorithm: distill.")
    for key in ("teacher_draws", "teacher_max_kept", "teacher_max_new_tokens"):
        if getattr(own, key) < 1:
            raise RecipeError(f"{key}: {getattr(own, key)} is below 1.")
    if not algorithm.is_supervised:
        return None
    return Teacher(
        name=own.teacher or str(recipe.values["model_name_or_path"]),
        engine=own.teacher_engine,
        endpoint=own.teacher_endpoint,
        draws=own.teacher_draws,
        max_kept=own.teacher_max_kept,
        temperature=own.teacher_temperature,
        max_new_tokens=own.teacher_max_new_tokens,
    )


def _probing(recipe: Recipe) -> Probing | None:
    """Returns what is measured; its plan is checked also where nothing is."""
    own = recipe.own
    plan = Plan.of_numbers(own.probe_max_draws, own.probe_stop_at, own.probe_first_look, own.probe_give_up_at)
    plan.validate_k_max(own.probe_k_max)
    if not own.probe_problems:
        return None
    return Probing(
        problems=own.probe_problems,
        verifier=str(own.verifier),
        plan=plan,
        k_max=own.probe_k_max,
        steps=own.probe_steps,
        sampling=_sampling(recipe, own),
        num_scored=own.probe_num_scored,
        on_narrowing=own.probe_on_narrowing,
        store_root=Path(own.probe_store) if own.probe_store else None,
        seed=own.probe_seed,
    )


def _sampling(recipe: Recipe, own: RunArguments) -> Sampling:
    """Returns how a probe samples; its token limit is the rollouts' unless it is given."""
    limit = own.probe_max_new_tokens or recipe.values.get("max_completion_length")
    if not limit:
        raise RecipeError(
            f"probe_max_new_tokens: missing; {recipe.algorithm.name} has no max_completion_length to take it from."
        )
    return Sampling(own.probe_temperature, own.probe_top_p, own.probe_top_k, limit)


def _record(recipe: Recipe) -> RunRecord:
    """Returns what makes a run this run."""
    kept = {key: value for key, value in recipe.values.items() if key not in FREE_KEYS}
    return RunRecord(kept, defaults(), recipe.source, recipe.chosen(SEED_KEYS))
