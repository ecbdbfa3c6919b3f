"""`probes estimate`: pass@k of one arm.

Owns: its flags and its table.
Does not own: the numbers (`probes.statistics.estimators`, `probes.statistics.intervals`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from probes.commands.common.options import DIR, TABLE, analysis_options
from probes.commands.common.output import (
    Values,
    default_ks,
    draws_text,
    interval_text,
    number_text,
    print_json,
    print_table,
    read_store,
    read_table,
    store_notes,
)
from rlvr.console import SpreadCommand, echo

if TYPE_CHECKING:
    from probes.statistics.estimators import Counts


COLUMNS = ("estimate", "se_draws", "lo", "hi")  # the form of --json; a band over all k is part of a report


@click.command(cls=SpreadCommand)
@click.argument("store", metavar="[DIR]", required=False, type=DIR)
@click.option("--counts", "table", type=TABLE, help="CSV with the columns problem_id, n, c.")
@analysis_options
def estimate(
    store: Path | None,
    table: Path | None,
    ks: tuple[int, ...],
    confidence: float,
    seed: int,
    verifier: str | None,
    as_json: bool,
) -> None:
    """Estimate pass@k of one arm, from the store DIR or from --counts."""
    if (store is None) == (table is None):
        raise click.UsageError("Give either DIR, a store of draws, or --counts FILE.")
    counts = read_table(table) if table is not None else read_store(store, verifier)  # type: ignore[arg-type]
    notes = store_notes([store] if store else [])
    show_estimate(counts, ks or default_ks([counts]), confidence, seed, as_json, notes)


def show_estimate(
    counts: "Counts", ks: Sequence[int], confidence: float, seed: int, as_json: bool, notes: Sequence[str]
) -> None:
    """Prints pass@k of the counts as a table or as JSON, with the notes that belong to them."""
    from probes.analyses.curves import curve_rows, pass_at_k_curve

    rows, errors = curve_rows(pass_at_k_curve(counts, ks, confidence, seed)), error_rows(counts, ks)
    values = {k: {name: row[name] for name in COLUMNS} for k, row in rows.items()}
    if as_json:
        said = {"notes": notes} if notes else {}
        print_json({"num_problems": counts.num_problems, "pass@k": values, **errors, **said})
        return
    print_estimates(counts, values, errors, confidence)
    for note in notes:
        echo(f"note: {note}")


def error_rows(counts: "Counts", ks: Sequence[int]) -> Values:
    """Returns pass@k at both extremes of what the verifier failed to judge, under `if_errors`; empty without errors."""
    from probes.statistics.estimators import error_bounds

    num_errors = int(counts.errors_P.sum())
    if not num_errors:
        return {}
    rows = zip(ks, *error_bounds(counts, ks), strict=True)
    bounds = {str(k): {"all_wrong": float(wrong), "all_correct": float(correct)} for k, wrong, correct in rows}
    return {"if_errors": {"num_draws": num_errors, "pass@k": bounds}}


def print_estimates(counts: "Counts", values: Mapping[str, Values], errors: Values, confidence: float) -> None:
    """Prints one row per k."""
    header = ["k", "pass@k", "se (draws)", f"{100 * confidence:g}% interval (problems)"]
    rows = [
        [k, number_text(row["estimate"]), number_text(row["se_draws"]), interval_text(row["lo"], row["hi"])]
        for k, row in values.items()
    ]
    if errors:
        header.append("errors all wrong to all correct")
        bounds = errors["if_errors"]["pass@k"].values()
        rows = [[*row, interval_text(*bound.values())] for row, bound in zip(rows, bounds, strict=True)]
    print_table(header, rows)
    echo(f"{counts.num_problems} problems, {draws_text(counts)} draws judged per problem")
    if errors:
        echo(f"{errors['if_errors']['num_draws']} draws could not be judged; pass@k leaves them out")
