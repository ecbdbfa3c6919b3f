"""Figures of the training: what the trainer logged, and what it cost.

Owns: these drawings.
Does not own: titles, captions and alternative texts (`plots`, `labels`), numbers (the summary).
"""

import math
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probes.report.figures import palette
from probes.report.figures.style import names_of, probes_title, style
from probes.results.schema import Summary

TRAINING_ROWS = {
    "reward": "reward",
    "shadow/accuracy": "shadow's share",
    "entropy": "token entropy",
    "loss": "loss",
    "completions/mean_length": "mean length",
    "completions/clipped_ratio": "clipped share",
}


def training_curves(summary: Summary) -> go.Figure:
    """Draws what the trainer logged, one row a quantity, as in `TRAINING_ROWS`."""
    training = summary.get("training", {})
    rows = training_rows(summary)
    figure = make_subplots(rows=max(1, len(rows)), cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for number, key in enumerate(rows, start=1):
        figure.add_scatter(
            x=training["step"],
            y=training[key],
            mode="lines",
            line={"color": palette.FIRST, "width": 1.6},
            hovertemplate=f"step %{{x}}: {TRAINING_ROWS[key]} %{{y:.4g}}<extra></extra>",
            row=number,
            col=1,
        )
        figure.update_yaxes(title_text=TRAINING_ROWS[key], nticks=4, exponentformat="power", row=number, col=1)
    style(figure, height=90 + 125 * len(rows))
    figure.update_xaxes(title_text="training step", row=len(rows), col=1)
    return figure.update_layout(showlegend=False)


def training_rows(summary: Summary) -> list[str]:
    """Returns the logged quantities that have at least one value, in the order drawn."""
    training = summary.get("training", {})
    return [key for key in TRAINING_ROWS if any(v is not None and not math.isnan(v) for v in training.get(key, []))]


COST_ROWS = {
    "draws": "draws, thousands",
    "rollouts": "rollouts, thousands",
    "tokens": "tokens, millions",
    "train_seconds": "training, minutes",
    "seconds": "probe, seconds",
}
UNITS = {"draws": 1e3, "rollouts": 1e3, "tokens": 1e6, "train_seconds": 60.0, "seconds": 1.0}


def cost_over_steps(summary: Summary) -> go.Figure:
    """Draws what each probe cost beside a fixed number of draws, and what training had generated until then."""
    rows, probes = cost_rows(summary), summary["probes"]
    figure = make_subplots(rows=max(1, len(rows)), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for number, key in enumerate(rows, 1):
        values = [probe["cost"].get(key) for probe in probes]
        _add_cost(figure, names_of(probes), values, key, number)
        figure.update_yaxes(title_text=COST_ROWS[key], nticks=4, rangemode="tozero", row=number, col=1)
    _add_fixed(figure, summary)
    style(figure, height=110 + 130 * len(rows))
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_xaxes(title_text=probes_title(summary), row=len(rows), col=1)
    return figure.update_layout(bargap=0.4)


def cost_rows(summary: Summary) -> list[str]:
    """Returns the costs that are known at some probe, in the order drawn."""
    return [key for key in COST_ROWS if any(probe["cost"].get(key) is not None for probe in summary["probes"])]


def _add_cost(figure: go.Figure, names: list[str], values: list[Any], key: str, row: int) -> None:
    """Adds the bars of one cost."""
    figure.add_bar(
        x=names,
        y=[None if value is None else value / UNITS[key] for value in values],
        customdata=values,
        name="made" if key == "draws" else COST_ROWS[key],
        showlegend=key == "draws",
        marker_color=palette.FIRST,
        hovertemplate=f"%{{x}}: %{{customdata:,}} {key.removeprefix('train_')}<extra></extra>",
        row=row,
        col=1,
    )


def _add_fixed(figure: go.Figure, summary: Summary) -> None:
    """Adds what as many draws for every problem would have been."""
    probes = summary["probes"]
    figure.add_scatter(
        x=names_of(probes),
        y=[probe["cost"]["fixed_draws"] / UNITS["draws"] for probe in probes],
        name="a fixed number for all",
        mode="lines+markers",
        line={"color": palette.SECOND, "width": 2, "dash": "dash"},
        marker={"symbol": "square", "size": 7},
        hovertemplate="%{x}: %{y:.1f} thousand with a fixed number<extra></extra>",
        row=1,
        col=1,
    )
