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


@click.command()
@click.argument("store", type=DIR)
@click.option(
    "--verifier", required=True, metavar="V", help="As in a recipe, for example math or package.module:function."
)
@click.option("--again", is_flag=True, help="Judge also what this verifier version has judged.")
@json_option
def verify(store: Path, verifier: str, again: bool, as_json: bool) -> None:
    """Judge the draws of STORE with another verifier or another version of it; earlier verdicts stay beside the new."""
    from probes.sampling.judging import judge
    from probes.store.store import ProbeStore
    from rlvr.verifiers import make_verifier

    opened, judging = ProbeStore.open_existing(store), make_verifier(verifier)
    problems = {problem.problem_id: problem for problem in opened.problems()}
    judging.check_problems(list(problems.values()))
    with opened.writing(problem_ids=()):
        earlier = {name: opened.outcomes(name) for name in opened.verifier_ids() if name != judging.verifier_id}
        num_judged = judge(opened, problems, judging, again, show_progress=not as_json)
    judging.close()
    now = opened.outcomes(judging.verifier_id)
    result = {
        "verifier": judging.verifier_id,
        "num_judged": num_judged,
        "outcomes": now.tally(),
        "changed": {name: num_changed(before, now) for name, before in earlier.items()},
    }
    if as_json:
        print_json(result)
        return
    echo(f"{num_judged} draws judged by {judging.verifier_id}")
    echo(", ".join(f"{name} {number}" for name, number in now.tally().items()))
    for name, number in result["changed"].items():  # type: ignore[attr-defined]
        echo(f"{number} draws changed between correct and not correct, against {name}")
    owe = opened.plan() and now.owed(opened.plan())  # type: ignore[arg-type]
    if owe:
        echo(f"note: {len(owe)} problems owe draws under this verifier; `probes sample` with it makes them.")


def num_changed(before: "Outcomes", now: "Outcomes") -> int:
    """Returns how many judged draws are correct in exactly one of the two."""
    from probes.statistics.outcomes import CORRECT

    is_judged = (before.code_PD >= 0) & (now.code_PD >= 0)
    return int((((before.code_PD == CORRECT) != (now.code_PD == CORRECT)) & is_judged).sum())
