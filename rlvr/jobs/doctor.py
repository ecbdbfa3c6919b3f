"""The doctor of a run: its checkpoints and model, what it was trained on, and the draws of its probes.

Owns: the checks of a run's folder, and whether its training saw what an uninterrupted one would have.
Does not own: the checks of a store (`probes.upkeep.doctor`). Nothing is changed.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from probes.upkeep.doctor import Finding, examine
from rlvr.errors import RunError
from rlvr.rollouts.exposures import saved_count
from rlvr.rollouts.order import Order
from rlvr.training.checkpoints import COMPLETE, FINISHED, checkpoints, faults
from rlvr.training.run_folder import RunFolder

GO_ON = "the same `rlvr train` command goes on"
DRAWN_AGAIN = "max_resample_rounds"  # of DAPO: rows that depend on rewards come in addition


def examine_run(path: Path) -> list[Finding]:
    """Returns the findings on a run and on the stores of its probes.

    Raises:
        RunError: there is no run at `path`.
    """
    folder = RunFolder(path)
    if not folder.manifest_file.exists():
        raise RunError(f"{path}: not the folder of a run; expected the file manifest.json in it.")
    recipe = folder.manifest()["recipe"]
    found = [*_model(folder), *_checkpoints(folder), *_exposures(folder, recipe)]
    for store in sorted(each.parent for each in path.glob("probes/*/probe.json")):
        name = store.relative_to(path)
        found += [replace(each, message=f"{name}: {each.message}") for each in examine(store)]
    return found


def _model(folder: RunFolder) -> Iterator[Finding]:
    """Yields what is wrong with the final model, or that there is none yet."""
    if (folder.path / FINISHED).exists():
        for fault in faults(folder.path, FINISHED):
            yield Finding("error", "model", f"the final model: {fault}; {GO_ON} from its last checkpoint.")
    elif folder.is_training():
        yield Finding("note", "training", "a process trains here now.")
    else:
        yield Finding("owed", "training", f"the training is not over; {GO_ON}.")


def _checkpoints(folder: RunFolder) -> Iterator[Finding]:
    """Yields the checkpoints that a run cannot go on from."""
    for checkpoint in checkpoints(folder.path):
        if fault := next(faults(checkpoint, COMPLETE), None):
            yield Finding("error", "checkpoint", f"{checkpoint.name} {fault}; a run that goes on passes it over.")


def _exposures(folder: RunFolder, recipe: dict[str, Any]) -> Iterator[Finding]:
    """Yields whether each problem had the rollouts that an uninterrupted run would have made of it."""
    state = folder.last_state()
    count = saved_count(state.get("stateful_callbacks", {}))
    if not count.get("by_problem") or not count.get("order"):
        if count:
            yield Finding("note", "exposures", "it is not known which problems were trained on: no count by problem.")
        return
    if count["since"]:
        yield Finding(
            "note", "exposures", f"problems are counted from step {count['since']} on; they are not compared."
        )
        return
    num_steps = int(state["global_step"])
    has_more = bool(recipe.get(DRAWN_AGAIN))
    made = [number for _, number in count["by_problem"]]
    visits = zip(count["by_problem"], Order(**count["order"]).visits(num_steps), strict=True)
    differ = [
        (problem_id, number, wanted)
        for (problem_id, number), wanted in visits
        if (number < wanted if has_more else number != wanted)
    ]
    if differ:
        problem_id, number, wanted = differ[0]
        yield Finding(
            "error",
            "exposures",
            f"by step {num_steps}, {len(differ)} of {len(made)} problems had other numbers of rollouts than in a run "
            f"that was never interrupted ({problem_id}: {number}, not {wanted}): it is not the run of its recipe.",
        )
        return
    yield Finding(
        "note",
        "exposures",
        f"by step {num_steps}, {sum(made)} rollouts of {sum(map(bool, made))} of {len(made)} problems, {min(made)} to "
        f"{max(made)} each, {'at least' if has_more else 'exactly'} those of a run that was never interrupted.",
    )
