"""Figures of problems: which are solved, gained and lost, and how often.

Owns: these drawings.
Does not own: titles, captions and alternative texts (`plots`, `labels`), numbers (the summary).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probes.report.figures import palette
from probes.report.figures.style import count_ticks, names_of, new_figure, patterned, probes_title, short, spread, style
from probes.results.schema import Summary

MAX_FLOW_LABELS = 6
FLOW_COLOURS = {"kept": palette.GAIN, "lost": palette.LOSS, "gained": palette.FIRST, "never": palette.CANNOT_TELL}
FLOW_ENDS = {"kept": (0, 2), "lost": (0, 3), "gained": (1, 2), "never": (1, 3)}  # nodes: 2i solved, 2i + 1 not


def gained_and_lost(summary: Summary) -> go.Figure:
    """Draws how many problems each later step gained and lost against step 0, gained up and lost down."""
    probes = summary["probes"][1:]
    steps = names_of(probes)
    gained, lost = [len(probe["gained"]) for probe in probes], [len(probe["lost"]) for probe in probes]
    figure = new_figure(probes_title(summary), "problems", height=320)
    figure.add_bar(
        x=steps,
        y=gained,
        name="gained",
        marker_color=palette.GAIN,
        hovertemplate="%{x}: %{y} gained<extra></extra>",
    )
    figure.add_bar(
        x=steps,
        y=[-count for count in lost],
        customdata=lost,
        name="lost",
        marker_color=palette.LOSS,
        hovertemplate="%{x}: %{customdata} lost<extra></extra>",
    )
    up, down = max(gained, default=0), max(lost, default=0)
    ticks = count_ticks(max(up, down))
    least = ticks[-1] / 3
    figure.update_yaxes(range=[-max(1.08 * down, least), max(1.08 * up, least)])
    figure.update_layout(barmode="relative", bargap=0.35)
    figure.update_xaxes(type="category", showgrid=False)
    return figure.update_yaxes(tickvals=ticks, ticktext=[str(abs(t)) for t in ticks], zeroline=True)


def accuracy_histogram(summary: Summary) -> go.Figure:
    """Draws how many problems have which accuracy, first beside last probe (Yue et al. 2025, figure 5)."""
    arms, probes = summary["studies"]["arms"], summary["probes"]
    figure = new_figure("accuracy of a problem", "problems", height=340)
    shown = [(0, palette.MUTED, "/"), (-1, palette.GAIN, "")] if len(probes) > 1 else [(0, palette.MUTED, "/")]
    for place, colour, pattern in shown:
        name = short(probes[place]["label"])
        figure.add_bar(
            x=arms[place]["histogram"]["bins"],
            y=arms[place]["histogram"]["num_problems"],
            name=name,
            marker=patterned(colour, pattern),
            hovertemplate=f"{name}: %{{y}} problems at %{{x}}<extra></extra>",
        )
    figure.update_xaxes(type="category", showgrid=False)
    return figure.update_layout(barmode="group", bargap=0.2)


def flow_of_problems(summary: Summary) -> go.Figure:
    """Draws how problems pass between solved and unsolved from probe to probe, the width their number.

    Every probe is drawn; where there are many, only some are named and counted, and the rest say so when hovered.
    """
    transitions, names = summary["studies"]["flow"]["transitions"], names_of(summary["probes"])
    named = spread(len(names), MAX_FLOW_LABELS)
    places = [0.001 + 0.998 * i / (len(names) - 1) for i in range(len(names))]
    totals = _solved_totals(transitions)
    figure = style(go.Figure(), height=340)
    figure.add_sankey(
        arrangement="snap",
        domain={"y": [0.06, 1]},  # nodes may reach below it
        node={
            "label": [str(number) if i in named else "" for i, pair in enumerate(totals) for number in pair],
            "x": [place for place in places for _ in range(2)],
            "y": [0.02, 0.98] * len(names),
            "color": [palette.GAIN, palette.CANNOT_TELL] * len(names),
            "customdata": [f"{name}: {state}" for name in names for state in ("solved", "not solved")],
            "hovertemplate": "%{customdata} %{value} problems<extra></extra>",
            "pad": 24,
            "thickness": max(4, 16 - len(names)),
            "line": {"width": 0},
        },
        link=_flow_links(transitions),
    )
    _add_flow_key(figure)
    for i in sorted(named):
        figure.add_annotation(
            x=places[i], y=0, yanchor="top", xref="paper", yref="paper", text=names[i], showarrow=False
        )
    figure.add_annotation(
        x=0.5, y=0, yanchor="top", yshift=-20, xref="paper", yref="paper", text=probes_title(summary), showarrow=False
    )
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return figure.update_layout(margin_b=56, margin_l=28, margin_r=28)


def _flow_links(transitions: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """Returns the streams that hold at least one problem."""
    links = [
        (2 * i + FLOW_ENDS[kind][0], 2 * i + FLOW_ENDS[kind][1], step[kind], palette.band(colour))
        for i, step in enumerate(transitions)
        for kind, colour in FLOW_COLOURS.items()
        if step[kind]
    ]
    columns = zip(*links, strict=True)
    return {
        **dict(zip(("source", "target", "value", "color"), map(list, columns), strict=True)),
        "hovertemplate": "%{value} problems<extra></extra>",
    }


def _add_flow_key(figure: go.Figure) -> None:
    """Adds a legend, which a Sankey diagram has not: one mark without a place for each state."""
    for name, colour in (("solved", palette.GAIN), ("not solved", palette.CANNOT_TELL)):
        marker = {"color": colour, "symbol": "square", "size": 11}
        figure.add_scatter(x=[None], y=[None], mode="markers", name=name, marker=marker, hoverinfo="skip")


def _solved_totals(transitions: Sequence[Mapping[str, int]]) -> list[tuple[int, int]]:
    """Returns (solved, not solved) at each probe."""
    first = transitions[0]
    starts = [(first["kept"] + first["lost"], first["gained"] + first["never"])]
    return starts + [(step["kept"] + step["gained"], step["lost"] + step["never"]) for step in transitions]


def cells_and_null(summary: Summary) -> go.Figure:
    """Draws problems of one arm alone: bars as seen and as expected in k draws, a line for two samples of the base."""
    later, pairs = summary["probes"][1:], summary["studies"]["against_base"]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for row, (cell, title) in enumerate((("base_only", "base only"), ("rl_only", "later only")), start=1):
        seen = [probe["against_base"] and dict(probe["against_base"]["cells"])[cell] for probe in later]
        expected, null = (
            [pair[kind] and pair[kind][cell] for pair in pairs] for kind in ("expected_cells", "same_model_null")
        )
        look = {"x": names_of(later), "showlegend": row == 1}
        for name, values, colour, pattern in (
            ("in all draws", seen, palette.FIRST, ""),
            ("expected in k draws", expected, palette.SECOND, "/"),
        ):
            bars = go.Bar(y=values, name=name, legendgroup=name, marker=patterned(colour, pattern), **look)
            figure.add_trace(bars.update(hovertemplate=f"%{{x}}: {name} %{{y:.1f}} problems<extra></extra>"), row, 1)
        figure.add_trace(_null_line(null, look), row, 1)
        figure.update_yaxes(title_text=title, nticks=5, rangemode="tozero", row=row, col=1)
    style(figure, height=420)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_xaxes(title_text=probes_title(summary), row=2, col=1)
    return figure.update_layout(barmode="group", bargap=0.25)


def _null_line(values: Sequence[float | None], look: Mapping[str, Any]) -> go.Scatter:
    """Returns the line of the same-model null, which is one number: it does not depend on the later arm."""
    name = "two samples of the base"
    return go.Scatter(
        y=values,
        name=name,
        legendgroup=name,
        mode="lines+markers",
        line={"color": palette.INK, "width": 1.6, "dash": "dash"},
        marker={"color": palette.INK, "symbol": "diamond", "size": 7},
        hovertemplate=f"{name} %{{y:.1f}} problems<extra></extra>",
        **look,
    )
