"""Agreement of the reward with a shadow verifier: counts of who called what correct, and the rates of false rewards.

    cells_of        of a batch, for the training's log
    pool_cells      their sums since the last log, over all processes, with both rates
    measure         of a whole training, from its log and from kept rollouts

`fpr` is the share of rewarded rollouts among those that the shadow does not call correct, `fnr` the share of not
rewarded ones among those that it does. Rollouts that either could not judge count nowhere.

A verdict is decided by problem and completion. Equal rollouts are no independent trials, and a training makes those
more frequent that are rewarded: rates over rollouts are what was learned from, and their intervals are too narrow.
`distinct` counts a completion of a problem once, when it is first seen: its verdict says nothing of whether it would
be. So these rates, with exact binomial intervals, are to be compared with the rates of a verifier (`fault`).

Owns: these counts, rates and intervals, and whether faults look like chance.
Does not own: the alarm on a reward that rises alone (`rlvr.rollouts.shadow`), judging, keeping.

Source: Clopper and Pearson 1934 (exact interval); Haldane 1940 (variance of the sum of squares of binomial samples).
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

from rlvr.verifiers.verdicts import Outcome

CONFIDENCE = 0.95
LEVEL = 1e-3  # of the test of first against second half
MAX_SIGMA = 5.0  # of the spread over problems
MIN_PROBLEMS = 10
FPR, FNR = "shadow/fpr", "shadow/fnr"


@dataclass(frozen=True)
class Cells:
    """How many rollouts the reward, and the shadow, called correct."""

    both: int = 0
    reward_only: int = 0
    shadow_only: int = 0
    neither: int = 0

    @property
    def fpr(self) -> "Rate":
        """Rewarded, of those that the shadow does not call correct."""
        return Rate.of(self.reward_only, self.reward_only + self.neither)

    @property
    def fnr(self) -> "Rate":
        """Not rewarded, of those that the shadow calls correct."""
        return Rate.of(self.shadow_only, self.shadow_only + self.both)


NAMES = tuple(vars(Cells()))


@dataclass(frozen=True)
class Rate:
    """A share with its exact 95 % interval; None where nothing was seen."""

    num_wrong: int
    num: int
    estimate: float | None
    lo: float | None
    hi: float | None

    @classmethod
    def of(cls, num_wrong: int, num: int) -> "Rate":
        """Returns the rate of `num_wrong` in `num`."""
        from scipy.stats import binomtest

        if num == 0:
            return cls(0, 0, None, None, None)
        ends = binomtest(num_wrong, num).proportion_ci(CONFIDENCE, "exact")
        return cls(num_wrong, num, num_wrong / num, float(ends.low), float(ends.high))


@dataclass(frozen=True)
class Trial:
    """A completion of a problem when it was first seen."""

    problem_id: str
    cell: str


def cell_of(rewarded: str, shadow: str) -> str | None:
    """Returns the cell of two outcomes; None where either verifier failed."""
    if Outcome.ERROR in (rewarded, shadow):
        return None
    table = {(True, True): "both", (True, False): "reward_only", (False, True): "shadow_only"}
    return table.get((rewarded == Outcome.CORRECT, shadow == Outcome.CORRECT), "neither")


def cells_of(rewarded: Sequence[Outcome], shadow: Sequence[Outcome]) -> Cells:
    """Returns the cells of a batch."""
    found = Counter(map(cell_of, rewarded, shadow))
    return Cells(*(found[name] for name in NAMES))


def logged_name(cell: str) -> str:
    """Returns the name of a cell in the training log."""
    return f"shadow/{cell}"


def pool_cells(metrics: MutableMapping[str, list[float]], num_processes: int) -> None:
    """Makes TRL's averages of these counts their sums, and adds both rates over them.

    Args:
        metrics: values since the last log, each a mean over the processes; TRL logs the mean of each list.
        num_processes: that each made a batch.
    """
    if any(logged_name(name) not in metrics for name in NAMES):
        return
    cells = Cells(*(round(sum(metrics[logged_name(name)]) * num_processes) for name in NAMES))
    values = {logged_name(name): float(count) for name, count in asdict(cells).items()}
    rates = {FPR: cells.fpr.estimate, FNR: cells.fnr.estimate}
    metrics.update({name: [value] for name, value in {**values, **rates}.items() if value is not None})


def measure(log_history: Sequence[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any] | None:
    """Returns what a shadow verifier says of a training's reward, as JSON; None of a training without one.

    Args:
        log_history: the trainer's; a step that was taken again after a restart counts once.
        rows: kept rollouts in the order of their steps, for the rates over distinct completions; read once.
    """
    logged = logged_cells(log_history)
    if not logged:
        return None
    whole = Cells(*(sum(column) for column in zip(*map(astuple, logged.values()), strict=True)))
    found = {"confidence": CONFIDENCE, "rollouts": _record(whole), "distinct": None, "systematic": None}
    if trials := first_seen(rows):
        found["distinct"] = _record(_count(trials))
        found["systematic"] = {
            "fpr": systematic(trials, "reward_only", "neither"),
            "fnr": systematic(trials, "shadow_only", "both"),
        }
    return found


def logged_cells(log_history: Sequence[Mapping[str, Any]]) -> dict[int, Cells]:
    """Returns the cells by logged step."""
    rows = {row["step"]: row for row in log_history if all(logged_name(name) in row for name in NAMES)}
    return {step: Cells(*(int(row[logged_name(name)]) for name in NAMES)) for step, row in sorted(rows.items())}


def first_seen(rows: Iterable[Mapping[str, Any]]) -> list[Trial]:
    """Returns each distinct completion of each problem once, in the order in which they were seen."""
    seen: set[bytes] = set()
    trials = []
    for row in rows:
        is_judged = row.get("outcome") and row.get("shadow_outcome")
        cell = cell_of(row["outcome"], row["shadow_outcome"]) if is_judged else None
        text = f"{row['problem_id']}\0{row['completion']}".encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(text, digest_size=12).digest()
        if cell is not None and key not in seen:
            seen.add(key)
            trials.append(Trial(str(row["problem_id"]), cell))
    return trials


def systematic(trials: Sequence[Trial], wrong: str, right: str) -> str | None:
    """Returns in what faults differ from chance of one rate, in words; None where nothing shows it.

    Faults of one rate are as frequent in the second half of the trials as in the first (Fisher's exact test), and
    spread over problems as coins do. What depends on something that is equally frequent all the time, and in all
    problems, is not told from chance.
    """
    at = [trial for trial in trials if trial.cell in (wrong, right)]
    halves = [Rate.of(sum(each.cell == wrong for each in half), len(half)) for half in _halves(at)]
    if _differ(*halves):
        return f"{halves[0].estimate:.3f} in the first half, {halves[1].estimate:.3f} in the second"
    if (sigma := _spread(at, wrong)) > MAX_SIGMA:
        return f"they gather in some problems (a spread of {sigma:.0f} standard errors above chance)"
    return None


def sentences(found: Mapping[str, Any]) -> list[str]:
    """Returns what a report says of the agreement."""
    said = [f"Against the shadow verifier, over all rollouts: {_words(found['rollouts'])}."]
    if found["distinct"]:
        said[0] = f"{said[0][:-1]}; over distinct completions: {_words(found['distinct'])}."
    names = {"fpr": "The reward's false successes", "fnr": "The reward's false failures"}
    said += [
        f"{names[key]} are not chance of one rate: {why}."
        for key, why in (found["systematic"] or {}).items()
        if why is not None
    ]
    return said


def _words(record: Mapping[str, Any]) -> str:
    """Returns both rates of a record in words."""
    parts = []
    for key, of in (("fpr", "not correct"), ("fnr", "correct")):
        rate = record[key]
        if rate["estimate"] is None:
            parts.append(f"{key} cannot be told (none is {of})")
            continue
        parts.append(f"{key} {rate['estimate']:.3f} [{rate['lo']:.3f}, {rate['hi']:.3f}] of {rate['num']:,} {of}")
    return ", ".join(parts)


def _record(cells: Cells) -> dict[str, Any]:
    return {"cells": asdict(cells), "fpr": asdict(cells.fpr), "fnr": asdict(cells.fnr)}


def _count(trials: Iterable[Trial]) -> Cells:
    found = Counter(trial.cell for trial in trials)
    return Cells(*(found[name] for name in NAMES))


def _halves(trials: Sequence[Trial]) -> tuple[Sequence[Trial], Sequence[Trial]]:
    return trials[: len(trials) // 2], trials[len(trials) // 2 :]


def _differ(first: Rate, second: Rate) -> bool:
    """Returns whether two rates differ clearly."""
    import numpy as np
    from scipy.stats import fisher_exact

    table = [[rate.num_wrong, rate.num - rate.num_wrong] for rate in (first, second)]
    return bool(fisher_exact(np.array(table)).pvalue < LEVEL)


def _spread(trials: Sequence[Trial], wrong: str) -> float:
    """Returns how far faults spread over problems beyond chance, in standard errors; 0 where it cannot be told."""
    num, num_wrong = (
        Counter(each.problem_id for each in trials),
        Counter(each.problem_id for each in trials if each.cell == wrong),
    )
    rate = num_wrong.total() / max(1, num.total())
    if len(num) < MIN_PROBLEMS or not 0 < rate < 1:
        return 0.0
    variance = rate * (1 - rate)
    excess = sum((num_wrong[key] - n * rate) ** 2 / (n * variance) - 1 for key, n in num.items())
    spread = sum(2 + (1 / variance - 6) / n for n in num.values())
    return excess / math.sqrt(spread) if spread > 0 else 0.0
