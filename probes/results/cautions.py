"""Cautions: what a reader must know before believing a result.

Owns: the sentences on cut off draws, failures of the verifier, its modes, and repeated problems.
Does not own: the headline and what else a report says (`probes.report.words`).
"""

from probes.results.formatting import number, percent, plural
from probes.results.schema import Probe, Summary
from rlvr.verifiers.verdicts import modes_of

NOTEWORTHY_RATE = 0.05


def cautions(summary: Summary) -> list[str]:
    """Returns what a reader must know before believing the headline; the notes of the summary come last."""
    probes = summary["probes"]
    return [
        *_rate_cautions(probes),
        *_verifier_cautions(probes),
        *mode_cautions(summary),
        *_duplicates(summary["problems"]["num_duplicates"]),
        *summary.get("notes", []),
    ]


def _rate_cautions(probes: list[Probe]) -> list[str]:
    """Returns the rates of cut off and unanswered draws, first and last, with a warning where they can mislead."""
    first, last = probes[0], probes[-1]
    names = ("cut off at the token limit", "without an answer (unparsed or truncated)")
    pairs = [(p["truncation_rate"], p["no_answer_rate"]) for p in (first, last)]
    lines = []
    for name, before, after in zip(names, *pairs, strict=True):
        text = f"Draws {name}: {percent(before)} at {first['label']}"
        text += f", {percent(after)} at {last['label']}" if last is not first else ""
        if last is first:
            text += ". They count as not correct"
        elif before >= NOTEWORTHY_RATE or abs(after - before) >= NOTEWORTHY_RATE:
            text += ". They count as not correct, so part of a change in pass@k may be a change of format or length"
        lines.append(text + ".")
    return lines


def _verifier_cautions(probes: list[Probe]) -> list[str]:
    """Returns what is said of draws that the verifier could not judge, or judged too slowly."""
    lines = []
    for outcome, meaning in (
        ("error", "the verifier failed on them; pass@k leaves them out, and the table of bounds holds both extremes"),
        ("timeout", "their answer took the verifier longer than its deadline; they count as not correct"),
    ):
        counts = [(probe["label"], probe["all_outcomes"].get(outcome, 0)) for probe in probes]
        if found := [f"{count:,} at {label}" for label, count in counts if count]:
            lines.append(f"Draws with outcome {outcome}: {', '.join(found)}: {meaning}.")
    return lines


def mode_cautions(summary: Summary) -> list[str]:
    """Returns which mode of the verifier is shown and what pass@1 is in the other one, at first and last step."""
    found = [(probe["label"], modes) for probe in first_and_last(summary) if (modes := probe.get("modes"))]
    if not found:
        return []
    shown, other = modes_of(summary["verifier"])
    steps = [
        f"{number(each['other'], 3)} in place of {number(each['shown'], 3)} at {label} ({each['num_changed']:,} "
        f"draws differ)"
        for label, each in found
    ]
    return [
        f"Verifier mode: {shown} is shown. In the {other} mode, pass@1 over the first "
        f"{found[0][1]['num_draws']} draws of each problem is {', '.join(steps)}."
    ]


def _duplicates(count: int) -> list[str]:
    """Returns a line about repeated problems."""
    return [f"{plural(count, 'problem')} of the source repeated another one."] if count else []


def first_and_last(summary: Summary) -> list[Probe]:
    """Returns the first and the last probe, or the only one."""
    probes = summary["probes"]
    return probes if len(probes) == 1 else [probes[0], probes[-1]]
