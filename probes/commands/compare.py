"""`probes compare`: two arms on the same problems.

Owns: its flags and its table.
Does not own: the numbers (`probes.statistics.intervals`, `probes.analyses.cells`).
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from probes.commands.common.options import DIR, TABLE, analysis_options
from probes.commands.common.output import (
    coloured,
    default_ks,
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
    from probes.analyses.cells import Cells, ExpectedCells
    from probes.statistics.estimators import Counts
    from probes.statistics.intervals import StepComparison


@click.command(cls=SpreadCommand)
@click.argument("stores", metavar="[BASE RL]", nargs=-1, type=DIR)
@click.option("--counts", "tables", nargs=2, type=TABLE, metavar="BASE RL", help="Two CSV: problem_id, n, c.")
@analysis_options
def compare(
    stores: tuple[Path, ...],
    tables: tuple[Path, Path] | None,
    ks: tuple[int, ...],
    confidence: float,
    seed: int,
    verifier: str | None,
    as_json: bool,
) -> None:
    """Compare two arms on the same problems: paired differences under one band over all k, and solved sets."""
    from probes.analyses.cells import expected_cells, four_cells, same_model_null
    from probes.statistics.intervals import compare_counts

    if len(stores) != (0 if tables else 2):
        raise click.UsageError("Give either BASE RL, two stores of draws, or --counts BASE RL.")
    base, other = map(read_table, tables) if tables else (read_store(store, verifier) for store in stores)
    comparison = compare_counts(base, other, ks or default_ks([base, other]), confidence, seed=seed).at()
    notes = store_notes(stores)
    cells, null = four_cells(base, other), same_model_null(base)
    expected = expected_cells(base, other, null.k) if null and null.k <= other.largest_k else None
    if as_json:
        nulls = {"same_model_null": null and asdict(null), "expected_cells": expected and asdict(expected)}
        said = {"notes": notes} if notes else {}
        print_json({"k": comparison.rows(), "cells": asdict(cells), **nulls, **said})
        return
    print_comparison(comparison, cells, confidence)
    print_null(null, expected)
    print_notes(base, other)
    for note in notes:
        echo(f"note: {note}")


def print_comparison(comparison: "StepComparison", cells: "Cells", confidence: float) -> None:
    """Prints one row per k, and the solved sets."""
    rows: list[Sequence[str]] = [
        [k, number_text(row["difference"], "+"), interval_text(row["lo"], row["hi"], "+"), coloured(row["verdict"])]
        for k, row in comparison.rows().items()
    ]
    print_table(["k", "RL - base", f"{100 * confidence:g}% band over all k", "verdict"], rows)
    echo(
        f"solved by both {cells.both}, base only {cells.base_only}, RL only {cells.rl_only}, neither {cells.neither}; "
        f"exact McNemar p = {cells.mcnemar_p:.3g}"
    )


def print_null(null: "ExpectedCells | None", expected: "ExpectedCells | None") -> None:
    """Says what finite draws alone would show."""
    if null is not None and expected is not None:
        echo(
            f"within {null.k} draws, on average: base only {expected.base_only:.1f}, RL only {expected.rl_only:.1f}; "
            f"two samples of the base itself: {null.base_only:.1f} and {null.rl_only:.1f}"
        )


def print_notes(base: "Counts", other: "Counts") -> None:
    """Says where the solved sets do not compare like with like."""
    if base.largest_k != other.largest_k:
        echo(f"note: {base.largest_k} and {other.largest_k} draws per problem; the arm with more solves more.")
