"""Which figures a run's report has, in which order, with title, caption and alternative text.

Owns: that choice.
Does not own: drawings (`figures`), alternative texts (`labels`), where figures stand on the page (`page`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import plotly.graph_objects as go

from probes.report import figures
from probes.report.figures import labels
from probes.results.schema import Summary

Choice = tuple[Callable[[Summary], go.Figure], Callable[[Summary], str], str, str]


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
    return [
        Plot(section, draw.__name__, title, caption, label(summary), draw(summary))
        for section, choose in SECTIONS.items()
        for draw, label, title, caption in choose(summary)
    ]


def _boundary(summary: Summary) -> Iterator[Choice]:
    """Yields the figures of pass@k."""
    probes, last = summary["probes"], summary["probes"][-1]
    percent, base = f"{100 * summary['confidence']:.0f} %", figures.short(summary["probes"][0]["label"])
    which = "" if len(probes) <= figures.MAX_BANDS else " of the first and the last step (the numbers hold the others)"
    yield (
        figures.pass_at_k_curves,
        labels.curves_label,
        "pass@k over k",
        f"Bands: {percent} over problems like these, at all k of a curve at once{which}. Bands may overlap although "
        "the paired difference is clear.",
    )
    if figures.is_run(summary) and len(probes) > 1:
        caption = f"Bands: {percent} intervals over problems like these, each step and k for itself."
        yield figures.pass_at_k_over_steps, labels.over_steps_label, "pass@k through training", caption
    if last["against_base"]:
        title = f"Paired difference: {figures.short(last['label'])} minus {base}"
        caption = f"Same problems in both. The {percent} band holds for all compared arms and all k together."
        yield figures.difference_to_base, labels.difference_label, title, caption
    if sum(probe["against_base"] is not None for probe in probes) > 1:
        caption = "+ is a gain, − a loss, no mark: cannot tell. The bands hold for all cells together."  # noqa: RUF001 - minus sign
        yield figures.difference_heat_map, labels.heat_map_label, f"Difference to {base}, over k and step", caption
    if len(probes) > 1 and figures.entropy_panels(summary):
        caption = (
            "One point a probe, the first one square. Entropy of tokens: by a forward pass over the first completions; "
            f"of answers: among the first draws. Neither shows a cause. pass@{summary['k'][-1]} is without its "
            "band here."
        )
        yield figures.entropy_and_coverage, labels.entropy_label, "Entropy against coverage", caption


def _problems(summary: Summary) -> Iterator[Choice]:
    """Yields the figures of problems."""
    probes, studies = summary["probes"], summary.get("studies")
    if studies:
        caption = (
            "Number of problems by success rate; 0 holds those without a correct draw, 1 those without another. Noise "
            "of the draws widens the histogram."
        )
        yield figures.accuracy_histogram, labels.histogram_label, "Accuracy of the problems", caption
    if len(probes) < 2:
        return
    caption = (
        "A problem counts as solved when at least one of its draws is correct. The number of draws is finite, so even "
        "two probes of one model would differ in a few problems."
    )
    yield figures.gained_and_lost, labels.gained_label, "Problems gained and lost", caption
    if studies:
        caption = (
            "Problems with at least one correct draw (upper), and without (lower), from probe to probe. A stream "
            "between them may be chance: compare with the figure of chance. Where probes are many, some are named."
        )
        yield figures.flow_of_problems, labels.flow_label, "Flow between solved and unsolved", caption
        if null := next((pair["same_model_null"] for pair in studies["against_base"] if pair["same_model_null"]), None):
            caption = (
                "Problems that one arm solves and the other does not: in all draws of each; expected in "
                f"k = {null['k']} fresh draws of each; expected between two samples of {null['k']} draws of the base "
                "itself (dashed), so what chance alone shows. Compare the second with the third; the first has more "
                "draws."
            )
            yield figures.cells_and_null, labels.cells_label, "Solved by one arm only, beside chance", caption


def _draws(summary: Summary) -> Iterator[Choice]:
    """Yields the figures of draws."""
    share = "Over the first draws of each problem, of which every problem has equally many."
    caption = f"{share} A plan that stops early draws more from hard problems; their later draws are left out here."
    yield figures.outcome_shares, labels.outcomes_label, "Outcomes of draws", caption
    if not figures.is_run(summary) or len(summary["probes"]) < 2:
        return
    caption = f"Cut off: the token limit came first. No answer: outcome unparsed or truncated. {share}"
    yield figures.rates_over_steps, labels.rates_label, "Draws cut off, draws without an answer", caption
    caption = f"Distinct correct solutions by the verifier's normal form: mean over problems. Tokens: mean. {share}"
    yield figures.diversity_over_steps, labels.diversity_label, "Distinct solutions, and length", caption
    if figures.perplexity_of(summary, "own"):
        caption = (
            "Under the weights of each step, by a forward pass; bands over problems. The other direction, a step's "
            "completions under the base, needs the base's weights: probes analyze STEP --scored-by BASE."
        )
        yield figures.perplexities, labels.perplexity_label, "Cross perplexity", caption


def _training(summary: Summary) -> Iterator[Choice]:
    """Yields what the trainer logged."""
    if figures.training_rows(summary):
        caption = (
            "Of the rollouts of each step, on training problems and under the training's sampling: a reward that rises "
            "here says nothing about problems held out."
        )
        yield figures.training_curves, labels.training_label, "What the trainer logged", caption


def _cost(_summary: Summary) -> Iterator[Choice]:
    """Yields what it cost."""
    caption = (
        "Draws of each probe, beside the plan's largest number for every problem (dashed). Rollouts, tokens "
        "and time of training: until then, thrown-away rollouts included, probes left out."
    )
    yield figures.cost_over_steps, labels.cost_label, "Cost", caption


SECTIONS: dict[str, Callable[[Summary], Iterator[Choice]]] = {
    "boundary": _boundary,
    "problems": _problems,
    "draws": _draws,
    "training": _training,
    "cost": _cost,
}
