"""The page of a comparison: arms side by side, from `comparison.json`.

Owns: its figures, tables and sentences.
Does not own: the numbers (`probes.results.comparison`), and what all pages share: safety, policy and style (`page`,
`figures`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probes.report import figures
from probes.report.evidence import Evidence
from probes.report.figures import palette
from probes.report.figures.plots import Plot, make_plots
from probes.report.page import ArmView, render_template
from probes.report.words import change, table_columns
from probes.results.formatting import count, number, plural
from probes.results.schema import Summary

MAX_COLUMNS = 3
SYMBOLS = {"gain": "triangle-up", "loss": "triangle-down", "cannot tell": "circle-open"}
VERDICT_COLOURS = {"gain": palette.GAIN, "loss": palette.LOSS, "cannot tell": palette.CANNOT_TELL}

Part = Mapping[str, Any]


TITLES = {"steps": "at equal steps", "rollouts": "at equal rollouts", "tokens": "at equal tokens", "stores": "of each"}


def render_comparison(result: Mapping[str, Any], summaries: Mapping[str, Summary], evidence: Evidence | str) -> str:
    """Returns the whole HTML document.

    Args:
        result: of schema `rlvr.comparison/2`.
        summaries: of every run, by its folder's name.
        evidence: problems and draws, or why there are none.
    """
    arms = [
        ArmView(name, f"arm-{place}", f"arm-{place}-", 3, summary, make_plots(summary))
        for place, (name, summary) in enumerate(summaries.items())
    ]
    sets = _sets(result)
    shared = [_trajectory_plot(result)] if result["trajectory"] else []
    drawn = comparison_plots(result)
    drawn |= {f"{arm.prefix}{plot.slug}": plot for arm in arms for plot in arm.plots}
    slugs = {run["arm"]: arm.slug for run, arm in zip(result["runs"], arms, strict=False)} | {
        a.name: a.slug for a in arms
    }
    return render_template(
        "comparison.html",
        drawn,
        evidence,
        name=result["name"],
        result={**result, "subtitle": _subtitle(result, arms)},
        headlines=[{**each, "slug": slugs.get(each["name"])} for each in headlines(sets[0]["parts"][0])],
        tables=published_tables(result),
        sets=sets,
        shared=shared,
        arms=arms,
    )


def comparison_plots(result: Mapping[str, Any]) -> dict[str, Plot]:
    """Returns the figures of the arms side by side, by the id of their place."""
    drawn = {f"{each['slug']}-{plot.slug}": plot for each in _sets(result) for plot in each["plots"]}
    shared = [_trajectory_plot(result)] if result["trajectory"] else []
    return drawn | {plot.slug: plot for plot in shared}


def _sets(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the problem sets as the page shows them."""
    return [_set_view(f"set-{place}", name, states) for place, (name, states) in enumerate(result["sets"].items())]


def headlines(part: Part) -> list[dict[str, str]]:
    """Returns what changed for each arm, in words, under the band of all arms."""
    before = part["base"]["pass@k"]
    return [
        {"name": name, "text": change(part["k"], before, arm["pass@k"], arm["against_base"], arm["crossing"])}
        for name, arm in part["arms"].items()
    ]


