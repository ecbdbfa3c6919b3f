"""Alternative texts: what a screen reader says in place of each figure, with its main numbers.

Owns: one function a figure, named after it.
Does not own: titles and captions (`plots`), drawings (`figures`), number formats (`words`).
"""

import math
from typing import get_args

from probes.report.figures import TRAINING_ROWS, training_rows
from probes.report.schema import Summary, VerdictWord
from probes.report.words import ends, first_and_last, number, percent, plural, signed, step_name


def curves_label(summary: Summary) -> str:
    """Returns the alternative text of the pass@k curves."""
    lines = [f"{step_name(probe)}: {ends(summary, probe)}" for probe in first_and_last(summary)]
    return f"Line chart of pass@k over k for {plural(len(summary['probes']), 'step')}. {'. '.join(lines)}."


def over_steps_label(summary: Summary) -> str:
    """Returns the alternative text of pass@k over steps."""
    lines = [f"{step_name(probe)}: {ends(summary, probe)}" for probe in first_and_last(summary)]
    return f"Line chart of pass@{summary['k'][0]} and pass@{summary['k'][-1]} over training steps. {'. '.join(lines)}."


def difference_label(summary: Summary) -> str:
    """Returns the alternative text of the difference to step 0."""
    compared = summary["probes"][-1]["against_base"]
    cells = compared["k"].items() if compared else []
    words = [f"k = {k}: {signed(cell['difference'])}, {cell['verdict']}" for k, cell in cells]
    return f"Difference in pass@k of the last step to step 0. {'; '.join(words)}."


def heat_map_label(summary: Summary) -> str:
    """Returns the alternative text of the heat map."""
    cells = [cell for p in summary["probes"] if p["against_base"] for cell in p["against_base"]["k"].values()]
    found = {word: sum(cell["verdict"] == word for cell in cells) for word in get_args(VerdictWord)}
    words = ", ".join(f"{count} {word}" for word, count in found.items())
    return f"Heat map of the difference in pass@k to step 0, steps by k. Of {len(cells)} cells: {words}."


def gained_label(summary: Summary) -> str:
    """Returns the alternative text of problems gained and lost."""
    words = [f"step {p['step']}: {len(p['gained'])} gained, {len(p['lost'])} lost" for p in summary["probes"][1:]]
    return f"Bar chart of problems gained and lost against step 0. {'; '.join(words)}."


def rates_label(summary: Summary) -> str:
    """Returns the alternative text of the rates of cut off and unanswered draws."""
    words = [
        f"{step_name(p)}: {percent(p['truncation_rate'])} cut off, {percent(p['no_answer_rate'])} without an answer"
        for p in first_and_last(summary)
    ]
    return f"Line chart over training steps. {'; '.join(words)}."


def outcomes_label(summary: Summary) -> str:
    """Returns the alternative text of the outcome shares."""
    words = []
    for probe in first_and_last(summary):
        total = max(1, sum(probe["outcomes"].values()))
        shares = [f"{percent(count / total)} {name}" for name, count in probe["outcomes"].items() if count]
        words.append(f"{step_name(probe)}: {', '.join(shares)}")
    return f"Stacked bars of outcomes among draws. {'; '.join(words)}."


def diversity_label(summary: Summary) -> str:
    """Returns the alternative text of distinct correct answers and mean tokens."""
    words = [
        f"{step_name(p)}: {number(p['distinct_correct'], 1)} distinct correct answers a problem, "
        f"{number(p['mean_tokens'], 1)} tokens a draw"
        for p in first_and_last(summary)
    ]
    return f"Line charts over training steps. {'; '.join(words)}."


def training_label(summary: Summary) -> str:
    """Returns the alternative text of the training curves: first and last value of each."""
    words = []
    for key in training_rows(summary):
        values = [value for value in summary["training"][key] if value is not None and not math.isnan(value)]
        words.append(f"{TRAINING_ROWS[key]} from {values[0]:.3g} to {values[-1]:.3g}")
    return f"Line charts over training steps: {'; '.join(words)}."
