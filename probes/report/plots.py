"""Which figures a run's report has, in which order, with title, caption and alternative text.

Owns: that choice.
Does not own: drawings (`figures`), alternative texts (`labels`), where figures stand on the page (`page`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go

from probes.report import figures, labels
from probes.report.schema import Summary


@dataclass(frozen=True)
class Plot:
    """A figure with its words: `label` is what a screen reader says in its place."""

    section: str
    slug: str
    title: str
    caption: str
    label: str
    figure: go.Figure


def make_plots(summary: Summary) -> list[Plot]:
    """Returns the figures that the summary has data for, in the order of the page."""
    percent = f"{100 * summary['confidence']:.0f}%"
    last, plots = summary["probes"][-1], []
    few = len(summary["probes"]) <= figures.MAX_BANDS
    which = "" if few else " of the first and the last step (the table of all numbers holds the others)"

    def add(draw: Callable[[Summary], go.Figure], label: Callable[[Summary], str], title: str, caption: str) -> None:
        plots.append(Plot("boundary", draw.__name__, title, caption, label(summary), draw(summary)))

    add(figures.pass_at_k_curves, labels.curves_label, "pass@k over k", f"Bands: {percent} intervals{which}.")
    if len(summary["probes"]) > 1:
        caption = f"Bands: {percent} intervals."
        add(figures.pass_at_k_over_steps, labels.over_steps_label, "pass@k through training", caption)
    if last["against_base"]:
        title = f"Paired difference: step {last['step']} minus step 0"
        caption = f"Same problems in both. The {percent} band holds for all steps and all k together."
        add(figures.difference_to_base, labels.difference_label, title, caption)
    if sum(probe["against_base"] is not None for probe in summary["probes"]) > 1:
        caption = "+ is a gain, − a loss, no mark: cannot tell. The bands hold for all cells together."  # noqa: RUF001 - minus sign
        add(figures.difference_heat_map, labels.heat_map_label, "Difference to step 0, every step", caption)
    if len(summary["probes"]) > 1:
        caption = (
            "A problem counts as solved at a step when at least one of its draws is correct. The number of draws is "
            "finite, so even two probes of one model would differ in a few problems."
        )
        add(figures.gained_and_lost, labels.gained_label, "Problems gained and lost against step 0", caption)
    share = "Over the first draws of each problem, of which every problem has equally many."
    caption = f"{share} A plan that stops early draws more from hard problems; their later draws are left out here."
    add(figures.outcome_shares, labels.outcomes_label, "Outcomes of draws", caption)
    if len(summary["probes"]) > 1:
        caption = f"Cut off: the token limit came first. No answer: outcome unparsed or truncated. {share}"
        add(figures.rates_over_steps, labels.rates_label, "Draws cut off, draws without an answer", caption)
        caption = f"Distinct correct answers: mean over problems. Tokens: mean over draws. {share}"
        add(figures.diversity_over_steps, labels.diversity_label, "Diversity and length", caption)
    if figures.training_rows(summary):
        add(figures.training_curves, labels.training_label, "What the trainer logged", "")
    return plots
