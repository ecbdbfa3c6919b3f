"""`probes verify`: judge stored draws again.

Owns: its flags and what it prints.
Does not own: judging (`rlvr.verifiers`), what is judged (`probes.sampling.probe`).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from probes.commands.common.options import DIR, json_option
from probes.commands.common.output import print_json
from rlvr.console import echo

if TYPE_CHECKING:
    from probes.statistics.outcomes import Outcomes
    from probes.store.store import ProbeStore


@click.command()
@click.argument("store", type=DIR)
@click.option(
    "--verifier", required=True, metavar="V", help="As in a recipe, for example math or package.module:function."
)
@click.option("--again", is_flag=True, help="Judge also what this verifier version has judged.")
@click.option(
    "--prompt-think",
    help="Where reasoning stands: on, open or off, unless the verifier's own option says it. Default: as for the "
    "verdicts that STORE has.",
)
@json_option
def verify(store: Path, verifier: str, again: bool, prompt_think: str | None, as_json: bool) -> None:
    """Judge the draws of STORE with another verifier or another version of it; earlier verdicts stay beside the new."""
    from probes.sampling.judging import judge
    from probes.store.store import ProbeStore
    from rlvr.problems import ProblemSet
    from rlvr.problems.prompts import PromptFormat
    from rlvr.verifiers import thinks_of, verifier_for

    opened = ProbeStore.open_existing(store)
    rows = ProblemSet.of(str(store), opened.problems())
    think = PromptFormat(think=prompt_think or think_of_store(opened, verifier)).think
    problems, judging = rows.by_id, verifier_for(rows, verifier, think)
    judging.check_problems(list(rows))
    with opened.writing(problem_ids=()):
        earlier = {name: opened.outcomes(name) for name in opened.verifier_ids() if name != judging.verifier_id}
        num_judged = judge(opened, problems, judging, again, show_progress=not as_json)
    judging.close()
    now = opened.outcomes(judging.verifier_id)
    result = {
        "verifier": judging.verifier_id,
        "think": " and ".join(sorted(thinks_of(judging.verifier_id))),
        "num_judged": num_judged,
        "outcomes": now.tally(),
        "changed": {name: num_changed(before, now) for name, before in earlier.items()},
    }
    if as_json:
        print_json(result)
        return
    echo(f"{num_judged} draws judged by {judging.verifier_id}; reasoning: {result['think']}")
    echo(", ".join(f"{name} {number}" for name, number in now.tally().items()))
    for name, number in result["changed"].items():  # type: ignore[attr-defined]
        echo(f"{number} draws changed between correct and not correct, against {name}")
    owe = opened.plan() and now.owed(opened.plan())  # type: ignore[arg-type]
    if owe:
        echo(f"note: {len(owe)} problems owe draws under this verifier; `probes sample` with it makes them.")


def think_of_store(store: "ProbeStore", verifier: str) -> str:
    """Returns where reasoning stood for the verdicts that a store has; `on` where it has none.

    Raises:
        UsageError: they differ in it, and the verifier's text does not say it.
    """
    from rlvr.problems.spec import parse_spec
    from rlvr.verifiers import thinks_of

    found = set().union(*map(thinks_of, store.verifier_ids()))
    if len(found) > 1 and "think" not in parse_spec(verifier, field="--verifier").options:
        raise click.UsageError(
            f"{store.path} has verdicts with think {' and '.join(sorted(found))}; say which with --prompt-think."
        )
    return found.pop() if len(found) == 1 else "on"


def num_changed(before: "Outcomes", now: "Outcomes") -> int:
    """Returns how many judged draws are correct in exactly one of the two."""
    from probes.statistics.outcomes import CORRECT

    is_judged = (before.code_PD >= 0) & (now.code_PD >= 0)
    return int((((before.code_PD == CORRECT) != (now.code_PD == CORRECT)) & is_judged).sum())
