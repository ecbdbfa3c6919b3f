"""Figures of pass@k: curves, their course through training, and the difference to the base.

Owns: these drawings.
Does not own: titles, captions and alternative texts (`plots`, `labels`), numbers (the summary).
"""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probes.report.figures import palette
from probes.report.figures.style import (
    VERDICT_MARKS,
    band,
    band_and_verdict,
    difference_at,
    differences_of,
    estimates_of,
    is_run,
    k_axis,
    line,
    names_of,
    new_figure,
    probes_title,
    range_text,
    short,
    spread,
    style,
)
from probes.results.schema import Probe, Summary

MAX_BANDS = 4
BAND = ("band_lo", "band_hi")
MAX_LEGEND_STEPS = 7
MAX_POINT_NAMES = 5


def pass_at_k_curves(summary: Summary, max_named: int = MAX_LEGEND_STEPS) -> go.Figure:
    """Draws pass@k over k, a line a probed step; simultaneous bands of all steps, or of first and last where many.

    Args:
        summary: of the run.
        max_named: most lines that the legend names.
    """
    probes = summary["probes"]
    banded = probes if len(probes) <= MAX_BANDS else [probes[0], probes[-1]]
    colours = [palette.INK, *palette.step_colours(len(probes) - 1)]
    figure = new_figure("k, draws allowed", "pass@k", height=440)
    for probe, colour in zip(probes, colours, strict=True):
        if probe in banded:
            figure.add_trace(band(*estimates_of(probe, summary["k"]), colour, f"step-{probe['step']}", BAND))
    named = spread(len(probes), max_named)
    for index in [*range(1, len(probes)), 0]:  # step 0 on top
        curve = _curve(probes[index], summary["k"], colours[index], strong=probes[index] in banded)
        figure.add_trace(curve.update(showlegend=index in named, legendrank=index + 1))
    k_axis(figure, summary["k"])
    return figure.update_yaxes(range=[0, 1.02])


def pass_at_k_over_steps(summary: Summary) -> go.Figure:
    """Draws pass@1 and pass@k_max over training steps, with their intervals."""
    figure = new_figure("training step", "pass@k")
    ends = [(summary["k"][0], palette.FIRST, "circle"), (summary["k"][-1], palette.SECOND, "square")]
    for k, colour, symbol in ends[: len(set(summary["k"]))]:
        found = [(probe["step"], e) for probe in summary["probes"] for e in estimates_of(probe, [k])[1]]
        steps, estimates, name = [step for step, _ in found], [e for _, e in found], f"pass@{k}"
        figure.add_trace(band(steps, estimates, colour, name))
        figure.add_scatter(
            x=steps,
            y=[e["estimate"] for e in estimates],
            customdata=[range_text(e["lo"], e["hi"]) for e in estimates],
            **line(colour, name, symbol),
            hovertemplate=f"step %{{x}}<br>{name} %{{y:.3f}} %{{customdata}}<extra></extra>",
        )
    return figure.update_yaxes(range=[0, 1.02])


