"""Small stores of draws with known outcomes, for tests of what a report reads."""

from collections.abc import Sequence
from pathlib import Path

from probes.store.arm import Sampling, declared_arm
from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.problems import Problem, ProblemSet
from rlvr.verifiers.verdicts import Outcome, Verdict

VERIFIER = "exact@1"


def make_store(path: Path, model: str, correct: Sequence[Sequence[bool]], text: str = "draw", **prompt: str) -> Path:
    """Returns a store in which draw j of problem i is correct where `correct[i][j]`."""
    problems = ProblemSet("small", tuple(Problem(f"question {i}", f"gold {i}") for i in range(len(correct))))
    store = ProbeStore.create(path, declared_arm(model, dict(prompt), Sampling()), problems)
    for problem, outcomes in zip(problems, correct, strict=True):
        key = problem.problem_id
        draws = [Draw(key, j, f"{text} {j}", 4, False, "imported") for j in range(len(outcomes))]
        store.add_draws(draws)
        verdicts = [(Outcome.CORRECT, "equal") if right else (Outcome.WRONG, "differs") for right in outcomes]
        rows = [(draws[j], Verdict(outcome, f"a{j}", why)) for j, (outcome, why) in enumerate(verdicts)]
        store.add_verdicts(VERIFIER, rows)
    return path
