"""One probe: make the draws that a plan owes, judge them, keep both.

Owns: the loop from plan to verdicts, and the sharding of problems over processes.
Does not own: sampling (`probes.engines`), storage (`probes.store`), judging (`rlvr.verifiers`), estimates.

Read this first: it is the whole measurement in one screen.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from probes.engines import Engine, Request
from probes.plan import Plan
from probes.store import Draw, ProbeStore
from rlvr.problems import Problem, ProblemSet
from rlvr.prompts import PromptFormat
from rlvr.verdicts import Verdict, account_for_truncation
from rlvr.verifiers import Verifier

JUDGE_CHUNK = 4096  # draws judged in one call


def run_probe(
    engine: Engine,
    store: ProbeStore,
    problems: Sequence[Problem],
    prompts: Mapping[str, tuple[int, ...]],
    plan: Plan,
    verifier: Verifier,
    progress: Any = None,
) -> None:
    """Completes the draws and verdicts of these problems in the store.

    Draws that are stored already are used; draws that were stored and not judged are judged first.

    Args:
        engine: samples from the store's arm.
        store: of this arm, with a writer number of this process.
        problems: this process's share, see `shard`.
        prompts: prompt tokens by problem id.
        plan: decides which draws are owed.
        verifier: judges.
        progress: an object with `update(num_draws)`, for example tqdm; or None.
    """
    mine = {problem.problem_id: problem for problem in problems}
    judge(store, mine, verifier)
    for draws in engine.sample(owed_requests(store, problems, prompts, plan)):
        store.add_draws(draws)
        store.add_verdicts(verifier.verifier_id, verdicts_of(draws, mine, verifier))
        if progress is not None:
            progress.update(len(draws))


def owed_requests(
    store: ProbeStore, problems: Iterable[Problem], prompts: Mapping[str, tuple[int, ...]], plan: Plan
) -> Iterator[Request]:
    """Yields one request per problem that still owes draws."""
    stored = store.draw_indices()
    for problem in problems:
        owed = plan.owed(stored.get(problem.problem_id, set()))
        if owed:
            yield Request(problem.problem_id, prompts[problem.problem_id], tuple(owed))


def judge(store: ProbeStore, problems: Mapping[str, Problem], verifier: Verifier) -> int:
    """Judges stored draws of these problems that have no verdict or an `error`; returns how many."""
    waiting = [draw for draw in store.unjudged(verifier.verifier_id) if draw.problem_id in problems]
    for start in range(0, len(waiting), JUDGE_CHUNK):
        chunk = waiting[start : start + JUDGE_CHUNK]
        store.add_verdicts(verifier.verifier_id, verdicts_of(chunk, problems, verifier))
    return len(waiting)


def verdicts_of(
    draws: Sequence[Draw], problems: Mapping[str, Problem], verifier: Verifier
) -> list[tuple[str, int, Verdict]]:
    """Returns (problem_id, draw_index, verdict) of each draw, truncation accounted for."""
    verdicts = verifier.verify([(problems[draw.problem_id], draw.completion) for draw in draws])
    return [
        (draw.problem_id, draw.draw_index, account_for_truncation(verdict, draw.truncated))
        for draw, verdict in zip(draws, verdicts, strict=True)
    ]


def shard(problems: ProblemSet, process_index: int, num_processes: int) -> list[Problem]:
    """Returns every num_processes-th problem, starting with the process's own index."""
    return list(problems)[process_index::num_processes]


def tokenize_prompts(problems: ProblemSet, prompt_format: PromptFormat, tokenizer: Any) -> dict[str, tuple[int, ...]]:
    """Returns the prompt tokens by problem id."""
    return {problem.problem_id: tuple(prompt_format.token_ids(problem, tokenizer)) for problem in problems}
