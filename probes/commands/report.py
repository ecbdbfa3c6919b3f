"""`probes report`: the page of a run, of a pair, or of a comparison.

Owns: its flags.
Does not own: what is read (`probes.report.inputs`), the page (`probes.report`).
"""

from pathlib import Path
from typing import Any

import click

from probes.commands.common.options import DIR
from rlvr.console import echo


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=DIR)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "markdown", "csv", "json"]),
    default="html",
    show_default=True,
    help="A page; a summary for a pull request; every number in a long table; the summary or the comparison itself.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: report.html in a lone RUN; the terminal for other formats.",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write every figure there, too, as SVG and PNG, for papers. Needs the extra rlvr[figures] and a Chromium.",
)
@click.option("--verifier", help="Whose verdicts count, where a store of draws has those of several.")
@click.option("--remake", is_flag=True, help="Make summary.json of every RUN anew from its stored draws first.")
@click.option("--seed", default=0, show_default=True, help="Of the resampling and of the choice of draws.")
def report(folders: tuple[Path, ...], form: str, output: Path | None, figures: Path | None, **options: Any) -> None:
    """Write a report, one HTML file that opens offline, and print its path.

    RUN is the folder of a run that was probed, or of `rlvr compare`, or of stored draws. Several runs of one base are
    compared with it; of several stores, the first is the base of the others.
    """
    from probes.report import render_as, report_path, write_figures, write_text
    from probes.report.inputs import read_input

    target = report_path(folders, output) if form == "html" else output
    given = read_input(folders, **options)
    text = render_as(form, given)
    if target is None:
        (echo if form == "markdown" else click.echo)(text)  # the others are for machines
    else:
        write_text(target, text)
        echo(str(target))
    if figures is not None:
        echo(f"{write_figures(given, figures)} figures in {figures}")
