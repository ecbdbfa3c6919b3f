"""What a run's end looks like in a terminal.

Owns: the table of steps with pass@k and verdicts.
Does not own: the numbers (`probes.results.summary`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from probes.report.words import change, headline
from probes.results.cautions import cautions
from probes.results.schema import Summary

COLUMNS = (1, 16, 256)
COLOURS = {"gain": "green", "loss": "red", "cannot tell": "dim"}


def print_table(summary: Summary) -> None:
    """Prints the headline, then pass@1, pass@16 and pass@256 of each step, with interval and verdict against step 0."""
    from rich.console import Console
    from rich.table import Table

    ks = shown_ks(summary["k"])
    percent = f"{summary['confidence']:.0%}"
    table = Table(title=f"pass@k of {summary['run']['model']} with {percent} intervals; verdict against step 0")
    table.add_column("step", justify="right")
    for k in ks:
        table.add_column(f"pass@{k}", no_wrap=True)
    for probe in summary["probes"]:
        cells = [f"{estimate_text(probe['pass@k'][str(k)])}\n{verdict_text(probe, k)}" for k in ks]
        table.add_row(str(probe["step"]), *cells)
    console = Console()
    console.print(headline(summary), style="bold", markup=False, highlight=False)
    console.print(table)
    for line in cautions(summary):
        console.print(f"note: {line}", markup=False, highlight=False)


def print_comparison(result: Mapping[str, Any]) -> None:
    """Prints, for each problem set, pass@1, pass@16 and pass@256 of every arm at equal steps."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for name, states in result["sets"].items():
        part = states["steps"]
        ks = shown_ks(part["k"])
        percent = f"{part['confidence']:.0%}"
        table = Table(title=f"pass@k on {name} with {percent} intervals; verdict against the base")
        for column in ("arm", *(f"pass@{k}" for k in ks)):
            table.add_column(column, no_wrap=True)
        table.add_row("base", *(_two_lines(part["base"]["pass@k"][str(k)]) for k in ks), end_section=True)
        for arm, record in part["arms"].items():
            cells = [f"{_two_lines(record['pass@k'][str(k)])}\n{_word(record, k)}" for k in ks]
            table.add_row("\n".join([arm, *map(_spent, record["runs"])]), *cells, end_section=True)
        console.print(table)
        for arm, record in part["arms"].items():
            said = change(
                part["k"], part["base"]["pass@k"], record["pass@k"], record["against_base"], record["crossing"]
            )
            console.print(f"{arm}: {said}", markup=False, highlight=False)
    for note in result["notes"]:
        console.print(f"note: {note}", markup=False, highlight=False)


def _spent(run: Mapping[str, Any]) -> str:
    """Returns the step of a run, and its rollouts where they are known."""
    rollouts = "" if run["rollouts"] is None else f", {run['rollouts']:,} rollouts"
    return f"[dim]step {run['step']}{rollouts}[/]"


def _two_lines(value: Mapping[str, Any]) -> str:
    """Returns an estimate above its interval, so that a table fits into 80 columns."""
    return estimate_text(value).replace(" (", "\n(", 1)


def _word(record: Mapping[str, Any], k: int) -> str:
    """Returns the coloured verdict of an arm at one k."""
    word = record["against_base"][str(k)]["verdict"]
    return f"[{COLOURS[word]}]{word}[/]"


def shown_ks(ks: Sequence[int]) -> list[int]:
    """Returns, for 1, 16 and 256, the nearest k that was measured, each once."""
    nearest = [min(ks, key=lambda k: abs(k - wanted)) for wanted in COLUMNS]
    return list(dict.fromkeys(nearest))


def estimate_text(value: Mapping[str, Any]) -> str:
    """Returns `0.281 (0.24 to 0.33)`."""
    if value["lo"] is None:
        return f"{value['estimate']:.3f} (cannot tell)"
    return f"{value['estimate']:.3f} ({value['lo']:.2f} to {value['hi']:.2f})"


def verdict_text(probe: Mapping[str, Any], k: int) -> str:
    """Returns the coloured verdict against step 0; a dash at step 0 itself."""
    if probe["against_base"] is None:
        return "-"
    return _word({"against_base": probe["against_base"]["k"]}, k)
