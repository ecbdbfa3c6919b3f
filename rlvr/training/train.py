"""Training: from a recipe to a trained model in a run folder. Read this first.

Owns: the order of things, from checks to the saved model.
Does not own: the algorithms (`rlvr.algorithms`), the folder (`rlvr.training.run_folder`), and whatever is attached to
the trainer: it does not know that it is probed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState

from rlvr.errors import RecipeError
from rlvr.models.loading import load_model, load_tokenizer, resolve_model
from rlvr.problems import ProblemSet, load_problems
from rlvr.problems.prompts import PromptFormat, eos_token_ids
from rlvr.training.demonstrations import Demonstrations, count_rollouts, count_tokens, make_rows
from rlvr.training.guards import Guards
from rlvr.training.progress import show_progress
from rlvr.training.recipe import Recipe
from rlvr.training.rewards import make_format_reward, make_reward_function
from rlvr.training.run_folder import MarkComplete, RunFolder, StopAtLastStep, TrainingIsOverError
from rlvr.verifiers import Verifier, make_verifier

Attach = Callable[[Any], None]


@dataclass(frozen=True)
class Inputs:
    """What a run reads, loaded and checked before anything is written."""

    problems: ProblemSet
    verifier: Verifier
    prompt_format: PromptFormat
    demonstrations: Demonstrations | None = None
    format_reward: float = 0.0


def load_inputs(recipe: Recipe) -> Inputs:
    """Returns the training problems and their verifier.

    Raises:
        InputError: a file, row, gold answer or name is wrong.
    """
    run = recipe.run
    assert run.verifier is not None
    assert run.train_problems is not None
    prompt_format = PromptFormat(template=run.prompt_template, system=run.prompt_system, chat=run.prompt_chat)
    verifier = make_verifier(run.verifier)
    problems = load_problems(run.train_problems)
    verifier.check_problems(list(problems))
    return Inputs(problems, verifier, prompt_format, format_reward=run.format_reward)


def train(
    recipe: Recipe, args: Any, inputs: Inputs, contents: Mapping[str, Any], attach: Sequence[Attach] = ()
) -> RunFolder:
    """Trains, or goes on where a killed run stopped; returns the run's folder.

    Args:
        recipe: checked.
        args: TRL's training config of the recipe.
        inputs: from `load_inputs`.
        contents: content ids for the manifest, by what they identify.
        attach: functions that are given the trainer before it starts, for callbacks that need it.

    Raises:
        RunError: the folder belongs to another recipe.
    """
    folder = RunFolder(Path(args.output_dir))
    folder.check(recipe, contents)
    if folder.finished:
        return folder
    trainer = make_trainer(recipe, args, inputs)
    if trainer.accelerator.is_main_process:
        folder.open(recipe, contents)
    trainer.accelerator.wait_for_everyone()
    for each in attach:
        each(trainer)
    train_or_resume(trainer, folder.last_checkpoint())
    trainer.save_model(args.output_dir)
    trainer.save_state()
    if trainer.accelerator.is_main_process:
        folder.mark_finished()
    inputs.verifier.close()
    return folder


def train_or_resume(trainer: Any, checkpoint: Path | None) -> None:
    """Trains to the last step; from a checkpoint of the last step, only ends what a kill left undone."""
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except TrainingIsOverError:
        trainer.control = trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)


def end_processes() -> None:
    """Ends the group of a launcher's processes; threads of it that are left when Python ends can abort the process."""
    state = PartialState()
    state.wait_for_everyone()
    state.destroy_process_group()


