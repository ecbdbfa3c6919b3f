"""The main job: train, probe while training, report.

Owns: a training run with a probe attached, and the end of the run: summary, report.
Does not own: what a recipe means (`rlvr.jobs.resolve`), training (`rlvr.training`), measuring (`probes`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from probes.report import write_report
from probes.results.summary import RunFacts, metrics, write_summary
from probes.sampling.callback import ProbeCallback
from rlvr.jobs.resolve import Job, Probing
from rlvr.jobs.teaching import demonstrations_of
from rlvr.problems import ProblemSet
from rlvr.training.rewards import alarm_notes
from rlvr.training.run_folder import RunFolder, versions
from rlvr.training.settings import Inputs
from rlvr.training.train import train
from rlvr.verifiers import Verifier


def run_job(job: Job) -> dict[str, Any] | None:
    """Runs a job to its end; returns the summary on the main process, None elsewhere or where nothing is probed."""
    inputs = job.task.load()
    probing = job.probing
    held_out = probing.load(inputs) if probing else None
    args = job.training.arguments()
    inputs = replace(inputs, demonstrations=demonstrations_of(job, args, inputs))
    facts = make_facts(job, args)
    attach = []
    if probing is not None and held_out is not None:
        probing.check_steps(args)
        attach.append(make_callback(job, probing, inputs, *held_out, facts).attach)
    record = replace(job.record, contents=content_ids(inputs, held_out[0] if held_out else None))
    folder = train(job.training, args, inputs, record, attach)
    if held_out is not None:
        held_out[1].close()
    if args.process_index != 0 or probing is None:
        return None
    return finish(folder, probing, facts)


def make_callback(
    job: Job, probing: Probing, inputs: Inputs, problems: ProblemSet, verifier: Verifier, facts: RunFacts
) -> ProbeCallback:
    """Returns the callback that probes, and writes the summary after each probe."""
    run_dir = job.training.output_dir

    def after_probe(log_history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        return metrics(write_summary(run_dir, probing.k_max, log_history, facts, probing.seed, with_studies=False))

    return ProbeCallback(probing.settings(inputs, problems, verifier), run_dir, after_probe)


def content_ids(inputs: Inputs, probe_problems: ProblemSet | None) -> dict[str, str | None]:
    """Returns the content ids that the manifest records."""
    probe = probe_problems.content_id if probe_problems is not None else None
    found: dict[str, str | None] = {"train_problems": inputs.problems.content_id, "probe_problems": probe}
    if inputs.demonstrations is not None:
        found["demonstrations"] = inputs.demonstrations.content_id
    return found


def make_facts(job: Job, args: Any) -> RunFacts:
    """Returns what the report says about the run."""
    training = job.training
    found = {**job.shown, "processes": str(args.world_size), **versions()}
    return RunFacts(training.output_dir.name, training.algorithm.name, training.model_name, found)


def finish(folder: RunFolder, probing: Probing, facts: RunFacts) -> dict[str, Any]:
    """Writes the last summary and the report, and returns the summary."""
    log_history = folder.log_history()
    said = [*early_end(folder, probing.k_max), *alarm_notes(log_history)]
    summary = write_summary(folder.path, probing.k_max, log_history, facts, probing.seed, more_notes=said)
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
