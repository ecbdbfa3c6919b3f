"""The teacher of a supervised arm: where its demonstrations come from.

Owns: what the name of a teacher means, and sampling a model through the engines of `probes`.
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
from rlvr.jobs.resolve import Job
from rlvr.training.demonstrations import Candidate, Demonstrations, choose, judged, read_completions, solved
from rlvr.training.settings import Inputs, Teacher


def demonstrations_of(job: Job, args: Any, inputs: Inputs) -> Demonstrations | None:
    """Returns what a supervised algorithm learns from, None for the others. All processes call it.

    Raises:
        InputError: the teacher cannot be used, or nothing that it said is correct.
    """
    if job.teacher is None:
        return None
    return choose(_candidates(job.teacher, job, args, inputs), inputs.problems, job.teacher.max_kept, args.seed)


def _candidates(teacher: Teacher, job: Job, args: Any, inputs: Inputs) -> Iterable[Candidate]:
    """Returns the completions of a teacher with their verdicts."""
    if teacher.is_solver:
        return solved(inputs.problems)
    if teacher.is_file:
        return judged(read_completions(Path(teacher.name), inputs.problems), inputs.verifier)
    return _sampled(teacher, job, args, inputs)


def _sampled(teacher: Teacher, job: Job, args: Any, inputs: Inputs) -> Iterable[Candidate]:
    """Yields the draws of a teacher model on the training problems; each process samples its share."""
    what = Measurement(
        problems=inputs.problems,
        verifier=inputs.verifier,
        plan=Plan.fixed(teacher.draws),
        sampling=Sampling(temperature=teacher.temperature, max_new_tokens=teacher.max_new_tokens),
        prompt_format=inputs.prompt_format,
    )
    options = EngineOptions(
        engine=teacher.engine,
        model=teacher.name,
        dtype=job.training.dtype,
        trust_remote_code=args.trust_remote_code,
        endpoints=(teacher.endpoint,) if teacher.endpoint else (),
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
        if draw.draw_index < teacher.draws and verdict is not None:
            yield Candidate(inputs.problems.by_id[draw.problem_id], draw.completion, verdict.correct, draw.num_tokens)
