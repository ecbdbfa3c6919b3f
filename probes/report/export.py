"""Figures as files, for papers: SVG, and PNG at three times the resolution of a screen.

Owns: which figures, under which names.
Does not own: drawings (`figures`), drawing without a page (kaleido, which starts a Chromium).
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import plotly.graph_objects as go
import plotly.io

from probes.report.comparison import comparison_plots
from probes.report.figures.plots import make_plots
from probes.report.inputs import ReportInput
from rlvr.errors import InputError

WIDTH, SCALE = 900, 3


def export_figures(given: ReportInput, folder: Path) -> int:
    """Writes `<arm>-<figure>.svg` and `.png` of every figure, and returns the number of figures.

    Raises:
        InputError: kaleido or a Chromium is missing, or the folder cannot be written.
    """
    if find_spec("kaleido") is None:
        raise InputError("--figures: kaleido is missing; pip install 'rlvr[figures]'.")
    wanted = [(name, _on_white(figure), form) for name, figure in _named(given) for form in ("svg", "png")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        plotly.io.write_images(
            [figure for _, figure, _ in wanted],
            [folder / f"{name}.{form}" for name, _, form in wanted],
            width=WIDTH,
            height=[figure.layout.height for _, figure, _ in wanted],
            scale=[SCALE if form == "png" else 1 for _, _, form in wanted],
        )
    except OSError as error:
        raise InputError(f"--figures {folder}: cannot be written ({error}).") from error
    except RuntimeError as error:  # kaleido found no browser
        raise InputError(
            f"--figures: {' '.join(str(error).split())[:200]} On Debian: apt-get install chromium."
        ) from error
    return len(wanted) // 2


def _named(given: ReportInput) -> Iterator[tuple[str, go.Figure]]:
    """Yields every figure with a name that is safe in a file system."""
    if given.comparison is not None:
        yield from ((name, plot.figure) for name, plot in comparison_plots(given.comparison).items())
    for place, summary in enumerate(given.arms.values()):
        prefix = f"arm-{place}-" if given.comparison is not None else ""
        yield from ((f"{prefix}{plot.slug}", plot.figure) for plot in make_plots(summary))


def _on_white(figure: go.Figure) -> go.Figure:
    """Returns the figure on a white ground, without what only a page has."""
    return go.Figure(figure).update_layout(paper_bgcolor="#ffffff", plot_bgcolor="#ffffff")
