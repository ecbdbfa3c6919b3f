"""The figures of the report, as plotly figures, a file a topic.

    plots      which figures a report has, their titles and captions
    curves     pass@k over k and over steps
    problems   solved sets, gains and losses, histograms
    draws      outcomes, lengths, answers
    training   what the trainer logged
    labels     what a screen reader says in place of a figure
    palette    colours that stay apart
    style      axes, bands, legends

Owns: what is drawn, one function a figure; each takes the summary and returns a `plotly.graph_objects.Figure`.
Does not own: numbers (the summary).

Figures hold numbers and fixed words only, and names without markup: plotly reads part of HTML in its labels.
Backgrounds are transparent. The page's script redraws a figure for a dark page.
"""

from probes.report.figures.curves import (
    MAX_BANDS,
    difference_heat_map,
    difference_to_base,
    entropy_and_coverage,
    entropy_panels,
    pass_at_k_curves,
    pass_at_k_over_steps,
)
from probes.report.figures.draws import (
    diversity_over_steps,
    outcome_shares,
    perplexities,
    perplexity_of,
    rates_over_steps,
)
from probes.report.figures.problems import accuracy_histogram, cells_and_null, flow_of_problems, gained_and_lost
from probes.report.figures.style import is_run, short, style
from probes.report.figures.training import TRAINING_ROWS, cost_over_steps, cost_rows, training_curves, training_rows

__all__ = [
    "MAX_BANDS",
    "TRAINING_ROWS",
    "accuracy_histogram",
    "cells_and_null",
    "cost_over_steps",
    "cost_rows",
    "difference_heat_map",
    "difference_to_base",
    "diversity_over_steps",
    "entropy_and_coverage",
    "entropy_panels",
    "flow_of_problems",
    "gained_and_lost",
    "is_run",
    "outcome_shares",
    "pass_at_k_curves",
    "pass_at_k_over_steps",
    "perplexities",
    "perplexity_of",
    "rates_over_steps",
    "short",
    "style",
    "training_curves",
    "training_rows",
]
