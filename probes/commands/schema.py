"""`probes schema`: the JSON Schema of what a report is made of.

Owns: its argument.
Does not own: the schema (`probes.results.schema`).
"""

import json

import click

from rlvr.console import echo


@click.command()
@click.argument("name", type=click.Choice(["summary", "comparison"]))
def schema(name: str) -> None:
    """Print the JSON Schema of summary.json or comparison.json."""
    from probes.results.schema import json_schema

    echo(json.dumps(json_schema(name), indent=1))