def difference_to_base(summary: Summary) -> go.Figure:
    """Draws the last step's paired difference to step 0 over k, its simultaneous band, and a mark for each verdict."""
    ks, differences = differences_of(summary["probes"][-1], summary["k"])
    figure = new_figure("k, draws allowed", "difference in pass@k")
    figure.add_trace(band(ks, differences, palette.CANNOT_TELL))
    values = [d["difference"] for d in differences]
    figure.add_scatter(x=ks, y=values, mode="lines", line_color=palette.MUTED, hoverinfo="skip", showlegend=False)
    for verdict, (colour, symbol, _) in VERDICT_MARKS.items():
        marked = [(k, d) for k, d in zip(ks, differences, strict=True) if d["verdict"] == verdict]
        figure.add_scatter(
            x=[k for k, _ in marked],
            y=[d["difference"] for _, d in marked],
            customdata=[range_text(d["lo"], d["hi"], "+.3f") for _, d in marked],
            mode="markers",
            name=verdict,
            marker={"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2, "color": colour}},
            hovertemplate=f"k = %{{x}}: {verdict}<br>%{{y:+.3f}} %{{customdata}}<extra></extra>",
        )
    k_axis(figure, summary["k"])
    return figure.update_yaxes(zeroline=True, zerolinecolor=palette.INK, zerolinewidth=1.5, tickformat=".2~f")


def difference_heat_map(summary: Summary) -> go.Figure:
    """Draws the paired difference to step 0 for every later step and every k; `+` and `-` mark gains and losses."""
    probes = [probe for probe in summary["probes"] if probe["against_base"]]
    table = [[difference_at(probe, k) for k in summary["k"]] for probe in probes]
    largest = max((abs(cell["difference"] or 0.0) for row in table for cell in row if cell), default=0.0) or 1.0
    figure = new_figure("k, draws allowed", probes_title(summary), height=min(760, 170 + 30 * len(probes)))
    figure.add_heatmap(
        x=[str(k) for k in summary["k"]],
        y=names_of(probes),
        z=[[cell["difference"] if cell else None for cell in row] for row in table],
        text=[[VERDICT_MARKS[cell["verdict"]][2] if cell else "" for cell in row] for row in table],
        customdata=[[band_and_verdict(cell) for cell in row] for row in table],
        texttemplate="<b>%{text}</b>",
        textfont_size=15,
        zmin=-largest,
        zmax=largest,
        colorscale=[[0, palette.LOSS], [0.5, palette.NEUTRAL], [1, palette.GAIN]],
        colorbar={"orientation": "h", "y": 1.02, "yanchor": "bottom", "thickness": 10, "tickformat": ".2~f"},
        xgap=2,
        ygap=2,
        hovertemplate="%{y}, k = %{x}<br>%{z:+.3f} %{customdata}<extra></extra>",
    )
    figure.update_xaxes(type="category", showgrid=False)
    return figure.update_yaxes(type="category", showgrid=False)


def _curve(probe: Probe, ks: Sequence[int], colour: str, strong: bool) -> go.Scatter:
    """Returns one step's pass@k line; step 0 is dashed, a line that is not strong is thin and has no marks."""
    known, estimates = estimates_of(probe, ks)
    base = probe["step"] == 0
    name = f"{short(probe['label'])}{' (base)' if base else ''}"
    return go.Scatter(
        x=known,
        y=[e["estimate"] for e in estimates],
        customdata=[
            f"{range_text(e['lo'], e['hi'])}, band {range_text(e['band_lo'], e['band_hi'])}" for e in estimates
        ],
        mode="lines+markers" if strong else "lines",
        name=name,
        legendgroup=f"step-{probe['step']}",
        line={"color": colour, "width": 2.4 if strong else 1.3, "dash": "dash" if base else "solid"},
        marker={"color": colour, "size": 7 if base else 5, "symbol": "square" if base else "circle"},
        hovertemplate=f"{name}, k = %{{x}}<br>%{{y:.3f}} %{{customdata}}<extra></extra>",
    )


def entropy_and_coverage(summary: Summary) -> go.Figure:
    """Draws pass@k_max over the entropy of tokens and of answers, a point a step, joined in their order."""
    panels = entropy_panels(summary)
    figure = make_subplots(rows=1, cols=max(1, len(panels)), shared_yaxes=True)
    probes, k = summary["probes"], summary["k"][-1]
    colours = [palette.INK, *palette.step_colours(len(probes) - 1)]
    for column, (name, values) in enumerate(panels.items(), 1):
        points = [
            (i, x, y)
            for i, x in enumerate(values)
            for estimate in estimates_of(probes[i], [k])[1]
            if x is not None and (y := estimate["estimate"]) is not None
        ]
        known, xs, ys = [i for i, _, _ in points], [x for _, x, _ in points], [y for _, _, y in points]
        named = spread(len(known), MAX_POINT_NAMES)
        figure.add_scatter(
            x=xs,
            y=ys,
            text=[names_of(probes)[i] if place in named else "" for place, i in enumerate(known)],
            customdata=[names_of(probes)[i] for i in known],
            mode="lines+markers+text" if is_run(summary) else "markers+text",  # stores have no order
            name=name,
            textposition=_beside_the_line(xs, ys),
            line={"color": palette.MUTED, "width": 1.2},
            marker={
                "color": [colours[i] for i in known],
                "symbol": ["circle" if i else "square" for i in known],
                "size": 9,
            },
            hovertemplate=f"%{{customdata}}: {name} %{{x:.3f}}, pass@{k} %{{y:.3f}}<extra></extra>",
            cliponaxis=False,
            row=1,
            col=column,
        )
        figure.update_xaxes(title_text=f"{name}, nats", nticks=4, tickangle=0, row=1, col=column)
    style(figure, height=340)
    figure.update_yaxes(title_text=f"pass@{k}", row=1, col=1)
    return figure.update_layout(showlegend=False)


def _beside_the_line(xs: Sequence[float], ys: Sequence[float]) -> list[str]:
    """Returns where the name of each point stands: towards the middle of the panel, off a line from end to end."""
    rises = (xs[0] - xs[-1]) * (ys[0] - ys[-1]) >= 0 if xs else True
    left, right = ("bottom right", "top left") if rises else ("top right", "bottom left")
    return [left if 2 * x < min(xs) + max(xs) else right for x in xs]


def entropy_panels(summary: Summary) -> dict[str, list[float | None]]:
    """Returns the entropies by name, a value a probe, those with at least one value."""
    arms = summary["studies"]["arms"] if "studies" in summary else []
    own = [(probe["scores"] or {}).get("own", {}) for probe in summary["probes"]]
    tokens = [each.get("token_entropy", {}).get("estimate") for each in own]
    found = {"token entropy": tokens, "answer entropy": [arm["answer_entropy"]["mean"] for arm in arms]}
    return {name: values for name, values in found.items() if any(value is not None for value in values)}
