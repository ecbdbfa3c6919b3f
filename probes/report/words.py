"""The report in words: the headline, what verdicts mean, names of steps.

Owns: sentences computed from a summary.
Does not own: number formats (`probes.results.formatting`), cautions (`probes.results.cautions`), what a screen reader
says in place of a figure (`figures.labels`), tables and the page (`page`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from probes.results.formatting import NONE, number
from probes.results.schema import Difference, Probe, Summary, VerdictWord

_ONE_DRAW: dict[VerdictWord, str] = {
    "gain": "A single draw is correct more often than at {base}",
    "loss": "A single draw is correct less often than at {base}",
    "cannot tell": "Whether a single draw is correct more or less often than at {base} cannot be told",
}
_MANY_DRAWS: dict[VerdictWord, str] = {
    "gain": "more of these problems are solved within {k} draws: the boundary moved out",
    "loss": "fewer of these problems are solved within {k} draws: the model reaches less than its base",
    "cannot tell": "whether more or fewer of these problems are solved within {k} draws cannot be told",
}


def headline(summary: Summary) -> str:
    """Returns the result on one line: pass@1 and pass@k_max of the first and the last probe, verdicts, crossing."""
    first, last = summary["probes"][0], summary["probes"][-1]
    if last["against_base"] is None:
        values = [f"pass@{k} {number(_estimate(first, k))}" for k in _two_ks(summary["k"])]
        return f"{'; '.join(values)} at {first['label']}; nothing later to compare with"
    against = last["against_base"]
    return change(summary["k"], first["pass@k"], last["pass@k"], against["k"], against["crossing"])


def change(
    ks: Sequence[int],
    before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
    differences: Mapping[str, Difference],
    crossing: Sequence[int] | None,
) -> str:
    """Returns what changed on one line: values and verdicts at both ends, the crossing, where it cannot be told.

    Args:
        ks: numbers of attempts.
        before: estimates of the base by k.
        after: estimates of the other by k.
        differences: with verdicts, by k.
        crossing: the interval of k in which gain turns into loss.
    """
    parts = [_change(before, after, differences, k) for k in _two_ks(ks)]
    if crossing:
        low, high = crossing[0], crossing[-1]
        parts.append(f"crosses between k = {low} and {high}" if low != high else f"crosses at k = {low}")
    between = ks[1:-1]
    open_ks = [k for k in between if str(k) in differences and differences[str(k)]["verdict"] == "cannot tell"]
    if open_ks:
        parts.append(f"cannot tell at k = {_ranges(open_ks, ks)}")
    return "; ".join(parts)


def table_columns(ks: list[int]) -> list[int]:
    """Returns the k of the main table: those nearest to 1, 16 and 256 by ratio, and the largest."""
    nearest = [min(ks, key=lambda k: abs(math.log(k / wanted))) for wanted in (1, 16, 256)]
    return sorted({*nearest, ks[-1]})


def _two_ks(ks: Sequence[int]) -> list[int]:
    """Returns the smallest and the largest k, once where they are the same."""
    return sorted({ks[0], ks[-1]})


def _ranges(chosen: Sequence[int], ks: Sequence[int]) -> str:
    """Returns `2, 8 to 64`: neighbours on the grid of k drawn together."""
    runs: list[list[int]] = []
    for k in chosen:
        if runs and ks.index(k) == ks.index(runs[-1][-1]) + 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def reading(summary: Summary) -> str:
    """Returns what the verdicts at the smallest and the largest k say, as a sentence; empty without a comparison."""
    compared = summary["probes"][-1]["against_base"]
    ends = [compared["k"].get(str(k)) for k in (summary["k"][0], summary["k"][-1])] if compared else []
    if len(summary["k"]) < 2 or not ends or None in ends:
        return ""
    small, large = (end["verdict"] for end in ends if end)
    base, last = summary["probes"][0]["label"], summary["probes"][-1]["label"]
    joint = "but" if {small, large} == {"gain", "loss"} else "and"
    one, many = _ONE_DRAW[small].format(base=base), _MANY_DRAWS[large].format(k=summary["k"][-1])
    return f"{_capital(last)}: {one}, {joint} {many}."


def _change(
    before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
    differences: Mapping[str, Difference],
    k: int,
) -> str:
    """Returns `pass@k before → after (verdict)`."""
    ends = [rows.get(str(k), {}).get("estimate") for rows in (before, after)]
    decimals = _decimals(*ends)
    verdict = f" ({differences[str(k)]['verdict']})" if str(k) in differences else ""
    return f"pass@{k} {number(ends[0], decimals)} → {number(ends[1], decimals)}{verdict}"


def _decimals(before: float | None, after: float | None) -> int:
    """Returns 2, or more where two decimals would print a value as 0 or 1, or two different values alike."""
    values = [value for value in (before, after) if value is not None and not math.isnan(value)]
    for decimals in (2, 3):
        shown = [f"{value:.{decimals}f}" for value in values]
        false_end = any(
            float(text) in (0, 1) and float(text) != value for text, value in zip(shown, values, strict=True)
        )
        if not false_end and len(set(shown)) == len(set(values)):
            return decimals
    return 4


def plan(value: Mapping[str, Any]) -> str:
    """Returns when problems stop, in words."""
    looks = value.get("looks") or []
    if len(looks) < 2:
        return f"{looks[0]:,} draws for every problem" if looks else NONE
    text = f"looks at {', '.join(f'{look:,}' for look in looks)} draws"
    if value.get("stop_at"):
        text += f"; a problem stops at {value['stop_at']} successes"
    return f"{text}, or without any at {value['give_up_at']:,}" if value.get("give_up_at") else text


def ends(summary: Summary, probe: Probe) -> str:
    """Returns a probe's pass@k at the smallest and the largest k."""
    return ", ".join(f"pass@{k} {number(_estimate(probe, k))}" for k in sorted({summary["k"][0], summary["k"][-1]}))


def _estimate(probe: Probe, k: int) -> float | None:
    """Returns pass@k of a probe, or None where it has none at this k."""
    found = probe["pass@k"].get(str(k))
    return found["estimate"] if found else None


def step_name(probe: Probe) -> str:
    """Returns a probe's label at the start of a sentence; the first one is named as the base."""
    return f"{_capital(probe['label'])}{' (base)' if probe['step'] == 0 else ''}"


def _capital(label: str) -> str:
    """Returns `Step 5` for `step 5`; the name of a store stays as it is."""
    return f"Step {label.removeprefix('step ')}" if label.startswith("step ") else label


def place(probe: Probe) -> str:
    """Returns a probe's name in a column of steps, or of stores."""
    name = probe["label"].removeprefix("step ")
    return f"{name} (base)" if probe["step"] == 0 else name


def places(summary: Summary) -> str:
    """Returns what that column is of: `step` in a run, `draws of` where stores are compared."""
    return "step" if all(probe["label"] == f"step {probe['step']}" for probe in summary["probes"]) else "draws of"
