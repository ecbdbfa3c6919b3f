"""Judging: verdicts for stored draws, while further draws are made where the verifier allows it.

Owns: when a verifier is called, and that its verdicts reach the store.
Does not own: the verdicts themselves (`rlvr.verifiers`), which draws there are (`probes.sampling.probe`).

A verifier that works in processes of its own is called from a thread beside the engine: generation does not wait for
it. Any other verifier is called in turn, in the calling thread: it would gain nothing, and may need the main thread.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType

from tqdm.auto import tqdm

from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.problems import Problem
from rlvr.verifiers import Verifier
from rlvr.verifiers.verdicts import Verdict, account_for_truncation

JUDGE_CHUNK = 4096  # draws judged in one call
MAX_WAITING = 4  # batches that wait for their verdicts; then the engine waits

Rows = list[tuple[Draw, Verdict]]


class Judge:
    """Judges batches of draws and stores their verdicts; on leaving, all are stored, also after an error.

    Args:
        store: that holds the draws; only the calling thread writes to it.
        problems: by id.
        verifier: judges.
    """

    def __init__(self, store: ProbeStore, problems: Mapping[str, Problem], verifier: Verifier) -> None:
        self.store, self.problems, self.verifier = store, problems, verifier
        self._thread = ThreadPoolExecutor(1, "judge") if getattr(verifier, "uses_workers", False) else None
        self._waiting: deque[Future[Rows]] = deque()

    def add(self, draws: Sequence[Draw]) -> None:
        """Has these draws judged, and stores the verdicts that are ready."""
        if self._thread is None:
            self._keep(verdicts_of(draws, self.problems, self.verifier))
            return
        self._waiting.append(self._thread.submit(verdicts_of, draws, self.problems, self.verifier))
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > MAX_WAITING):
            self._keep(self._waiting.popleft().result())

    def __enter__(self) -> "Judge":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the verdicts that are still owed."""
        if self._thread is None:
            return
        try:
            while self._waiting:
                self._keep(self._waiting.popleft().result())
        finally:
            self._thread.shutdown(cancel_futures=True)

    def _keep(self, verdicts: Rows) -> None:
        self.store.add_verdicts(self.verifier.verifier_id, verdicts)


def judge(
    store: ProbeStore,
    problems: Mapping[str, Problem],
    verifier: Verifier,
    again: bool = False,
    show_progress: bool = False,
) -> int:
    """Judges stored draws of these problems that have no verdict or an `error`, or all of them; returns how many."""
    draws = store.draws() if again else store.unjudged(verifier.verifier_id)
    waiting = (draw for draw in draws if draw.problem_id in problems)
    return judge_draws(store, problems, verifier, waiting, show_progress)


def judge_draws(
    store: ProbeStore,
    problems: Mapping[str, Problem],
    verifier: Verifier,
    waiting: Iterator[Draw],
    show_progress: bool = False,
    chunk: int = JUDGE_CHUNK,
) -> int:
    """Judges draws, so many in one call, and stores the verdicts of each call; returns how many."""
    num_judged = 0
    with tqdm(desc="verdicts", unit="draw", leave=False, disable=not show_progress) as bar:
        while draws := list(islice(waiting, chunk)):
            store.add_verdicts(verifier.verifier_id, verdicts_of(draws, problems, verifier))
            num_judged += len(draws)
            bar.update(len(draws))
    return num_judged


def verdicts_of(draws: Sequence[Draw], problems: Mapping[str, Problem], verifier: Verifier) -> Rows:
    """Returns each draw with its verdict, truncation accounted for."""
    verdicts = verifier.verify([(problems[draw.problem_id], draw.completion) for draw in draws])
    judged = zip(draws, verdicts, strict=True)
    return [(draw, account_for_truncation(verdict, draw.truncated)) for draw, verdict in judged]
