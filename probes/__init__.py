"""Measure language models by large-k pass@k: checkpoints in, curves out.

    statistics   plans, estimators, intervals, cost: pure functions
    store        durable draws and verdicts, the index of a run's probes, the identity of an arm
    engines      requests in, draws out: transformers, vLLM, servers, Ray, the live trainer
    importers    logs of other tools into a store
    analyses     from stored draws, or their counts, to a typed result
    scoring      what a model says of stored draws: perplexity, token entropy
    results      what a run or a comparison came to, as JSON
    report       how it is shown: page, figures, words, terminal
    sampling     the measurement itself: probe, callback, watch; read `sampling/probe.py` first
    upkeep       what is wrong with a store, mending it, copying it
    commands     the command `probes`, a file a subcommand

Owns: measurement, and the files that it leaves.
Does not own: training. Of `rlvr`, this package uses problems, verifiers and models, never training, algorithms or jobs.

A room imports rooms above it in this list only. Flow, one way and through files: plan -> draws -> verdicts -> counts ->
estimates -> comparison -> report. Importing this package loads neither torch nor numpy; its public names come when they
are used.
"""

from typing import TYPE_CHECKING

from rlvr.lazy import lazy_names

if TYPE_CHECKING:
    from probes.sampling.callback import ProbeCallback, ProbeSettings
    from probes.statistics.estimators import pass_at_k
    from probes.statistics.intervals import compare_counts
    from probes.statistics.plan import Plan

__all__ = ["Plan", "ProbeCallback", "ProbeSettings", "compare_counts", "pass_at_k"]

_HOMES = {
    "Plan": "probes.statistics.plan",
    "ProbeCallback": "probes.sampling.callback",
    "ProbeSettings": "probes.sampling.callback",
    "compare_counts": "probes.statistics.intervals",
    "pass_at_k": "probes.statistics.estimators",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
