"""The figures of the report, as plotly figures.

Owns: what is drawn, one function a figure; each takes the summary and returns a `plotly.graph_objects.Figure`.
Does not own: titles, captions and alternative texts (`page`), colours (`palette`), numbers (the summary).

Figures hold numbers and fixed words only. No text of a problem, a completion or a run enters one, because plotly reads
part of HTML in its labels. Backgrounds are transparent. The page's script redraws a figure for a dark page.
"""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probes.report import palette
from probes.report.schema import Difference, Estimate, Probe, Summary

MAX_BANDS = 4
MAX_LEGEND_STEPS = 7
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
VERDICT_MARKS = {
    "gain": (palette.GAIN, "triangle-up", "+"),
    "loss": (palette.LOSS, "triangle-down", "−"),  # noqa: RUF001 - the minus sign, as wide as the plus
    "cannot tell": (palette.CANNOT_TELL, "circle-open", ""),
}
TRAINING_ROWS = {
    "reward": "reward",
    "entropy": "token entropy",
    "loss": "loss",
    "completions/mean_length": "mean length",
    "completions/clipped_ratio": "clipped share",
}


def pass_at_k_curves(summary: Summary, max_named: int = MAX_LEGEND_STEPS) -> go.Figure:
    """Draws pass@k over k, one line a probed step; bands for all steps where they are few, else for first and last.

    Args:
        summary: of the run.
        max_named: most lines that the legend names.
    """
    probes = summary["probes"]
    banded = probes if len(probes) <= MAX_BANDS else [probes[0], probes[-1]]
    colours = [palette.INK, *palette.step_colours(len(probes) - 1)]
    figure = _figure("k, draws allowed", "pass@k", height=440)
    for probe, colour in zip(probes, colours, strict=True):
        if probe in banded:
            figure.add_trace(_band(*_estimates(probe, summary["k"]), colour, f"step-{probe['step']}"))
    named = _spread(len(probes), max_named)
    for index in [*range(1, len(probes)), 0]:  # step 0 on top
        curve = _curve(probes[index], summary["k"], colours[index], strong=probes[index] in banded)
        figure.add_trace(curve.update(showlegend=index in named, legendrank=index + 1))
    _k_axis(figure, summary["k"])
    return figure.update_yaxes(range=[0, 1.02])


def pass_at_k_over_steps(summary: Summary) -> go.Figure:
    """Draws pass@1 and pass@k_max over training steps, with their intervals."""
    figure = _figure("training step", "pass@k")
    ends = [(summary["k"][0], palette.FIRST, "circle"), (summary["k"][-1], palette.SECOND, "square")]
    for k, colour, symbol in ends[: len(set(summary["k"]))]:
        found = [(probe["step"], e) for probe in summary["probes"] for e in _estimates(probe, [k])[1]]
        steps, estimates, name = [step for step, _ in found], [e for _, e in found], f"pass@{k}"
        figure.add_trace(_band(steps, estimates, colour, name))
        figure.add_scatter(
            x=steps,
            y=[e["estimate"] for e in estimates],
            customdata=[_range(e["lo"], e["hi"]) for e in estimates],
            **_line(colour, name, symbol),
            hovertemplate=f"step %{{x}}<br>{name} %{{y:.3f}} %{{customdata}}<extra></extra>",
        )
    return figure.update_yaxes(range=[0, 1.02])


