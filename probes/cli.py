"""The command `probes`.

Owns: the list of its subcommands.
Does not own: the subcommands (`probes.commands`), how errors end a command (`rlvr.console`).
"""

import click

from probes.commands.analyze import analyze
from probes.commands.compare import compare
from probes.commands.estimate import estimate
from probes.commands.importing import import_
from probes.commands.plan import plan
from probes.commands.report import report
from probes.commands.sample import sample
from probes.commands.schema import schema
from probes.commands.upkeep import backup, doctor, export
from probes.commands.verify import verify
from probes.commands.watch import watch
from rlvr import __version__
from rlvr.console import ErrorGroup


@click.group(cls=ErrorGroup)
@click.version_option(__version__)
def main() -> None:
    """Measure language models by large-k pass@k: sample, verify, estimate, compare, analyze, report."""


READING = (estimate, compare, analyze, report, schema, export)
for command in (plan, sample, verify, watch, doctor, backup, import_, *READING):
    main.add_command(command)


if __name__ == "__main__":
    main()
