"""One probe: make the draws that a plan owes, judge them, keep both.

Owns: what a measurement is, and the loop from plan to verdicts.
Does not own: sampling (`probes.engines`), storage (`probes.store`), judging (`probes.sampling.judging`), estimates.

Read this first: it is the whole measurement in one screen.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from probes.engines import Engine, Request
from probes.sampling.judging import Judge, judge
from probes.statistics.plan import Plan
from probes.store.arm import Sampling
from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.errors import EngineError
from rlvr.problems import Problem, ProblemSet
from rlvr.problems.prompts import Prompt, PromptFormat
from rlvr.verifiers import Verifier

FLUSH_DRAWS, FLUSH_S = 512, 5.0  # a batch becomes durable when it has so many draws, or is so old


@dataclass(frozen=True)
class Measurement:
    """What is measured, whatever engine does it.

    Attributes:
        problems: to draw for.
        verifier: judges the draws.
        plan: how many draws.
        sampling: temperature and limits of a draw.
        prompt_format: how problems are shown.
    """

    problems: ProblemSet
    verifier: Verifier
    plan: Plan
    sampling: Sampling = field(default_factory=Sampling)
    prompt_format: PromptFormat = field(default_factory=PromptFormat)


def run_probe(
    engine: Engine,
    store: ProbeStore,
    problems: Sequence[Problem],
    prompts: Mapping[str, Prompt],
    plan: Plan,
    verifier: Verifier,
    progress: Any = None,
) -> None:
    """Completes the draws and verdicts of these problems in the store, look by look.

    Draws that are stored already are used; draws that were stored and not judged are judged first.

    Args:
        engine: samples from the store's arm.
        store: of this arm, with a writer number of this process.
        problems: this process's share, see `probes.statistics.plan.shard`.
        prompts: by problem id.
        plan: decides which draws are owed.
        verifier: judges.
        progress: an object with `total`, `update(num_draws)` and `refresh()`, for example tqdm; or None.

    Raises:
        StoreError: another process writes as this writer or draws for these problems, or the disk is full.
        EngineError: the engine cannot go on. What it delivered is stored and judged.
    """
    mine = {problem.problem_id: problem for problem in problems}
    with store.writing(mine):
        judge(store, mine, verifier)
        while requests := owed_requests(store, mine, prompts, plan, verifier.verifier_id):
            expect(progress, sum(len(request.draw_indices) for request in requests))
            num_delivered = 0
            with Judge(store, mine, verifier) as judging:
                for draws in batched(engine.sample(requests)):
                    num_delivered += len(draws)
                    store.add_draws(draws)
                    judging.add(draws)
                    if progress is not None:
                        progress.update(len(draws))
            if not num_delivered:
                raise EngineError(f"{store.path}: the engine {engine.name} delivered no draw; check its output.")


def owed_requests(
    store: ProbeStore, problems: Iterable[str], prompts: Mapping[str, Prompt], plan: Plan, verifier_id: str
) -> list[Request]:
    """Returns one request for each of these problems that owes draws up to its next look."""
    owed = store.outcomes(verifier_id).of(set(problems)).owed(plan)
    return [Request(problem_id, prompts[problem_id], indices) for problem_id, indices in owed.items()]


def expect(progress: Any, num_draws: int) -> None:
    """Tells a progress bar how many draws are known to come."""
    if progress is not None:
        progress.total = (progress.total or 0) + num_draws
        progress.refresh()


def batched(stream: Iterator[Sequence[Draw]]) -> Iterator[list[Draw]]:
    """Yields the draws of a stream in batches worth a write to disk; what came before an error is yielded first."""
    batch: list[Draw] = []
    started = time.monotonic()
    try:
        for draws in stream:
            batch.extend(draws)
            if len(batch) >= FLUSH_DRAWS or (batch and time.monotonic() - started >= FLUSH_S):
                yield batch
                batch, started = [], time.monotonic()
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def render_prompts(problems: ProblemSet, prompt_format: PromptFormat, tokenizer: Any) -> dict[str, Prompt]:
    """Returns the prompts by problem id; without tokens where `tokenizer` is None."""
    return {problem.problem_id: prompt_format.prompt(problem, tokenizer) for problem in problems}
