"""What figures share: axes, lines, bands, marks of verdicts, and reading estimates out of a summary.

Owns: the house style of a figure.
Does not own: colours (`probes.report.figures.palette`), what is drawn.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from probes.report.figures import palette
from probes.report.words import places
from probes.results.schema import Difference, Estimate, Probe, Summary

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MAX_NAME = 14  # letters of a store's name at an axis; on a phone more leave no room for the plot
VERDICT_MARKS = {
    "gain": (palette.GAIN, "triangle-up", "+"),
    "loss": (palette.LOSS, "triangle-down", "−"),  # noqa: RUF001 - the minus sign, as wide as the plus
    "cannot tell": (palette.CANNOT_TELL, "circle-open", ""),
}


def new_figure(x_title: str, y_title: str, height: int = 380) -> go.Figure:
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


def k_axis(figure: go.Figure, ks: Sequence[int]) -> None:
    """Makes the x axis logarithmic with a tick at each k."""
    figure.update_xaxes(type="log", tickvals=list(ks), ticktext=[str(k) for k in ks], tickangle=0)


def line(colour: str, name: str, symbol: str) -> dict[str, Any]:
    """Returns the look of a line with markers."""
    look = {"color": colour, "size": 7, "symbol": symbol}
    return {
        "mode": "lines+markers",
        "name": name,
        "legendgroup": name,
        "line": {"color": colour, "width": 2},
        "marker": look,
    }


def band(
    xs: Sequence[int],
    ranges: Sequence[Mapping[str, Any]],
    colour: str,
    group: str | None = None,
    ends: tuple[str, str] = ("lo", "hi"),
) -> go.Scatter:
    """Returns the area between lower and upper bounds, without the points that have none; a bar where there is one."""
    low, high = ends
    known = [(x, r[low], r[high]) for x, r in zip(xs, ranges, strict=True) if r[low] is not None]
    return go.Scatter(
        x=[x for x, _, _ in known] + [x for x, _, _ in reversed(known)],
        y=[hi for _, _, hi in known] + [lo for _, lo, _ in reversed(known)],
        mode="lines",
        line={"color": palette.band(colour), "width": 0 if len(known) > 1 else 8},
        fill="toself",
        fillcolor=palette.band(colour),
        hoverinfo="skip",
        showlegend=False,
        legendgroup=group,
    )


def patterned(colour: str, shape: str) -> dict[str, Any]:
    """Returns the look of a bar, hatched where a shape is given, so that bars differ in more than colour."""
    return {"color": colour, "pattern": {"shape": shape, "solidity": 0.45}, "line": {"color": colour, "width": 1}}


def estimates_of(probe: Probe, ks: Sequence[int]) -> tuple[list[int], list[Estimate]]:
    """Returns the k at which a probe has an estimate, and the estimates."""
    found = [(k, e) for k in ks if (e := probe["pass@k"].get(str(k))) and e["estimate"] is not None]
    return [k for k, _ in found], [e for _, e in found]


def difference_at(probe: Probe, k: int) -> Difference | None:
    """Returns the difference to step 0 at k, or None where there is none."""
    return probe["against_base"]["k"].get(str(k)) if probe["against_base"] else None


def differences_of(probe: Probe, ks: Sequence[int]) -> tuple[list[int], list[Difference]]:
    """Returns the k at which a probe is compared with step 0, and the differences."""
    found = [(k, difference) for k in ks if (difference := difference_at(probe, k))]
    return [k for k, _ in found], [difference for _, difference in found]


def range_text(lo: float | None, hi: float | None, form: str = ".3f") -> str:
    """Returns `[lo, hi]`, or words where an end is not known."""
    return "no interval" if lo is None or hi is None else f"[{lo:{form}}, {hi:{form}}]"


def band_and_verdict(cell: Difference | None) -> str:
    """Returns band and verdict for a hover label."""
    return f"{range_text(cell['lo'], cell['hi'], '+.3f')} {cell['verdict']}" if cell else ""


def count_ticks(largest: int) -> list[int]:
    """Returns a few whole numbers symmetric about zero that cover a count."""
    width = max(1, -(-largest // 3))
    return list(range(-3 * width, 3 * width + 1, width))


def short(name: str) -> str:
    """Returns a name for a label: letters, digits and a few signs, so that plotly reads no markup in it."""
    return "".join(letter if letter.isalnum() or letter in " -_.+" else "?" for letter in name)[:40]


def names_of(probes: Sequence[Probe]) -> list[str]:
    """Returns what stands at the axis for each probe: the step, or the name of a store, cut.

    No two are the same, because plotly puts bars of one name on top of each other.
    """
    names = [_cut(short(probe["label"].removeprefix("step "))) for probe in probes]
    return [f"{name} ({place})" if names.count(name) > 1 else name for place, name in enumerate(names, start=1)]


def _cut(name: str) -> str:
    """Returns a name of at most `MAX_NAME` letters; the end of a longer one is left out."""
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def is_run(summary: Summary) -> bool:
    """Returns whether the probes are steps of one run, not stores."""
    return places(summary) == "step"


def probes_title(summary: Summary) -> str:
    """Returns the title of an axis of probes; names of stores need none."""
    return "training step" if is_run(summary) else ""


def spread(num: int, most: int) -> set[int]:
    """Returns at most `most` of the indices 0 to num - 1, evenly spread, both ends included."""
    if num <= most:
        return set(range(num))
    return {round(i * (num - 1) / (most - 1)) for i in range(most)}
