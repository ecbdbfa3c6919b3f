"""`probes report`: the page of a run.

Owns: its flags.
Does not own: the page (`probes.report`).
"""

from pathlib import Path

import click

from probes.commands.options import DIR


@click.command()
@click.argument("run", type=DIR)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: report.html in RUN.")
def report(run: Path, output: Path | None) -> None:
    """Write the report of RUN, one HTML file that opens offline, and print its path."""
    from probes.report import write_report

    click.echo(write_report(run, output))
