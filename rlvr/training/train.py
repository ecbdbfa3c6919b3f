"""Training: from settings and inputs to a trained model in a run folder. Read this first.

Owns: the order of things, from checks to the saved model.
Does not own: the algorithms (`rlvr.algorithms`), the folder (`rlvr.training.run_folder`), and whatever is attached to
the trainer: it does not know that it is probed.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from rlvr.errors import RecipeError
from rlvr.models.loading import load_model, load_tokenizer, resolve_model
from rlvr.rollouts.kept import KeptRollouts
from rlvr.rollouts.shadow import ShadowAlarm
from rlvr.training.checkpoints import MarkComplete
from rlvr.training.data import what_to_learn
from rlvr.training.guards import Guards
from rlvr.training.progress import show_progress
from rlvr.training.run_folder import RunFolder, RunRecord, StopAtLastStep, TrainingIsOverError
from rlvr.training.settings import Inputs, TrainingSettings

Attach = Callable[[Any], None]


def train(
    settings: TrainingSettings, args: Any, inputs: Inputs, record: RunRecord, attach: Sequence[Attach] = ()
) -> RunFolder:
    """Trains, or goes on where a killed run stopped; returns the run's folder.

    Args:
        settings: what is trained, and how.
        args: TRL's training config of these settings.
        inputs: what is learned from.
        record: for the manifest of the run's folder.
        attach: functions that are given the trainer before it starts, for callbacks that need it.

    Raises:
        RunError: the folder belongs to another recipe, or another process trains there.
    """
    folder = RunFolder(Path(args.output_dir))
    folder.check(record)
    if folder.finished:
        return folder
    trainer = make_trainer(settings, args, inputs)
    with folder.training() if trainer.accelerator.is_main_process else nullcontext():
        _train(trainer, folder, record, attach)
    for verifier in filter(None, (inputs.verifier, inputs.shadow)):
        verifier.close()
    return folder


def _train(trainer: Any, folder: RunFolder, record: RunRecord, attach: Sequence[Attach]) -> None:
    """Trains in a folder that is this process's, until the model is saved."""
    if trainer.accelerator.is_main_process:
        folder.open(record)
    trainer.accelerator.wait_for_everyone()
    for each in attach:
        each(trainer)
    train_or_resume(trainer, agreed_checkpoint(folder))
    trainer.save_model(str(folder.path))
    trainer.save_state()
    if trainer.accelerator.is_main_process:
        folder.mark_finished()


def agreed_checkpoint(folder: RunFolder) -> Path | None:
    """Returns the checkpoint to go on from, which the main process has looked for: all of them take the same one."""
    found = [str(folder.last_checkpoint() or "") if PartialState().is_main_process else ""]
    broadcast_object_list(found)
    return Path(found[0]) if found[0] else None


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


def make_trainer(settings: TrainingSettings, args: Any, inputs: Inputs) -> Any:
    """Returns the algorithm's trainer with model, data and reward."""
    if getattr(args, "use_vllm", False) and args.vllm_mode == "colocate":
        from rlvr.models.colocate import keep_weights_in_place

        keep_weights_in_place()
    from trl import get_peft_config, get_quantization_config

    check_save_steps(args)
    num_kept, args.save_total_limit = args.save_total_limit, None  # `MarkComplete` removes, once the next is complete
    args.logging_nan_inf_filter = False  # it would show guards and people an average in the place of NaN
    config = settings.model
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
    kept = KeptRollouts(Path(args.output_dir)) if settings.keep_rollouts else None
    try:
        trainer = settings.algorithm.trainer_class(
            model=model,
            args=args,
            **what_to_learn(inputs, tokenizer, model),
            processing_class=tokenizer,
            peft_config=get_peft_config(config),
            callbacks=[
                *([kept] if kept else []),  # before the mark
                MarkComplete(num_kept),
                StopAtLastStep(),
                *([ShadowAlarm()] if inputs.shadow else []),
                Guards(settings.guard_patience, steps_per_rollouts(args)),
            ],
        )
    except ValueError as error:  # a value that only the model can refute, for example LoRA's target modules
        raise RecipeError(" ".join(str(error).split())) from error
    if kept is not None:
        trainer.kept = kept
    show_progress(trainer)
    return trainer


def check_save_steps(args: Any) -> None:
    """Raises `RecipeError` where a checkpoint could fall between the steps that learn from the same rollouts.

    TRL keeps generated rollouts in memory. A run that goes on from such a checkpoint would generate anew in the middle
    of them and differ from an uninterrupted one.
    """
    multiple = steps_per_rollouts(args)
    saves_regularly = args.save_strategy == "steps" and args.save_steps >= 1 and args.save_steps % multiple == 0
    if multiple > 1 and args.save_strategy != "no" and not saves_regularly:
        raise RecipeError(
            f"save_steps: {args.save_steps} (save_strategy: {args.save_strategy.value}) may save "
            f"{between_rollouts(multiple)} Use save_strategy: steps and a multiple of {multiple}."
        )


def between_rollouts(multiple: int) -> str:
    """Returns what is wrong with a save at a step that is no multiple of `steps_per_rollouts`."""
    return f"between the {multiple} steps that share one generation; a run could not go on from there exactly."


def steps_per_rollouts(args: Any) -> int:
    """Returns after how many steps a generation's rollouts are used up; 1 for a config that generates nothing."""
    if not hasattr(args, "steps_per_generation"):
        return 1
    updates = int(args.steps_per_generation * args.num_iterations)
    return updates // math.gcd(updates, args.gradient_accumulation_steps)
