"""Draws pass@k over k and through training, side by side, as one SVG for a README.

    python scripts/make_readme_figure.py RUN_DIR OUT.svg

Owns: the composition of the two figures. Does not own: the figures (`probes.report.figures`).

Needs the package kaleido and a Chromium or Chrome beside the project's own dependencies. The background is white, so
that the figure can be read on light and dark pages alike.
"""

import argparse
import json
import sys
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probes.report import figures, palette
from probes.report.schema import Summary, require_summary
from rlvr.errors import InputError, RlvrError


def main(arguments: list[str] | None = None) -> int:
    """Writes the figure of a run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run_dir", type=Path, help="folder that holds summary.json")
    parser.add_argument("output", type=Path, help="file to write; the ending chooses the format (.svg, .png, .pdf)")
    chosen = parser.parse_args(arguments)
    try:
        write_figure(chosen.run_dir / "summary.json", chosen.output)
    except RlvrError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def write_figure(source: Path, output: Path) -> None:
    """Writes the figure of one summary.

    Raises:
        InputError: the summary cannot be used, or the figure cannot be drawn here.
    """
    try:
        summary = require_summary(json.loads(source.read_text(encoding="utf-8")), str(source))
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: cannot be read ({error}). Give the folder of a run that was probed.") from error
    try:
        compose(summary).write_image(output)
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


if __name__ == "__main__":
    sys.exit(main())
