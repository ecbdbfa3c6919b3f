"""Draws one SVG for a README: of a run, pass@k over k and through training; of a comparison, differences to the base.

    python scripts/make_readme_figure.py RUN_DIR OUT.svg
    python scripts/make_readme_figure.py COMPARISON_DIR OUT.svg

Owns: the composition of the two figures. Does not own: the figures (`probes.report.figures`).

Needs the package kaleido and a Chromium or Chrome beside the project's own dependencies. The background is white, so
that the figure can be read on light and dark pages alike.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probes.report import comparison, figures
from probes.report.figures import palette
from probes.results.schema import Summary, require_summary
from rlvr.errors import InputError, RlvrError


def main(arguments: list[str] | None = None) -> int:
    """Writes the figure of a run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run_dir", type=Path, help="folder that holds summary.json or comparison.json")
    parser.add_argument("output", type=Path, help="file to write; the ending chooses the format (.svg, .png, .pdf)")
    chosen = parser.parse_args(arguments)
    try:
        write_figure(compose_of(chosen.run_dir), chosen.output)
    except RlvrError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def compose_of(folder: Path) -> go.Figure:
    """Returns the figure of a folder.

    Raises:
        InputError: it has neither summary nor comparison, or they cannot be read.
    """
    source = folder / "comparison.json"
    is_comparison = source.exists()
    source = source if is_comparison else folder / "summary.json"
    try:
        value = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: cannot be read ({error}). Give the folder of a run or a comparison.") from error
    return compose_comparison(value) if is_comparison else compose(require_summary(value, str(source)))


def write_figure(figure: go.Figure, output: Path) -> None:
    """Writes a figure.

    Raises:
        InputError: it cannot be drawn here.
    """
    try:
        figure.write_image(output)
    except (ValueError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{output}: not drawn ({reason}). Needs kaleido, Chromium, and an ending like .svg."
        ) from error


def compose(summary: Summary) -> go.Figure:
    """Returns pass@k over k and pass@k through training in one figure, a legend above each."""
    parts = [figures.pass_at_k_curves(summary, max_named=4), figures.pass_at_k_over_steps(summary)]
    combined = make_subplots(rows=1, cols=2, horizontal_spacing=0.09)
    for column, (part, legend) in enumerate(zip(parts, ("legend", "legend2"), strict=True), start=1):
        for trace in part.data:
            combined.add_trace(trace.update(legend=legend), row=1, col=column)
        combined.update_xaxes(part.layout.xaxis.to_plotly_json(), row=1, col=column)
        combined.update_yaxes(part.layout.yaxis.to_plotly_json(), row=1, col=column)
    left = parts[0].layout
    place = {**left.legend.to_plotly_json(), "font": {"size": 12}}
    return combined.update_layout(
        template="none",
        width=1000,
        height=400,
        font=left.font,
        paper_bgcolor=palette.SURFACE,
        plot_bgcolor=palette.SURFACE,
        margin={"l": 60, "r": 16, "t": 44, "b": 56},
        legend={**place, "x": 0},
        legend2={**place, "x": combined.layout.xaxis2.domain[0]},
    )


def compose_comparison(result: dict[str, Any]) -> go.Figure:
    """Returns each problem set's differences to the base at k = 1 and the largest k, side by side."""
    parts = {name: states["steps"] for name, states in result["sets"].items()}
    titles = [
        f"{name.split(':')[-1].split('?')[0]}, pass@{k}"
        for name, part in parts.items()
        for k in (part["k"][0], part["k"][-1])
    ]
    combined = make_subplots(
        rows=1, cols=len(titles), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.02
    )
    for number, part in enumerate(parts.values()):
        for trace in comparison.differences(part).data:
            column = 2 * number + (2 if trace.xaxis == "x2" else 1)
            combined.add_trace(trace.update(xaxis=None, yaxis=None), row=1, col=column)
            combined.add_vline(x=0, line_color=palette.INK, line_width=1, row=1, col=column)
    figures.style(combined, height=360)
    combined.update_xaxes(tickformat="+.2~f", nticks=5)
    combined.update_annotations(font_size=13)
    return combined.update_layout(
        width=1000, showlegend=False, paper_bgcolor=palette.SURFACE, plot_bgcolor=palette.SURFACE, margin_t=44
    )


if __name__ == "__main__":
    sys.exit(main())
