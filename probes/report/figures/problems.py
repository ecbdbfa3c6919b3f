"""Figures of problems: which are solved, gained and lost, and how often.

Owns: these drawings.
Does not own: titles, captions and alternative texts (`plots`, `labels`), numbers (the summary).
"""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probes.report import palette
from probes.report.figures.style import count_ticks, names_of, new_figure, patterned, short, style
from probes.report.schema import Summary

CELL_LOOKS = ((palette.FIRST, ""), (palette.SECOND, ""), (palette.CANNOT_TELL, "/"))


def gained_and_lost(summary: Summary) -> go.Figure:
    """Draws how many problems each later step gained and lost against step 0, gained up and lost down."""
    probes = summary["probes"][1:]
    steps = names_of(probes)
    gained, lost = [len(probe["gained"]) for probe in probes], [len(probe["lost"]) for probe in probes]
    figure = new_figure("", "problems", height=320)
    figure.add_bar(
        x=steps,
        y=gained,
        name="gained",
        marker_color=palette.GAIN,
        hovertemplate="step %{x}: %{y} gained<extra></extra>",
    )
    figure.add_bar(
        x=steps,
        y=[-count for count in lost],
        customdata=lost,
        name="lost",
        marker_color=palette.LOSS,
        hovertemplate="step %{x}: %{customdata} lost<extra></extra>",
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
    """Draws how problems pass between solved and unsolved from probe to probe, the width their number."""
    transitions, names = summary["studies"]["flow"]["transitions"], names_of(summary["probes"])
    places = [0.001 + 0.998 * i / (len(names) - 1) for i in range(len(names))]
    links = (
        [(2 * i, 2 * i + 2, step["kept"], palette.GAIN) for i, step in enumerate(transitions)]
        + [(2 * i, 2 * i + 3, step["lost"], palette.LOSS) for i, step in enumerate(transitions)]
        + [(2 * i + 1, 2 * i + 2, step["gained"], palette.FIRST) for i, step in enumerate(transitions)]
        + [(2 * i + 1, 2 * i + 3, step["never"], palette.CANNOT_TELL) for i, step in enumerate(transitions)]
    )
    links = [link for link in links if link[2]]
    totals = _solved_totals(transitions)
    figure = style(go.Figure(), height=340)
    figure.add_sankey(
        arrangement="snap",
        node={
            "label": [str(number) for pair in totals for number in pair],
            "x": [place for place in places for _ in range(2)],
            "y": [0.02, 0.98] * len(names),
            "color": [palette.GAIN, palette.CANNOT_TELL] * len(names),
            "customdata": [f"{name}: {state}" for name in names for state in ("solved", "not solved")],
            "hovertemplate": "%{customdata} %{value} problems<extra></extra>",
            "pad": 24,
            "thickness": 12,
            "line": {"width": 0},
        },
        link={
            "source": [link[0] for link in links],
            "target": [link[1] for link in links],
            "value": [link[2] for link in links],
            "color": [palette.band(link[3]) for link in links],
            "hovertemplate": "%{value} problems<extra></extra>",
        },
    )
    for place, name in zip(places, names, strict=True):
        figure.add_annotation(x=place, y=1.1, xref="paper", yref="paper", text=name, showarrow=False)
    return figure.update_layout(margin_t=56, margin_l=12, margin_r=28)


def _solved_totals(transitions: Sequence[Mapping[str, int]]) -> list[tuple[int, int]]:
    """Returns (solved, not solved) at each probe."""
    first = transitions[0]
    starts = [(first["kept"] + first["lost"], first["gained"] + first["never"])]
    return starts + [(step["kept"] + step["gained"], step["lost"] + step["never"]) for step in transitions]


def cells_and_null(summary: Summary) -> go.Figure:
    """Draws problems of one arm alone: seen, expected in k draws, and between two samples of the base."""
    later, pairs = summary["probes"][1:], summary["studies"]["against_base"]
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, subplot_titles=["base only", "later arm only"])
    seen = [dict(probe["against_base"]["cells"]) for probe in later if probe["against_base"]]
    for column, cell in enumerate(("base_only", "rl_only"), 1):
        rows = [
            ("in all draws", [cells[cell] for cells in seen]),
            ("expected in k draws", [pair["expected_cells"] and pair["expected_cells"][cell] for pair in pairs]),
            ("two samples of the base", [pair["same_model_null"] and pair["same_model_null"][cell] for pair in pairs]),
        ]
        for (name, values), (colour, pattern) in zip(rows, CELL_LOOKS, strict=True):
            figure.add_bar(
                x=names_of(later),
                y=values,
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                marker=patterned(colour, pattern),
                hovertemplate=f"%{{x}}: {name} %{{y:.1f}} problems<extra></extra>",
                row=1,
                col=column,
            )
    style(figure, height=340)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(title_text="problems", rangemode="tozero", row=1, col=1)
    return figure.update_layout(barmode="group", bargap=0.25, margin_t=84, legend_y=1.12)
