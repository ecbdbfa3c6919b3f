"""The command `probes`.

Owns: its subcommands, their flags, and what they print.
Does not own: the numbers (`probes.estimators`, `probes.intervals`), the page (`probes.report`), how errors end a
command (`rlvr.console`).

Start-up is light: numpy and scipy are loaded when a subcommand runs, not for --help.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlvr import __version__
from rlvr.console import ErrorGroup, SpreadCommand, SpreadOption

if TYPE_CHECKING:
    from probes.estimators import Counts
    from probes.intervals import Cells, StepComparison

Values = dict[str, Any]

_DIR = click.Path(path_type=Path, exists=True, file_okay=False)
_TABLE = click.Path(path_type=Path, exists=True, dir_okay=False)
_COLOURS = {"gain": "green", "loss": "red", "cannot tell": "dim"}


def _attempts(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> tuple[int, ...]:
    """Returns the numbers of a repeated flag in ascending order, each once; one value may hold several: `1,4,256`."""
    parts = [part for value in values for part in value.split(",")]
    for part in parts:
        if not re.fullmatch(r"0*[1-9][0-9]{0,8}", part):
            raise click.BadParameter(f"{part!r} is not a number of attempts; expected whole numbers >= 1, as 1 4 256.")
    return tuple(sorted({int(part) for part in parts}))


_ks_option = click.option(
    "--k",
    "ks",
    cls=SpreadOption,
    value_pattern=r"[0-9]+(,[0-9]+)*",
    multiple=True,
    metavar="K...",
    callback=_attempts,
    help="Numbers of attempts: 1 4 256. Default: powers of two up to a quarter of the draws.",
)
_confidence_option = click.option(
    "--confidence", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95, show_default=True
)
_seed_option = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resampling.")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=ErrorGroup)
@click.version_option(__version__)
def main() -> None:
    """Measure language models by large-k pass@k, from stored draws or from tables of counts."""


@main.command(cls=SpreadCommand)
@click.argument("store", metavar="[DIR]", required=False, type=_DIR)
@click.option("--counts", "table", type=_TABLE, help="CSV with the columns problem_id, n, c.")
@_ks_option
@_confidence_option
@_seed_option
@_json_option
def estimate(
    store: Path | None, table: Path | None, ks: tuple[int, ...], confidence: float, seed: int, as_json: bool
) -> None:
    """Estimate pass@k of one arm, from the store DIR or from --counts."""
    if (store is None) == (table is None):
        raise click.UsageError("Give either DIR, a store of draws, or --counts FILE.")
    counts = _read(store, table)
    ks = ks or _default_ks([counts])
    values = _estimates(counts, ks, confidence, seed)
    if as_json:
        _print_json({"num_problems": counts.num_problems, "pass@k": values, **_errors(counts, ks)})
    else:
        _print_estimates(counts, values, _errors(counts, ks), confidence)


@main.command(cls=SpreadCommand)
@click.argument("stores", metavar="[BASE RL]", nargs=-1, type=_DIR)
@click.option("--counts", "tables", nargs=2, type=_TABLE, metavar="BASE RL", help="Two CSV: problem_id, n, c.")
@_ks_option
@_confidence_option
@_seed_option
@_json_option
def compare(
    stores: tuple[Path, ...],
    tables: tuple[Path, Path] | None,
    ks: tuple[int, ...],
    confidence: float,
    seed: int,
    as_json: bool,
) -> None:
    """Compare two arms on the same problems: paired differences under one band over all k, and solved sets."""
    from probes.intervals import compare_counts, four_cells

    if len(stores) != (0 if tables else 2):
        raise click.UsageError("Give either BASE RL, two stores of draws, or --counts BASE RL.")
    base, other = [_read(None, table) for table in tables] if tables else [_read(store, None) for store in stores]
    ks = ks or _default_ks([base, other])
    comparison = compare_counts(base, other, ks, confidence, seed=seed).at()
    cells = four_cells(base, other)
    if as_json:
        _print_json({"k": _differences(comparison), "cells": asdict(cells)})
    else:
        _print_comparison(comparison, cells, confidence)
        if base.num_draws != other.num_draws:
            click.echo(
                f"note: {base.num_draws} and {other.num_draws} draws per problem; the arm with more solves more."
            )


@main.command()
@click.argument("run", type=_DIR)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: report.html in RUN.")
def report(run: Path, output: Path | None) -> None:
    """Write the report of RUN, one HTML file that opens offline, and print its path."""
    from probes.report import write_report

    click.echo(write_report(run, output))


def _read(store: Path | None, table: Path | None) -> "Counts":
    """Returns the counts of a store of draws, or of a table."""
    if table is not None:
        from probes.tables import read_counts

        return read_counts(table)
    from probes.store import ProbeStore

    assert store is not None
    return ProbeStore.open_existing(store).counts()


def _default_ks(arms: Sequence["Counts"]) -> tuple[int, ...]:
    """Returns powers of two up to a quarter of the smallest n, where estimates are still quiet."""
    from probes.plan import k_grid

    return k_grid(max(1, min(counts.num_draws for counts in arms) // 4))


def _estimates(counts: "Counts", ks: Sequence[int], confidence: float, seed: int) -> dict[str, Values]:
    from probes.estimators import pass_at_k
    from probes.intervals import problem_interval

    curve = pass_at_k(counts, ks)
    lo_K, hi_K = problem_interval(curve.per_problem_PK, counts.cluster_P, confidence, seed=seed)
    rows = zip(ks, curve.estimate_K, curve.se_draws_K, lo_K, hi_K, strict=True)
    names = ("estimate", "se_draws", "lo", "hi")
    return {str(k): dict(zip(names, map(_number, numbers), strict=True)) for k, *numbers in rows}


def _errors(counts: "Counts", ks: Sequence[int]) -> Values:
    """Returns pass@k at both extremes of what the verifier failed to judge, under `if_errors`; empty without errors."""
    from probes.estimators import error_bounds

    num_errors = int(counts.errors_P.sum())
    if not num_errors:
        return {}
    rows = zip(ks, *error_bounds(counts, ks), strict=True)
    bounds = {str(k): {"all_wrong": float(wrong), "all_correct": float(correct)} for k, wrong, correct in rows}
    return {"if_errors": {"num_draws": num_errors, "pass@k": bounds}}


def _differences(comparison: "StepComparison") -> dict[str, Values]:
    columns = (comparison.difference_K, comparison.lo_K, comparison.hi_K, comparison.verdict_K)
    return {
        str(k): {"difference": _number(mean), "lo": _number(lo), "hi": _number(hi), "verdict": verdict}
        for k, mean, lo, hi, verdict in zip(comparison.ks, *columns, strict=True)
    }


def _number(value: float) -> float | None:
    """Returns a plain number, or None for NaN: cannot tell."""
    return None if math.isnan(value) else float(value)


def _print_json(value: Values) -> None:
    click.echo(json.dumps(value, allow_nan=False))


def _print_estimates(counts: "Counts", values: Mapping[str, Values], errors: Values, confidence: float) -> None:
    header = ["k", "pass@k", "se (draws)", f"{100 * confidence:g}% interval (problems)"]
    rows = [
        [k, _text(row["estimate"]), _text(row["se_draws"]), _interval(row["lo"], row["hi"])]
        for k, row in values.items()
    ]
    if errors:
        header.append("errors all wrong to all correct")
        bounds = errors["if_errors"]["pass@k"].values()
        rows = [[*row, _interval(*bound.values())] for row, bound in zip(rows, bounds, strict=True)]
    _print_table(header, rows)
    click.echo(f"{counts.num_problems} problems, {_range(counts)} draws judged per problem")
    if errors:
        click.echo(f"{errors['if_errors']['num_draws']} draws could not be judged; pass@k leaves them out")


def _print_comparison(comparison: "StepComparison", cells: "Cells", confidence: float) -> None:
    rows = [
        [k, _text(row["difference"], "+"), _interval(row["lo"], row["hi"], "+"), _coloured(row["verdict"])]
        for k, row in _differences(comparison).items()
    ]
    _print_table(["k", "RL - base", f"{100 * confidence:g}% band over all k", "verdict"], rows)
    click.echo(
        f"solved by both {cells.both}, base only {cells.base_only}, RL only {cells.rl_only}, neither {cells.neither}; "
        f"exact McNemar p = {cells.mcnemar_p:.3g}"
    )


def _print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in header:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _range(counts: "Counts") -> str:
    smallest, largest = int(counts.n_P.min()), int(counts.n_P.max())
    return f"{smallest}" if smallest == largest else f"{smallest} to {largest}"


def _text(value: float | None, sign: str = "") -> str:
    return "cannot tell" if value is None else f"{value:{sign}.4f}"


def _interval(lo: float | None, hi: float | None, sign: str = "") -> str:
    return "cannot tell" if lo is None or hi is None else f"{lo:{sign}.4f} to {hi:{sign}.4f}"


def _coloured(verdict: str) -> str:
    return f"[{_COLOURS[verdict]}]{verdict}[/]"


if __name__ == "__main__":
    main()
