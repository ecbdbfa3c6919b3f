"""A pool of worker processes that are killed when a task takes too long.

Owns: starting, limiting, killing and replacing workers, and what became of each task.
Does not own: what a task computes, and what its failure means to whoever asked for it (`rlvr.verifiers.base`).

Workers are forks of a clean server process (multiprocessing's forkserver), never of the parent, which may hold torch
and its threads. The server has imported the task's module, so that a killed worker is replaced in milliseconds.
Neither imports the parent's main script: a script needs no `if __name__ == "__main__"` guard. A process has one such
server: the pool that starts first decides what it has imported, and workers of another pool import their module
themselves.
"""

import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from pebble import ProcessExpired, ProcessPool

STARTUP_S = 120.0  # longest wait for a worker's imports on a loaded machine
WAIT_FACTOR = 10  # longest time of a task on the clock, in deadlines
MAX_GROUP = 16  # tasks that a worker is given at a time
GROUPS_PER_WORKER = 2_000  # bounds what caches inside the libraries can hold
DEFAULT_MEMORY_BYTES = 2 * 1024**3

_main_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """What became of a task without a result.

    Attributes:
        over_limit: whether the task exceeded the deadline, the memory or the recursion limit; else something failed.
        reason: one line for a person.
    """

    over_limit: bool
    reason: str


