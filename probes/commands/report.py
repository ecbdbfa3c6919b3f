"""`probes report`: the page of a run, of a pair, or of a comparison.

Owns: its flags.
Does not own: what is read (`probes.report.inputs`), the page (`probes.report`).
"""

from pathlib import Path

import click

from probes.commands.options import DIR


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=DIR)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: report.html in a lone RUN.")
@click.option("--verifier", help="Whose verdicts count, where a store of draws has those of several.")
@click.option("--remake", is_flag=True, help="Make summary.json of every RUN anew from its stored draws first.")
@click.option("--seed", default=0, show_default=True, help="Of the resampling and of the choice of draws.")
def report(folders: tuple[Path, ...], output: Path | None, verifier: str | None, remake: bool, seed: int) -> None:
    """Write a report, one HTML file that opens offline, and print its path.

    RUN is the folder of a run that was probed, or of `rlvr compare`, or of stored draws. Several runs of one base are
    compared with it; of several stores, the first is the base of the others.
    """
    from probes.report import write_report_of

    click.echo(write_report_of(folders, output, verifier=verifier, remake=remake, seed=seed))
