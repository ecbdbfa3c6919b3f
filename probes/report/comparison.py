"""The page of a comparison: arms side by side, from `comparison.json`.

Owns: its figures, tables and sentences.
Does not own: the numbers (`probes.comparison`), and what all pages share: safety, policy and style (`page`, `figures`).
"""

import math
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probes.report import figures, palette
from probes.report.page import render_template, table_columns
from probes.report.plots import Plot

MAX_COLUMNS = 3
SYMBOLS = {"gain": "triangle-up", "loss": "triangle-down", "cannot tell": "circle-open"}
VERDICT_COLOURS = {"gain": palette.GAIN, "loss": palette.LOSS, "cannot tell": palette.CANNOT_TELL}

Part = Mapping[str, Any]


def render_comparison(result: Mapping[str, Any]) -> str:
    """Returns the whole HTML document."""
    sets = []
    for number, (name, states) in enumerate(result["sets"].items()):
        slug, part = f"set-{number}", states["steps"]
        plots = [
            Plot(
                f"{slug}-curves",
                "pass@k over k, each arm beside the base",
                f"Base in grey. Bands: {part['confidence']:.0%} intervals over problems, each arm for itself.",
                curves_label(part),
                curves(part),
            ),
            Plot(
                f"{slug}-differences",
                "Difference to the base",
                "One band for all arms and all k together. Triangles mark verdicts, circles say: cannot tell.",
                differences_label(part),
                differences(part),
            ),
        ]
        sets.append({"name": name, "states": states, "part": part, "columns": table_columns(part["k"]), "plots": plots})
    shared = [
        Plot(
            "trajectory",
            "pass@k over what it cost",
            "Each point is a probe. Rollouts count all completions generated, thrown-away ones too.",
            "Lines of pass@1 and pass@k_max over rollouts, one pair an arm; the table below has the numbers.",
            trajectory(result),
        )
    ]
    plots = [plot for each in sets for plot in each["plots"]] + shared
    return render_template(
        "comparison.html", plots, result=result, sets=sets, shared=shared, seeds=len(result["seeds"])
    )


def curves(part: Part) -> go.Figure:
    """Draws one small panel an arm: pass@k over k with bands, the base's in grey behind it."""
    names, columns = list(part["arms"]), min(MAX_COLUMNS, len(part["arms"]))
    rows = math.ceil(len(names) / columns)
    figure = make_subplots(
        rows=rows, cols=columns, shared_xaxes=True, shared_yaxes=True, subplot_titles=[_short(name) for name in names]
    )
    for position, name in enumerate(names):
        place = {"row": position // columns + 1, "col": position % columns + 1}
        _add_curve(figure, part["base"]["pass@k"], palette.MUTED, "base", place)
        _add_curve(figure, part["arms"][name]["pass@k"], palette.GAIN, _short(name), place)
    figures.style(figure, height=60 + 210 * rows)
    figure.update_xaxes(type="log", tickvals=part["k"][::2], ticktext=[str(k) for k in part["k"][::2]])
    top = max(row["hi"] or row["estimate"] for each in _all_curves(part) for row in each.values())
    figure.update_yaxes(range=[0, min(1.02, 1.1 * top)])
    return figure.update_layout(showlegend=False, margin_t=40)


def _all_curves(part: Part) -> list[Mapping[str, Any]]:
    return [part["base"]["pass@k"], *(arm["pass@k"] for arm in part["arms"].values())]


def _add_curve(figure: go.Figure, rows: Mapping[str, Any], colour: str, name: str, place: dict[str, int]) -> None:
    """Adds a line and its band."""
    ks, values = [int(k) for k in rows], list(rows.values())
    if all(row["lo"] is not None for row in values):
        figure.add_scatter(
            x=[*ks, *reversed(ks)],
            y=[*(row["hi"] for row in values), *(row["lo"] for row in reversed(values))],
            mode="lines",
            fill="toself",
            fillcolor=palette.band(colour),
            line_width=0,
            hoverinfo="skip",
            **place,
        )
    figure.add_scatter(
        x=ks,
        y=[row["estimate"] for row in values],
        mode="lines",
        line={"color": colour, "width": 2},
        hovertemplate=f"{name}: pass@%{{x}} %{{y:.3f}}<extra></extra>",
        **place,
    )


def differences(part: Part) -> go.Figure:
    """Draws for k = 1 and the largest k each arm's difference to the base with its band."""
    ks = [part["k"][0], part["k"][-1]]
    names = list(reversed(part["arms"]))
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, subplot_titles=[f"pass@{k}" for k in ks])
    for column, k in enumerate(ks, 1):
        rows = [part["arms"][name]["against_base"][str(k)] for name in names]
        for name, row in zip(names, rows, strict=True):
            colour = VERDICT_COLOURS[row["verdict"]]
            if row["lo"] is not None:
                figure.add_scatter(
                    x=[row["lo"], row["hi"]],
                    y=[_short(name)] * 2,
                    mode="lines",
                    line={"color": colour, "width": 2},
                    hoverinfo="skip",
                    row=1,
                    col=column,
                )
            figure.add_scatter(
                x=[row["difference"]],
                y=[_short(name)],
                mode="markers",
                marker={"color": colour, "symbol": SYMBOLS[row["verdict"]], "size": 11},
                hovertemplate=f"{row['verdict']} %{{x:+.3f}}<extra></extra>",
                row=1,
                col=column,
            )
        figure.add_vline(x=0, line_color=palette.INK, line_width=1, row=1, col=column)
    figures.style(figure, height=110 + 32 * len(names))
    figure.update_xaxes(title_text="arm minus base", tickformat="+.2f")
    return figure.update_layout(showlegend=False, margin_t=40)