class WorkerPool:
    """Runs a function in killable processes; starts at the first task and again after `close`.

    Attributes:
        module: that workers import before deadlines count.
        function: name of its function that is called in the worker. Its result must be small and picklable.
        prepare: name of its function that a new worker calls first, for what a server of workers must not do itself.
        num_workers: how many tasks run at a time.
        deadline_s: longest processor time of one task. A machine that is busy with other work does not change a
            verdict. A task that waits and does not compute is stopped after `WAIT_FACTOR` times as long.
        max_memory_bytes: address space of one worker.
    """

    def __init__(
        self,
        module: str,
        function: str,
        num_workers: int | None = None,
        deadline_s: float = 5.0,
        max_memory_bytes: int = DEFAULT_MEMORY_BYTES,
        prepare: str | None = None,
    ) -> None:
        self.module = module
        self.prepare = prepare
        self.function = function
        self.num_workers = default_num_workers() if num_workers is None else num_workers
        self.deadline_s = deadline_s
        self.max_memory_bytes = max_memory_bytes
        self._pool: ProcessPool | None = None

    @property
    def running(self) -> bool:
        """Whether workers have been started."""
        return self._pool is not None

    def run(self, tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Returns `function(*task)`, or a `TaskFailure`, for each task in order.

        Tasks go to the workers in groups. Those of a group whose worker was killed are run again one by one, and once
        more if the pool itself broke.
        """
        results: dict[int, Any] = {}
        for size in (self._group_size(len(tasks)), 1, 1):
            owed = [index for index in range(len(tasks)) if index not in results]
            groups = [tuple(owed[start : start + size]) for start in range(0, len(owed), size)]
            results |= self._attempt(groups, tasks)
        lost = TaskFailure(over_limit=False, reason="the verifier's workers could not start or were lost")
        return [results.get(index, lost) for index in range(len(tasks))]

    def close(self) -> None:
        """Kills the workers."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()
            pool.join()

    def _group_size(self, num_tasks: int) -> int:
        """Returns how many tasks go together: more of them cost less each, and keep fewer workers busy."""
        return max(1, min(MAX_GROUP, num_tasks // (2 * self.num_workers)))

    def _attempt(self, groups: Sequence[tuple[int, ...]], tasks: Sequence[tuple[Any, ...]]) -> dict[int, Any]:
        """Returns the results of tasks, by index, whose groups were not lost; closes a pool that broke."""
        results: dict[int, Any] = {}
        try:
            futures = [self._schedule([tasks[index] for index in group]) for group in groups]
            for group, future in zip(groups, futures, strict=True):
                wait([future], timeout=self._longest_s(len(group)) + STARTUP_S)  # groups start in order
                if not future.done():
                    raise BrokenProcessPool
                results |= self._results(group, future)
        except (BrokenProcessPool, CancelledError, RuntimeError):  # RuntimeError: it broke while it was idle
            self.close()
        return results

    def _longest_s(self, num_tasks: int) -> float:
        """Returns the longest time of a group on the clock."""
        return WAIT_FACTOR * self.deadline_s * num_tasks + 1.0

    def _schedule(self, tasks: Sequence[tuple[Any, ...]]) -> "Future[list[Any]]":
        """Returns the future of a group, starting the pool if need be."""
        if self._pool is None:
            self._pool = ProcessPool(
                max_workers=self.num_workers,
                max_tasks=GROUPS_PER_WORKER,
                initializer=_prepare_worker,
                initargs=(self.module, self.prepare, self.max_memory_bytes),
                context=_context(self.module),
            )
        args = (self.module, self.function, self.deadline_s, tasks)
        future: Future[list[Any]] = self._pool.schedule(_run_group, args=args, timeout=self._longest_s(len(tasks)))
        return future

    def _results(self, group: tuple[int, ...], future: "Future[list[Any]]") -> dict[int, Any]:
        """Returns the results of a finished group; a group that failed as a whole has some only if it is one task."""
        try:
            return dict(zip(group, future.result(), strict=True))
        except (BrokenProcessPool, CancelledError):
            raise
        except Exception as error:
            return {group[0]: self._failure(error)} if len(group) == 1 else {}

    def _failure(self, error: Exception) -> TaskFailure:
        """Returns what an exception of a future says of its task."""
        is_late = isinstance(error, ProcessExpired) and -error.exitcode in (signal.SIGPROF, signal.SIGALRM)
        if is_late or isinstance(error, TimeoutError):
            return TaskFailure(over_limit=True, reason=f"exceeded the deadline of {self.deadline_s:g} s")
        if isinstance(error, ProcessExpired):
            return TaskFailure(over_limit=False, reason=f"the verifier's worker died (exit code {error.exitcode})")
        return _failure_of(error)  # the result could not be sent


def _failure_of(error: BaseException) -> TaskFailure:
    """Returns the failure of a task that an exception ended."""
    return TaskFailure(over_limit=False, reason=f"{type(error).__name__}: {error}"[:500])


def default_num_workers() -> int:
    """Returns this process's share of the cores, from 1 to 8 (`LOCAL_WORLD_SIZE` processes share a machine)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, min(8, cores // max(1, int(local) if local.isdecimal() else 1)))


def _prepare_worker(module: str, prepare: str | None, max_memory_bytes: int) -> None:
    """Limits a new worker, imports its module and lets it prepare."""
    import resource

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a handler would wait for a long C call to return
    for timer in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(timer, signal.SIG_DFL)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = max_memory_bytes if hard == resource.RLIM_INFINITY else min(max_memory_bytes, hard)
    with contextlib.suppress(ValueError, OSError):  # not every system can limit address space
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    imported = importlib.import_module(module)
    if prepare is not None:
        getattr(imported, prepare)()


def _run_group(module: str, function: str, deadline_s: float, tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Returns, in the worker, the function's results, or what stopped them."""
    called = getattr(sys.modules[module], function)
    return [_run_limited(called, deadline_s, task) for task in tasks]


def _run_limited(called: Callable[..., Any], deadline_s: float, task: tuple[Any, ...]) -> Any:
    """Returns the function's result for a task or what stopped it; the kernel ends the process at the deadline."""
    signal.setitimer(signal.ITIMER_PROF, deadline_s)
    signal.setitimer(signal.ITIMER_REAL, WAIT_FACTOR * deadline_s)
    try:
        return called(*task)
    except (MemoryError, RecursionError) as error:
        what = "memory" if isinstance(error, MemoryError) else "recursion"
        return TaskFailure(over_limit=True, reason=f"exceeded the {what} limit")
    except BaseException as error:  # SystemExit too: raised in the parent, it would end the run
        return _failure_of(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def _main_script_hidden() -> Iterator[None]:
    """Hides where the main script is, so that a process started meanwhile does not import it."""
    main = sys.modules["__main__"]
    with _main_lock:
        hidden: dict[str, Any] = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
        vars(main).update(dict.fromkeys(hidden))
        try:
            yield
        finally:
            vars(main).update(hidden)


@contextlib.contextmanager
def _hash_seed_fixed() -> Iterator[None]:
    """Gives a process started meanwhile a fixed hash seed, so that the order of its sets is the same in every run."""
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONHASHSEED"]
        else:
            os.environ["PYTHONHASHSEED"] = before


class _WorkerProcess(ForkServerProcess):
    """A fork of the server, which does not import the parent's main script, and has a fixed hash seed."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _main_script_hidden(), _hash_seed_fixed():
            return ForkServerProcess._Popen(process_obj)


class _WorkerContext(ForkServerContext):
    """Multiprocessing context of `_WorkerProcess`."""

    Process = _WorkerProcess


def _context(module: str) -> _WorkerContext:
    """Returns the context of workers whose server imports a module, unless it runs already."""
    context = _WorkerContext()
    context.set_forkserver_preload([module])
    return context