def difference_to_base(summary: Summary) -> go.Figure:
    """Draws the last step's paired difference to step 0 over k, its simultaneous band, and a mark for each verdict."""
    ks, differences = _differences(summary["probes"][-1], summary["k"])
    figure = _figure("k, draws allowed", "difference in pass@k")
    figure.add_trace(_band(ks, differences, palette.CANNOT_TELL))
    values = [d["difference"] for d in differences]
    figure.add_scatter(x=ks, y=values, mode="lines", line_color=palette.MUTED, hoverinfo="skip", showlegend=False)
    for verdict, (colour, symbol, _) in VERDICT_MARKS.items():
        marked = [(k, d) for k, d in zip(ks, differences, strict=True) if d["verdict"] == verdict]
        figure.add_scatter(
            x=[k for k, _ in marked],
            y=[d["difference"] for _, d in marked],
            customdata=[_range(d["lo"], d["hi"], "+.3f") for _, d in marked],
            mode="markers",
            name=verdict,
            marker={"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2, "color": colour}},
            hovertemplate=f"k = %{{x}}: {verdict}<br>%{{y:+.3f}} %{{customdata}}<extra></extra>",
        )
    _k_axis(figure, summary["k"])
    return figure.update_yaxes(zeroline=True, zerolinecolor=palette.INK, zerolinewidth=1.5, tickformat=".2~f")


def difference_heat_map(summary: Summary) -> go.Figure:
    """Draws the paired difference to step 0 for every later step and every k; `+` and `-` mark gains and losses."""
    probes = [probe for probe in summary["probes"] if probe["against_base"]]
    table = [[_difference(probe, k) for k in summary["k"]] for probe in probes]
    largest = max((abs(cell["difference"] or 0.0) for row in table for cell in row if cell), default=0.0) or 1.0
    figure = _figure("k, draws allowed", "training step", height=min(760, 170 + 30 * len(probes)))
    figure.add_heatmap(
        x=[str(k) for k in summary["k"]],
        y=[str(probe["step"]) for probe in probes],
        z=[[cell["difference"] if cell else None for cell in row] for row in table],
        text=[[VERDICT_MARKS[cell["verdict"]][2] if cell else "" for cell in row] for row in table],
        customdata=[[_band_and_verdict(cell) for cell in row] for row in table],
        texttemplate="<b>%{text}</b>",
        textfont_size=15,
        zmin=-largest,
        zmax=largest,
        colorscale=[[0, palette.LOSS], [0.5, palette.NEUTRAL], [1, palette.GAIN]],
        colorbar={"orientation": "h", "y": 1.02, "yanchor": "bottom", "thickness": 10, "tickformat": ".2~f"},
        xgap=2,
        ygap=2,
        hovertemplate="step %{y}, k = %{x}<br>%{z:+.3f} %{customdata}<extra></extra>",
    )
    figure.update_xaxes(type="category", showgrid=False)
    return figure.update_yaxes(type="category", showgrid=False)


def gained_and_lost(summary: Summary) -> go.Figure:
    """Draws how many problems each later step gained and lost against step 0, gained up and lost down."""
    probes = summary["probes"][1:]
    steps = [str(probe["step"]) for probe in probes]
    gained, lost = [len(probe["gained"]) for probe in probes], [len(probe["lost"]) for probe in probes]
    figure = _figure("training step", "problems", height=320)
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
    ticks = _count_ticks(max(up, down))
    least = ticks[-1] / 3
    figure.update_yaxes(range=[-max(1.08 * down, least), max(1.08 * up, least)])
    figure.update_layout(barmode="relative", bargap=0.35)
    figure.update_xaxes(type="category", showgrid=False)
    return figure.update_yaxes(tickvals=ticks, ticktext=[str(abs(t)) for t in ticks], zeroline=True)


def training_curves(summary: Summary) -> go.Figure:
    """Draws what the trainer logged, one row a quantity: reward, entropy, loss, length, clipped share."""
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
        figure.update_yaxes(title_text=TRAINING_ROWS[key], nticks=4, row=number, col=1)
    style(figure, height=90 + 125 * len(rows))
    figure.update_xaxes(title_text="training step", row=len(rows), col=1)
    return figure.update_layout(showlegend=False)


def training_rows(summary: Summary) -> list[str]:
    """Returns the logged quantities that have at least one value, in the order drawn."""
    training = summary.get("training", {})
    return [key for key in TRAINING_ROWS if any(v is not None and not math.isnan(v) for v in training.get(key, []))]


def rates_over_steps(summary: Summary) -> go.Figure:
    """Draws the shares of draws that were cut off and that gave no answer, over steps."""
    figure = _figure("training step", "share of draws", height=300)
    steps = [probe["step"] for probe in summary["probes"]]
    cut_off = [probe["truncation_rate"] for probe in summary["probes"]]
    no_answer = [probe["no_answer_rate"] for probe in summary["probes"]]
    rows = [("cut off", cut_off, palette.FIRST, "circle"), ("no answer", no_answer, palette.SECOND, "square")]
    for name, rates, colour, symbol in rows:
        figure.add_scatter(x=steps, y=rates, hovertemplate="step %{x}: %{y:.2%}", **_line(colour, name, symbol))
    return figure.update_yaxes(tickformat=".3~%", rangemode="tozero")


def outcome_shares(summary: Summary) -> go.Figure:
    """Draws the share of each outcome among a step's draws, stacked; all draws of all problems, so not pass@1."""
    probes = summary["probes"]
    totals = [max(1, sum(probe["outcomes"].values())) for probe in probes]
    figure = _figure("training step", "share of draws", height=340)
    for outcome, colour in palette.OUTCOMES.items():
        counts = [probe["outcomes"].get(outcome, 0) for probe in probes]
        if not any(counts):
            continue
        figure.add_bar(
            x=[str(probe["step"]) for probe in probes],
            y=[count / total for count, total in zip(counts, totals, strict=True)],
            customdata=counts,
            name=outcome,
            marker_color=colour,
            hovertemplate=f"step %{{x}}: {outcome} %{{y:.1%}} (%{{customdata}} draws)<extra></extra>",
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
        line = _line(colour, name, symbol)
        figure.add_scatter(x=steps, y=values, hovertemplate="step %{x}: %{y:.2f}", row=number, col=1, **line)
        figure.update_yaxes(title_text=name, nticks=4, rangemode="tozero", row=number, col=1)
    style(figure, height=340)
    figure.update_xaxes(title_text="training step", row=2, col=1)
    return figure.update_layout(showlegend=False)


def _curve(probe: Probe, ks: Sequence[int], colour: str, strong: bool) -> go.Scatter:
    """Returns one step's pass@k line; step 0 is dashed, a line that is not strong is thin and has no marks."""
    known, estimates = _estimates(probe, ks)
    base = probe["step"] == 0
    name = "step 0 (base)" if base else f"step {probe['step']}"
    return go.Scatter(
        x=known,
        y=[e["estimate"] for e in estimates],
        customdata=[_range(e["lo"], e["hi"]) for e in estimates],
        mode="lines+markers" if strong else "lines",
        name=name,
        legendgroup=f"step-{probe['step']}",
        line={"color": colour, "width": 2.4 if strong else 1.3, "dash": "dash" if base else "solid"},
        marker={"color": colour, "size": 7 if base else 5, "symbol": "square" if base else "circle"},
        hovertemplate=f"{name}, k = %{{x}}<br>%{{y:.3f}} %{{customdata}}<extra></extra>",
    )


def _band(
    xs: Sequence[int], ranges: Sequence[Estimate | Difference], colour: str, group: str | None = None
) -> go.Scatter:
    """Returns the area between lower and upper bounds, without the points that have none."""
    known = [(x, r["lo"], r["hi"]) for x, r in zip(xs, ranges, strict=True) if r["lo"] is not None]
    return go.Scatter(
        x=[x for x, _, _ in known] + [x for x, _, _ in reversed(known)],
        y=[hi for _, _, hi in known] + [lo for _, lo, _ in reversed(known)],
        mode="lines",
        line_width=0,
        fill="toself",
        fillcolor=palette.band(colour),
        hoverinfo="skip",
        showlegend=False,
        legendgroup=group,
    )


def _line(colour: str, name: str, symbol: str) -> dict[str, Any]:
    """Returns the look of a line with markers."""
    look = {"color": colour, "size": 7, "symbol": symbol}
    return {
        "mode": "lines+markers",
        "name": name,
        "legendgroup": name,
        "line": {"color": colour, "width": 2},
        "marker": look,
    }


def _estimates(probe: Probe, ks: Sequence[int]) -> tuple[list[int], list[Estimate]]:
    """Returns the k at which a probe has an estimate, and the estimates."""
    found = [(k, e) for k in ks if (e := probe["pass@k"].get(str(k))) and e["estimate"] is not None]
    return [k for k, _ in found], [e for _, e in found]


def _difference(probe: Probe, k: int) -> Difference | None:
    """Returns the difference to step 0 at k, or None where there is none."""
    return probe["against_base"]["k"].get(str(k)) if probe["against_base"] else None


def _differences(probe: Probe, ks: Sequence[int]) -> tuple[list[int], list[Difference]]:
    """Returns the k at which a probe is compared with step 0, and the differences."""
    found = [(k, difference) for k in ks if (difference := _difference(probe, k))]
    return [k for k, _ in found], [difference for _, difference in found]


def _range(lo: float | None, hi: float | None, form: str = ".3f") -> str:
    """Returns `[lo, hi]`, or words where an end is not known."""
    return "no interval" if lo is None or hi is None else f"[{lo:{form}}, {hi:{form}}]"


def _band_and_verdict(cell: Difference | None) -> str:
    """Returns band and verdict for a hover label."""
    return f"{_range(cell['lo'], cell['hi'], '+.3f')} {cell['verdict']}" if cell else ""


def _count_ticks(largest: int) -> list[int]:
    """Returns a few whole numbers symmetric about zero that cover a count."""
    width = max(1, -(-largest // 3))
    return list(range(-3 * width, 3 * width + 1, width))


def _spread(num: int, most: int) -> set[int]:
    """Returns at most `most` of the indices 0 to num - 1, evenly spread, both ends included."""
    if num <= most:
        return set(range(num))
    return {round(i * (num - 1) / (most - 1)) for i in range(most)}


def _figure(x_title: str, y_title: str, height: int = 380) -> go.Figure:
    """Returns an empty figure in the house style."""
    figure = style(go.Figure(), height)
    figure.update_xaxes(title_text=x_title)
    return figure.update_yaxes(title_text=y_title)


def style(figure: go.Figure, height: int) -> go.Figure:
    """Sets font, colours, margins and legend."""
    clear = "rgba(0, 0, 0, 0)"
    axis = {
        "gridcolor": palette.GRID,
        "linecolor": palette.MUTED,
        "zeroline": False,
        "automargin": True,
        "title_font_size": 13,
    }
    figure.update_xaxes(showline=True, ticks="outside", tickcolor=palette.MUTED, **axis)
    figure.update_yaxes(zerolinecolor=palette.MUTED, title_standoff=8, **axis)
    return figure.update_layout(
        template="none",
        height=height,
        font={"family": FONT, "size": 13, "color": palette.INK},
        paper_bgcolor=clear,
        plot_bgcolor=clear,
        margin={"l": 56, "r": 12, "t": 36, "b": 48},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": clear},
        hoverlabel={"bgcolor": palette.SURFACE, "bordercolor": palette.MUTED, "font": {"color": palette.INK}},
        modebar={"bgcolor": clear, "color": palette.MUTED, "activecolor": palette.INK},
    )


def _k_axis(figure: go.Figure, ks: Sequence[int]) -> None:
    """Makes the x axis logarithmic with a tick at each k."""
    figure.update_xaxes(type="log", tickvals=list(ks), ticktext=[str(k) for k in ks], tickangle=0)
