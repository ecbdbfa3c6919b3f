"""`probes doctor`: integrity, owed draws, confounds.

Owns: its flags, its output and its exit code.
Does not own: the checks (`probes.sampling.doctor`).
"""

from dataclasses import asdict
from pathlib import Path

import click

from probes.commands.common.options import DIR, json_option
from probes.commands.common.output import print_json

COLOURS = {"error": "red", "owed": "yellow", "confound": "magenta", "note": None}


@click.command()
@click.argument("store", type=DIR)
@json_option
@click.pass_context
def doctor(ctx: click.Context, store: Path, as_json: bool) -> None:
    """Check STORE: damage, missing draws and verdicts, and what could mislead.

    Exit code 1 if it is damaged or owes something, else 0.
    """
    from probes.sampling.doctor import examine, worst

    findings = examine(store)
    if as_json:
        print_json({"store": str(store), "worst": worst(findings), "findings": [asdict(each) for each in findings]})
    else:
        for finding in findings:
            click.secho(f"{finding.level:8} {finding.check}: ", nl=False, fg=COLOURS[finding.level])
            click.echo(finding.message)
        if not findings:
            click.echo("nothing to report")
    ctx.exit(1 if worst(findings) in ("error", "owed") else 0)
