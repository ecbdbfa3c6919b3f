"""`probes doctor`, `probes backup` and `probes export`: the health of stores, and copies of them.

Owns: their flags, output and exit codes.
Does not own: checks, mending and copying (`probes.upkeep`).
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from probes.commands.common.options import DIR, json_option
from probes.commands.common.output import print_json
from rlvr.console import echo
from rlvr.text import visible

if TYPE_CHECKING:
    from probes.upkeep.doctor import Finding

COLOURS = {"error": "red", "owed": "yellow", "confound": "magenta", "note": None}


@click.command()
@click.argument("store", type=DIR)
@click.option(
    "--repair",
    "is_repair",
    is_flag=True,
    help="First mend what can be mended. Nothing is deleted: what cannot be kept is renamed to NAME.aside-N.",
)
@json_option
@click.pass_context
def doctor(ctx: click.Context, store: Path, is_repair: bool, as_json: bool) -> None:
    """Check STORE: damage, missing draws and verdicts, and what could mislead.

    Exit code 1 if it is damaged or owes something, else 0.
    """
    from probes.upkeep.doctor import examine, worst
    from probes.upkeep.repair import repair

    done = repair(store) if is_repair else []
    findings = examine(store)
    if as_json:
        listed = [asdict(each) for each in findings]
        print_json({"store": str(store), "repaired": done, "worst": worst(findings), "findings": listed})
    else:
        for sentence in done:
            click.secho(f"repaired {visible(sentence)}", fg="green")
        show_findings(findings)
    ctx.exit(1 if worst(findings) in ("error", "owed") else 0)


def show_findings(findings: Sequence["Finding"]) -> None:
    """Prints findings, one a line."""
    for finding in findings:
        click.secho(f"{finding.level:8} {finding.check}: ", nl=False, fg=COLOURS[finding.level])
        echo(finding.message)
    if not findings:
        echo("nothing to report")


@click.command()
@click.argument("store", type=DIR)
@click.argument("target", type=click.Path(path_type=Path))
@json_option
def backup(store: Path, target: Path, as_json: bool) -> None:
    """Copy STORE to TARGET, a folder that does not exist yet.

    The copy is consistent though `probes sample` or a training may be writing to STORE meanwhile.
    """
    from probes.upkeep.backup import back_up

    num_draws = back_up(store, target)
    if as_json:
        print_json({"store": str(store), "target": str(target), "num_draws": num_draws})
        return
    echo(f"{target}: {num_draws} draws")


@click.command()
@click.argument("store", type=DIR)
@click.option(
    "--format", "format_", type=click.Choice(["parquet", "jsonl", "hf-dataset"]), default="parquet", show_default=True
)
@click.option("--verifier", "verifier_id", help="Whose verdicts; may be left out where there are those of one only.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="A file, or of hf-dataset a folder.")
@json_option
def export(store: Path, format_: str, verifier_id: str | None, output: Path, as_json: bool) -> None:
    """Write the draws of STORE with their problems and verdicts, a row a draw.

    hf-dataset is a folder that `datasets.load_dataset` reads.
    """
    from probes.upkeep.export import export_store

    num_draws = export_store(store, format_, output, verifier_id)
    if as_json:
        print_json({"store": str(store), "output": str(output), "format": format_, "num_draws": num_draws})
        return
    echo(f"{output}: {num_draws} draws")