def published_tables(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns a table for each kind of equal cost: arms by problem set, pass@1 and pass@k_max in percent.

    The layout is that of table 1 of Yue et al. 2025 (arXiv 2504.13837).
    """
    kinds = next(iter(result["sets"].values()))
    return [_published(by, {name: states[by] for name, states in result["sets"].items()}) for by in kinds]


def _published(by: str, parts: Mapping[str, Part]) -> dict[str, Any]:
    """Returns one of these tables."""
    first = next(iter(parts.values()))
    sets = [{"name": name, "ks": sorted({part["k"][0], part["k"][-1]})} for name, part in parts.items()]
    rows = [{"name": "base", "step": 0, "rollouts": 0, "cells": _cells(parts, lambda part: part["base"])}]
    for name, arm in first["arms"].items():
        rollouts = ", ".join(count(run["rollouts"]) for run in arm["runs"])
        steps = ", ".join(dict.fromkeys(str(run["step"]) for run in arm["runs"]))
        cells = _cells(parts, lambda part, name=name: part["arms"][name])  # type: ignore[misc]
        rows.append({"name": name, "step": steps, "rollouts": rollouts, "cells": cells})
    has_costs = by != "stores"
    budget = f"{first['budget']:,.0f} {by}" if has_costs and by != "steps" else ""
    return {"title": TITLES[by], "budget": budget, "has_costs": has_costs, "sets": sets, "rows": rows}


def _cells(parts: Mapping[str, Part], record: Callable[[Part], Part]) -> list[dict[str, str]]:
    """Returns a row's cells: pass@1 and pass@k_max on every set, with verdicts where there are some."""
    cells = []
    for part in parts.values():
        found = record(part)
        for k in map(str, sorted({part["k"][0], part["k"][-1]})):
            verdict = found["against_base"][k]["verdict"] if "against_base" in found else ""
            cells.append({"text": number(100 * found["pass@k"][k]["estimate"], 1), "verdict": verdict})
    return cells


def _subtitle(result: Mapping[str, Any], arms: Sequence[ArmView]) -> str:
    """Returns what is compared, on one line."""
    if not result["seeds"]:
        return f"{plural(len(arms), 'arm')} beside a base."
    names = {run["arm"] for run in result["runs"]}
    return f"{plural(len(names), 'arm')} from one base, {plural(len(result['seeds']), 'seed')} each."


def _set_view(slug: str, name: str, states: Mapping[str, Part]) -> dict[str, Any]:
    """Returns one problem set as the page shows it; the first kind of equal cost is the one that is drawn."""
    parts = [
        {**part, "title": TITLES[by], "columns": table_columns(part["k"]), "has_costs": by != "stores"}
        for by, part in states.items()
    ]
    part = parts[0]
    band = f"{part['confidence']:.0%}"
    plots = [
        Plot(
            "boundary",
            "curves",
            "pass@k over k, each arm beside the base",
            f"Base in grey, dashed. Bands: {band} over problems like these, at all k of a curve at once.",
            curves_label(part),
            curves(part),
        ),
        Plot(
            "boundary",
            "differences",
            "Difference to the base",
            "One band for all arms and all k together. Triangles mark verdicts, circles say: cannot tell.",
            differences_label(part),
            differences(part),
        ),
    ]
    return {"slug": slug, "name": name, "parts": parts, "plots": plots}


def _trajectory_plot(result: Mapping[str, Any]) -> Plot:
    """Returns the figure of pass@k over cost."""
    return Plot(
        "cost",
        "trajectory",
        "pass@k over what it cost",
        "Each point is a probe. Rollouts count all completions generated, thrown-away ones too.",
        "Lines of pass@1 and pass@k_max over rollouts, one pair an arm; the table of every probe has the numbers.",
        trajectory(result),
    )


def curves(part: Part) -> go.Figure:
    """Draws one small panel an arm: pass@k over k with bands, the base's in grey behind it."""
    names, columns = list(part["arms"]), min(MAX_COLUMNS, len(part["arms"]))
    rows = math.ceil(len(names) / columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes=True,
        shared_yaxes=True,
        subplot_titles=[figures.short(name) for name in names],
    )
    for position, name in enumerate(names):
        place = {"row": position // columns + 1, "col": position % columns + 1}
        _add_curve(figure, part["base"]["pass@k"], palette.MUTED, "base", place, dash="dash")
        _add_curve(figure, part["arms"][name]["pass@k"], palette.GAIN, figures.short(name), place)
    figures.style(figure, height=60 + 210 * rows)
    figure.update_xaxes(type="log", tickvals=part["k"][::2], ticktext=[str(k) for k in part["k"][::2]])
    top = max(row["band_hi"] or row["estimate"] for each in _all_curves(part) for row in each.values())
    figure.update_yaxes(range=[0, min(1.02, 1.1 * top)])
    return figure.update_layout(showlegend=False, margin_t=40)


def _all_curves(part: Part) -> list[Mapping[str, Any]]:
    return [part["base"]["pass@k"], *(arm["pass@k"] for arm in part["arms"].values())]


def _add_curve(
    figure: go.Figure, rows: Mapping[str, Any], colour: str, name: str, place: dict[str, int], dash: str = "solid"
) -> None:
    """Adds a line and its band."""
    ks, values = [int(k) for k in rows], list(rows.values())
    if all(row["band_lo"] is not None for row in values):
        figure.add_scatter(
            x=[*ks, *reversed(ks)],
            y=[*(row["band_hi"] for row in values), *(row["band_lo"] for row in reversed(values))],
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
        line={"color": colour, "width": 2, "dash": dash},
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
                    y=[figures.short(name)] * 2,
                    mode="lines",
                    line={"color": colour, "width": 2},
                    hoverinfo="skip",
                    row=1,
                    col=column,
                )
            figure.add_scatter(
                x=[row["difference"]],
                y=[figures.short(name)],
                mode="markers",
                marker={"color": colour, "symbol": SYMBOLS[row["verdict"]], "size": 11},
                hovertemplate=f"{row['verdict']} %{{x:+.3f}}<extra></extra>",
                row=1,
                col=column,
            )
        figure.add_vline(x=0, line_color=palette.INK, line_width=1, row=1, col=column)
    figures.style(figure, height=110 + 32 * len(names))
    figure.update_xaxes(title_text="arm minus base", tickformat="+.2~f", nticks=3, tickangle=0)
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
                    name=figures.short(name),
                    legendgroup=name,
                    showlegend=column == 1 and seed == rows[0]["seed"],
                    line={"color": colour, "width": 1.8},
                    marker={"size": 7, "symbol": names.index(name)},
                    hovertemplate=f"{figures.short(name)}: %{{x:,}} rollouts, %{{y:.3f}}<extra></extra>",
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
