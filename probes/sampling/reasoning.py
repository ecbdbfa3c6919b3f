"""Judging the reasoning of draws whose answer is right, for CoT-pass@k.

Owns: which verifier may do so, which draws it reads, and the id under which its verdicts are kept.
Does not own: what its verdicts come to (`probes.analyses.reasoning`).
"""

from collections.abc import Iterator

from probes.sampling.judging import judge_draws
from probes.statistics.outcomes import CORRECT, Outcomes
from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.errors import RecipeError
from rlvr.problems.spec import parse_spec
from rlvr.verifiers import Verifier, make_verifier
from rlvr.verifiers.verdicts import REASONING

FIELD = "--reasoning-judge"
CHUNK = 512  # draws judged in one call; their verdicts are stored before the next


def reasoning_judge(text: str) -> Verifier:
    """Returns a verifier that reads whole completions, with an id under which a store keeps verdicts on reasoning.

    Args:
        text: as in a recipe, for example `judge?rubric=reasoning&model=M` or `package.module:function`.

    Raises:
        RecipeError: it would read the answer only, or there is no such verifier.
    """
    spec = parse_spec(text, field=FIELD)
    if "think" in spec.options:
        raise RecipeError(f"{FIELD}: {text!r}: takes no think; the reasoning is read.")
    if spec.name == "judge" and "text" not in spec.options and spec.options.get("rubric", "answer") == "answer":
        raise RecipeError(f"{FIELD}: {text!r} judges answers; add rubric=reasoning, or a file with a rubric.")
    judge = make_verifier(text, think="off")
    judge.verifier_id = f"{REASONING}({judge.verifier_id})"
    return judge


def judge_reasoning(store: ProbeStore, answers: Outcomes, judge: Verifier, show_progress: bool = False) -> int:
    """Judges draws whose answer is correct and that have no verdict of this judge or an `error`; returns how many.

    Args:
        store: open for writing.
        answers: outcomes of the draws that count; others are not judged.
        judge: of `reasoning_judge`.
        show_progress: on standard error.
    """
    problems = {problem.problem_id: problem for problem in store.problems()}
    waiting = _waiting(store, answers, judge.verifier_id)
    return judge_draws(store, problems, judge, waiting, show_progress, chunk=CHUNK)


def _waiting(store: ProbeStore, answers: Outcomes, judge_id: str) -> Iterator[Draw]:
    """Yields the draws that the judge is to read."""
    correct = {key: row_D == CORRECT for key, row_D in zip(answers.problem_ids, answers.code_PD, strict=True)}
    for draw in store.unjudged(judge_id):
        is_correct_D = correct[draw.problem_id]
        if draw.draw_index < len(is_correct_D) and is_correct_D[draw.draw_index]:
            yield draw