def trajectory(result: Mapping[str, Any]) -> go.Figure:
    """Draws pass@1 and pass@k_max of every arm over the rollouts that it took."""
    rows = [row for row in result["trajectory"] if row["rollouts"] is not None]
    names = list(dict.fromkeys(row["arm"] for row in rows))
    ks = list(rows[0]["pass@k"]) if rows else []
    ends = list(dict.fromkeys([ks[0], ks[-1]])) if ks else []
    figure = make_subplots(rows=1, cols=max(1, len(ends)), subplot_titles=[f"pass@{k}" for k in ends])
    for name, colour in zip(names, palette.step_colours(len(names)), strict=True):
        for seed in sorted({row["seed"] for row in rows if row["arm"] == name}):
            run = sorted((r for r in rows if (r["arm"], r["seed"]) == (name, seed)), key=lambda r: r["step"])
            for column, k in enumerate(ends, 1):
                figure.add_scatter(
                    x=[row["rollouts"] for row in run],
                    y=[row["pass@k"][k] for row in run],
                    mode="lines+markers",
                    name=_short(name),
                    legendgroup=name,
                    showlegend=column == 1 and seed == rows[0]["seed"],
                    line={"color": colour, "width": 1.8},
                    marker={"size": 7, "symbol": names.index(name)},
                    hovertemplate=f"{_short(name)}: %{{x:,}} rollouts, %{{y:.3f}}<extra></extra>",
                    row=1,
                    col=column,
                )
    figures.style(figure, height=420)
    figure.update_xaxes(title_text="rollouts", rangemode="tozero")
    return figure.update_layout(margin_t=110, legend_y=1.12)


def curves_label(part: Part) -> str:
    """Returns what a screen reader says in place of the curves."""
    k = str(part["k"][-1])
    said = [f"{name} {arm['pass@k'][k]['estimate']:.3f}" for name, arm in part["arms"].items()]
    return f"pass@{k}: base {part['base']['pass@k'][k]['estimate']:.3f}, {', '.join(said)}."


def differences_label(part: Part) -> str:
    """Returns what a screen reader says in place of the differences."""
    ends = [str(part["k"][0]), str(part["k"][-1])]
    said = []
    for name, arm in part["arms"].items():
        found = ", ".join(f"{arm['against_base'][k]['verdict']} at k = {k}" for k in ends)
        said.append(f"{name}: {found}")
    return f"Verdicts against the base. {'; '.join(said)}."


def _short(name: str) -> str:
    """Returns an arm's name for a label: letters, digits and a few signs, so that plotly reads no markup in it."""
    return "".join(letter if letter.isalnum() or letter in " -_.+" else "?" for letter in name)[:40]