def make_trainer(recipe: Recipe, args: Any, inputs: Inputs) -> Any:
    """Returns the algorithm's trainer with model, data and reward."""
    if getattr(args, "use_vllm", False) and args.vllm_mode == "colocate":
        from rlvr.models.colocate import keep_weights_in_place

        keep_weights_in_place()
    from trl import get_peft_config, get_quantization_config

    check_save_steps(recipe, args)
    args.logging_nan_inf_filter = False  # it would show guards and people an average in the place of NaN
    config = recipe.model
    source = resolve_model(config.model_name_or_path)
    tokenizer = load_tokenizer(source, config.model_revision, args.trust_remote_code)
    model = load_model(
        source,
        config.model_revision,
        args.trust_remote_code,
        dtype=config.dtype,
        attn_implementation=config.attn_implementation,
        quantization_config=get_quantization_config(config),
    )
    try:
        trainer = recipe.algorithm.trainer_class(
            model=model,
            args=args,
            **what_to_learn(inputs, tokenizer, model),
            processing_class=tokenizer,
            peft_config=get_peft_config(config),
            callbacks=[MarkComplete(), StopAtLastStep(), Guards(recipe.run.guard_patience, steps_per_rollouts(args))],
        )
    except ValueError as error:  # a value that only the model can refute, for example LoRA's target modules
        raise RecipeError(" ".join(str(error).split())) from error
    show_progress(trainer)
    return trainer


def check_save_steps(recipe: Recipe, args: Any) -> None:
    """Raises `RecipeError` where a checkpoint could fall between the steps that learn from the same rollouts.

    TRL keeps generated rollouts in memory. A run that goes on from such a checkpoint would generate anew in the middle
    of them and differ from an uninterrupted one.
    """
    multiple, run = steps_per_rollouts(args), recipe.run
    why = f"between the {multiple} steps that share one generation; a run could not go on from there exactly."
    saves_regularly = args.save_strategy == "steps" and args.save_steps >= 1 and args.save_steps % multiple == 0
    if multiple > 1 and args.save_strategy != "no" and not saves_regularly:
        raise RecipeError(
            f"save_steps: {args.save_steps} (save_strategy: {args.save_strategy.value}) may save {why} Use "
            f"save_strategy: steps and a multiple of {multiple}."
        )
    if run.probe_problems and run.probe_on_narrowing != "log" and run.probe_steps % multiple:
        raise RecipeError(
            f"probe_steps: {run.probe_steps} with probe_on_narrowing: {run.probe_on_narrowing} may save {why} Use a "
            f"multiple of {multiple}."
        )


def steps_per_rollouts(args: Any) -> int:
    """Returns after how many steps a generation's rollouts are used up; 1 for a config that generates nothing."""
    if not hasattr(args, "steps_per_generation"):
        return 1
    updates = int(args.steps_per_generation * args.num_iterations)
    return updates // math.gcd(updates, args.gradient_accumulation_steps)


def what_to_learn(inputs: Inputs, tokenizer: Any, model: Any) -> dict[str, Any]:
    """Returns a trainer's arguments for its data: prompts and a reward function, or demonstrations."""
    from datasets import Dataset

    if inputs.demonstrations is not None:
        rows = make_rows(inputs.demonstrations, inputs.prompt_format, tokenizer)
        lengths = {each.problem_id: len(inputs.prompt_format.token_ids(each, tokenizer)) for each in inputs.problems}
        return {
            "train_dataset": Dataset.from_list(rows),
            "num_rollouts": count_rollouts(inputs.demonstrations),
            "num_rollout_tokens": count_tokens(inputs.demonstrations, lengths),
        }
    stop = frozenset(eos_token_ids(tokenizer, model.generation_config))
    rewards: list[Any] = [make_reward_function(inputs.verifier, inputs.problems, eos_token_ids=stop)]
    if inputs.format_reward:
        rewards.append(make_format_reward(inputs.format_reward))
    return {"train_dataset": make_dataset(inputs, tokenizer), "reward_funcs": rewards}


def make_dataset(inputs: Inputs, tokenizer: Any) -> Any:
    """Returns TRL's data set: columns `prompt` (text or messages) and `problem_id`."""
    from datasets import Dataset

    rows = [
        {"prompt": inputs.prompt_format.render(problem, tokenizer), "problem_id": problem.problem_id}
        for problem in inputs.problems
    ]
    return Dataset.from_list(rows)
