"""`probes plan`: what a probe will cost.

Owns: its flags and its table.
Does not own: the arithmetic (`probes.statistics.cost`).
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probes.commands.common.options import DIR, TABLE, json_option, plan_options
from probes.commands.common.output import print_json, print_table, read_store, read_table
from rlvr.console import echo

if TYPE_CHECKING:
    from probes.statistics.cost import Cost


@click.command()
@click.option("--problems", metavar="P", help="JSONL file, Hub data set or countdown:SPLIT, ?key=value.")
@plan_options
@click.option("--max-new-tokens", type=click.IntRange(1), help="Token limit of a completion, to count tokens.")
@click.option("--counts", "table", type=TABLE, help="CSV of an earlier probe: its success rates give the cost.")
@click.option("--store", type=DIR, help="Store of an earlier probe, likewise.")
@json_option
def plan(
    problems: str | None,
    max_new_tokens: int | None,
    table: Path | None,
    store: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Say what a probe of --problems will cost in draws and tokens, and how precise it will be."""
    from probes.commands.common.measurement import read_plan
    from probes.statistics.cost import measured_cost, typical_costs
    from probes.statistics.plan import k_grid
    from rlvr.problems import load_problems

    the_plan, ks = read_plan(flags), k_grid(flags["k_max"])
    if table or store:
        counts = read_table(table) if table else read_store(store, None)  # type: ignore[arg-type]
        num_problems, costs = counts.num_problems, [measured_cost(the_plan, counts, ks, max_new_tokens)]
    elif problems:
        num_problems = len(load_problems(problems))
        costs = typical_costs(the_plan, num_problems, ks, max_new_tokens)
    else:
        raise click.UsageError("Give --problems, or --counts or --store of an earlier probe.")
    if as_json:
        rows = [asdict(cost) for cost in costs]
        print_json({"num_problems": num_problems, "plan": the_plan.to_json(), "costs": rows})
        return
    stop = f", a problem stops at {the_plan.stop_at} successes" if the_plan.stop_at else ""
    echo(f"{num_problems} problems, looks at {', '.join(map(str, the_plan.looks))} draws{stop}")
    print_costs(costs, flags["k_max"])


def print_costs(costs: Sequence["Cost"], k_max: int) -> None:
    """Prints one row per benchmark."""
    header = ["benchmark", "draws", "at least", "at most", "times fewer", "se pass@1", f"se pass@{k_max}"]
    rows = [
        [
            cost.name,
            f"{cost.draws:,}",
            f"{cost.draws_at_least:,}",
            f"{cost.draws_at_most:,}",
            f"{cost.times_fewer:.1f}",
            f"{cost.se_draws[1]:.4f}",
            f"{cost.se_draws[k_max]:.4f}",
        ]
        for cost in costs
    ]
    if costs[0].tokens_at_most is not None:
        header.append("tokens at most")
        rows = [[*row, f"{cost.tokens_at_most:,}"] for row, cost in zip(rows, costs, strict=True)]
    print_table(header, rows)
