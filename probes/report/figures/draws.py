"""Figures of draws: outcomes, rates, diversity, length, perplexity.

Owns: these drawings.
Does not own: titles, captions and alternative texts (`plots`, `labels`), numbers (the summary).
"""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probes.report.figures import palette
from probes.report.figures.style import band, line, names_of, new_figure, patterned, probes_title, range_text, style
from probes.results.schema import Summary

OUTCOME_PATTERNS = {"unparsed": "/", "truncated": "\\", "timeout": "x", "error": "."}


def rates_over_steps(summary: Summary) -> go.Figure:
    """Draws the shares of draws that were cut off and that gave no answer, over steps."""
    figure = new_figure("training step", "share of draws", height=300)
    steps = [probe["step"] for probe in summary["probes"]]
    cut_off = [probe["truncation_rate"] for probe in summary["probes"]]
    no_answer = [probe["no_answer_rate"] for probe in summary["probes"]]
    rows = [("cut off", cut_off, palette.FIRST, "circle"), ("no answer", no_answer, palette.SECOND, "square")]
    for name, rates, colour, symbol in rows:
        figure.add_scatter(x=steps, y=rates, hovertemplate="step %{x}: %{y:.2%}", **line(colour, name, symbol))
    return figure.update_yaxes(tickformat=".3~%", rangemode="tozero")


def outcome_shares(summary: Summary) -> go.Figure:
    """Draws the share of each outcome among the first draws of each problem, stacked."""
    probes = summary["probes"]
    totals = [max(1, sum(probe["outcomes"].values())) for probe in probes]
    figure = new_figure(probes_title(summary), "share of draws", height=340)
    for outcome, colour in palette.OUTCOMES.items():
        counts = [probe["outcomes"].get(outcome, 0) for probe in probes]
        if not any(counts):
            continue
        figure.add_bar(
            x=names_of(probes),
            y=[count / total for count, total in zip(counts, totals, strict=True)],
            customdata=counts,
            name=outcome,
            marker=patterned(colour, OUTCOME_PATTERNS.get(outcome, "")),
            hovertemplate=f"%{{x}}: {outcome} %{{y:.1%}} (%{{customdata}} draws)<extra></extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.25, legend_traceorder="normal")
    figure.update_xaxes(type="category", showgrid=False)
    return figure.update_yaxes(tickformat=".0%", range=[0, 1])


def diversity_over_steps(summary: Summary) -> go.Figure:
    """Draws distinct correct answers per problem and mean tokens per draw over steps, one row each."""
    steps = [probe["step"] for probe in summary["probes"]]
    distinct = [probe["distinct_correct"] for probe in summary["probes"]]
    tokens = [probe["mean_tokens"] for probe in summary["probes"]]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    rows = [("distinct correct", distinct, palette.FIRST, "circle"), ("mean tokens", tokens, palette.SECOND, "square")]
    for number, (name, values, colour, symbol) in enumerate(rows, start=1):
        look = line(colour, name, symbol)
        figure.add_scatter(x=steps, y=values, hovertemplate="step %{x}: %{y:.2f}", row=number, col=1, **look)
        figure.update_yaxes(title_text=name, nticks=4, rangemode="tozero", row=number, col=1)
    style(figure, height=340)
    figure.update_xaxes(title_text="training step", row=2, col=1)
    return figure.update_layout(showlegend=False)


def perplexities(summary: Summary) -> go.Figure:
    """Draws the perplexity, under each step's weights, of the step's own completions and of those of step 0."""
    figure = new_figure("training step", "perplexity", height=320)
    for key, name, colour, symbol in (
        ("own", "its own completions", palette.FIRST, "circle"),
        ("base", "completions of step 0", palette.SECOND, "square"),
    ):
        found = perplexity_of(summary, key)
        steps, values = [step for step, _ in found], [value for _, value in found]
        figure.add_trace(band(steps, values, colour, name))
        figure.add_scatter(
            x=steps,
            y=[value["estimate"] for value in values],
            customdata=[range_text(value["lo"], value["hi"]) for value in values],
            hovertemplate=f"step %{{x}}: {name} %{{y:.3f}} %{{customdata}}<extra></extra>",
            **line(colour, name, symbol),
        )
    return figure


def perplexity_of(summary: Summary, key: str) -> list[tuple[int, dict[str, float]]]:
    """Returns (step, perplexity) where it was measured; at step 0 both kinds of completions are the same."""
    found = []
    for probe in summary["probes"]:
        scores = probe["scores"] or {}
        record = scores.get(key) or (scores.get("own") if probe["step"] == 0 else None)
        if record and record["perplexity"]["estimate"] is not None:
            found.append((probe["step"], record["perplexity"]))
    return found
