"""Alternative texts: what a screen reader says in place of each figure, with its main numbers.

Owns: one function a figure, named after it.
Does not own: titles and captions (`plots`), drawings (`figures`), number formats (`words`).
"""

import math
from typing import get_args

from probes.report.figures import TRAINING_ROWS, entropy_panels, perplexity_of, training_rows
from probes.report.words import ends, step_name
from probes.results.cautions import first_and_last
from probes.results.formatting import count, number, percent, plural, signed
from probes.results.schema import Probe, Summary, VerdictWord


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
    return f"Difference in pass@k of the last probe to the first. {'; '.join(words)}."


def heat_map_label(summary: Summary) -> str:
    """Returns the alternative text of the heat map."""
    cells = [cell for p in summary["probes"] if p["against_base"] for cell in p["against_base"]["k"].values()]
    found = {word: sum(cell["verdict"] == word for cell in cells) for word in get_args(VerdictWord)}
    words = ", ".join(f"{count} {word}" for word, count in found.items())
    return f"Heat map of the difference in pass@k to the base, steps by k. Of {len(cells)} cells: {words}."


def gained_label(summary: Summary) -> str:
    """Returns the alternative text of problems gained and lost."""
    words = [f"{p['label']}: {len(p['gained'])} gained, {len(p['lost'])} lost" for p in summary["probes"][1:]]
    return f"Bar chart of problems gained and lost against the base. {'; '.join(words)}."


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


def entropy_label(summary: Summary) -> str:
    """Returns the alternative text of entropy against coverage."""
    k = str(summary["k"][-1])
    words = []
    for name, values in entropy_panels(summary).items():
        pairs = zip(summary["probes"], values, strict=True)
        ends = [f"{number(v)} at {p['label']}, pass@{k} {number(_at(p, k))}" for p, v in pairs if v is not None]
        words.append(f"{name} {'; '.join(dict.fromkeys([ends[0], ends[-1]]))}")
    return f"Scatter plot of pass@{k} over entropy. {'. '.join(words)}."


def histogram_label(summary: Summary) -> str:
    """Returns the alternative text of the accuracy histogram."""
    words = []
    for place in dict.fromkeys((0, len(summary["probes"]) - 1)):
        counts = summary["studies"]["arms"][place]["histogram"]["num_problems"]
        words.append(
            f"{step_name(summary['probes'][place])}: {counts[0]} of {sum(counts)} problems at 0, {counts[-1]} at 1"
        )
    return f"Histogram of the accuracy of problems. {'. '.join(words)}."


def flow_label(summary: Summary) -> str:
    """Returns the alternative text of the flow of problems."""
    later = summary["probes"][1:]
    words = [
        f"to {probe['label']}: {step['lost']} lost, {step['gained']} gained"
        for probe, step in zip(later, summary["studies"]["flow"]["transitions"], strict=True)
    ]
    return f"Flow of problems between solved and unsolved. {'; '.join(words)}."


def cells_label(summary: Summary) -> str:
    """Returns the alternative text of the cells with the same-model null: the last probe's numbers."""
    last, pair = summary["probes"][-1], summary["studies"]["against_base"][-1]
    cells = last["against_base"]["cells"] if last["against_base"] else None
    rows = (("in all draws", cells), ("expected", pair["expected_cells"]), ("by chance", pair["same_model_null"]))
    words = [f"{name} {row['base_only']:.4g} and {row['rl_only']:.4g}" for name, row in rows if row]
    return f"Bar chart of problems solved by the base only and by {last['label']} only: {'; '.join(words)}."


def perplexity_label(summary: Summary) -> str:
    """Returns the alternative text of the perplexities."""
    words = []
    for key, name in (("own", "its own completions"), ("base", "those of the base")):
        if found := perplexity_of(summary, key):
            (first, before), (last, after) = found[0], found[-1]
            words.append(
                f"of {name} from {number(before['estimate'])} at step {first} to {number(after['estimate'])} at {last}"
            )
    return f"Line chart of perplexity over training steps: {'; '.join(words)}."


def cost_label(summary: Summary) -> str:
    """Returns the alternative text of the cost."""
    draws = sum(probe["cost"]["draws"] for probe in summary["probes"])
    fixed = sum(probe["cost"]["fixed_draws"] for probe in summary["probes"])
    spent = summary["probes"][-1]["cost"]
    return (
        f"Bars of cost by probe: {draws:,} draws in all, {fixed:,} with the same number for every problem; rollouts of "
        f"training {count(spent['rollouts'])}, tokens {count(spent['tokens'])}, seconds "
        f"{count(spent.get('train_seconds'))}."
    )


def _at(probe: Probe, k: str) -> float | None:
    """Returns pass@k of a probe."""
    return probe["pass@k"][k]["estimate"] if k in probe["pass@k"] else None
