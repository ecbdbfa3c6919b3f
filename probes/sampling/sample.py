"""Sampling a store: the work of `probes sample`.

Owns: the order of checks before anything slow starts, and this process's share under `accelerate launch`.
Does not own: sources (`probes.engines.sources`), the loop (`probes.sampling.probe`).
"""

import os
from pathlib import Path

from tqdm.auto import tqdm

from probes.engines import Source
from probes.engines.sources import EngineOptions, open_source
from probes.sampling.judging import judge
from probes.sampling.probe import Measurement, render_prompts, run_probe
from probes.statistics.plan import shard
from probes.store.store import ProbeStore


def sample_store(what: Measurement, options: EngineOptions, path: Path, show_progress: bool = True) -> ProbeStore:
    """Completes a store at `path` and returns it. Stored draws count; the engine starts only if some are owed.

    Under `accelerate launch` or torchrun each process takes its share of the problems. They need not wait for each
    other: each has files of its own.

    Raises:
        InputError: an option, the model, a problem or the store cannot be used.
        EngineError: the engine cannot go on. What it delivered is stored.
    """
    what.verifier.check_problems(list(what.problems))
    source = open_source(options, what.prompt_format, what.sampling, list(what.problems))
    process, num_processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    store = ProbeStore.create(path, source.arm, what.problems, writer=process)
    store.set_plan(what.plan)
    draw_share(what, source, store, process, num_processes, show_progress)
    return store


def draw_share(
    what: Measurement, source: Source, store: ProbeStore, process: int, num_processes: int, show_progress: bool
) -> None:
    """Makes and judges the draws that one process owes."""
    mine = shard(what.problems, process, num_processes)
    ids = {problem.problem_id for problem in mine}
    with store.writing(ids):
        judge(store, {problem.problem_id: problem for problem in mine}, what.verifier)
    if not store.outcomes(what.verifier.verifier_id).of(ids).owed(what.plan):
        return
    prompts = render_prompts(what.problems, what.prompt_format, source.tokenizer)
    engine = source.start()
    try:
        with tqdm(total=0, desc="draws", unit="draw", leave=False, disable=not show_progress or process > 0) as bar:
            run_probe(engine, store, mine, prompts, what.plan, what.verifier, bar)
    finally:
        engine.close()
        what.verifier.close()


def is_complete(store: ProbeStore, what: Measurement) -> bool:
    """Returns whether no problem owes a draw or a verdict, over all processes."""
    outcomes = store.outcomes(what.verifier.verifier_id)
    return not outcomes.num_unjudged and not outcomes.owed(what.plan)
