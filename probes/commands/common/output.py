"""What several commands print, and how they read counts.

Owns: tables, JSON, and numbers as text.
Does not own: the numbers.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlvr.console import echo

if TYPE_CHECKING:
    from probes.statistics.estimators import Counts

Values = dict[str, Any]


def read_table(path: Path) -> "Counts":
    """Returns the counts of a CSV file."""
    from probes.statistics.tables import read_counts

    return read_counts(path)


def read_store(path: Path, verifier_id: str | None) -> "Counts":
    """Returns the counts of a store of draws, under the plan that it notes."""
    from probes.store.store import ProbeStore

    store = ProbeStore.open_existing(path)
    return store.counts(store.require_verifier(verifier_id))


def store_notes(paths: Iterable[Path]) -> list[str]:
    """Returns what must be said beside any number of these stores."""
    from probes.store.store import ProbeStore

    scripted = [path for path in paths if "scripted" in ProbeStore.open_existing(path).engines()]
    return [
        f"the draws of {path} come from the scripted engine: they show the software, not a model" for path in scripted
    ]


def default_ks(arms: Sequence["Counts"]) -> tuple[int, ...]:
    """Returns powers of two up to a quarter of the smallest n, where estimates are still quiet."""
    from probes.statistics.plan import k_grid

    return k_grid(max(1, min(counts.largest_k for counts in arms) // 4))


def print_json(value: object) -> None:
    """Prints one JSON value; NaN, cannot tell, becomes null."""
    from probes.store.files import plain

    echo(json.dumps(plain(value), allow_nan=False))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table, aligned to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in header:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def draws_text(counts: "Counts") -> str:
    """Returns the number of judged draws per problem, or its range."""
    smallest, largest = int(counts.n_P.min()), int(counts.n_P.max())
    return f"{smallest}" if smallest == largest else f"{smallest} to {largest}"


def number_text(value: float, sign: str = "") -> str:
    """Returns a number with four decimals."""
    return "cannot tell" if math.isnan(value) else f"{value:{sign}.4f}"


def interval_text(lo: float, hi: float, sign: str = "") -> str:
    """Returns both ends with four decimals."""
    return "cannot tell" if math.isnan(lo) or math.isnan(hi) else f"{lo:{sign}.4f} to {hi:{sign}.4f}"


def coloured(verdict: str) -> str:
    """Returns a verdict in its colour, in rich's markup."""
    from probes.report.terminal import COLOURS

    return f"[{COLOURS[verdict]}]{verdict}[/]"
