"""A pool of worker processes that judge one task each and are killed when it takes too long.

Owns: starting servers of workers at a level of isolation, replacing one that is lost, and what became of each task.
Does not own: the inside of a server (`rlvr.sandbox.server`), what a task computes, and what its failure means to
whoever asked for it (`rlvr.verifiers.base`).

Each of a pool's servers is a new interpreter that has imported the task's module, and forks a worker for every task. So
a task costs milliseconds, and nothing that happens in one worker is there for another. Tasks and results are JSON: a
worker may have been taken over by the text that it judges, and what comes from it is data to be checked.
"""

import json
import math
import os
import sys
import sysconfig
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from rlvr.sandbox.child import Child, ChildError, DeadlineError, StartError
from rlvr.sandbox.levels import ENVIRONMENT, LEVELS, Guest, Limits, Sandbox
from rlvr.sandbox.seccomp import worker_filter
from rlvr.sandbox.server import MAX_REASON_CHARS, MAX_RESULT_BYTES, READY, TIMERS, WAIT_FACTOR, Asked

STARTUP_S = 120.0  # longest wait for a server's imports on a loaded machine
START_AFTER_S = 0.5  # a further server is started where tasks are left after so long, per server
GRACE_S = 10.0  # from the end of a task's time, preparation included, to its server's reply on a loaded machine
ATTEMPTS = 2  # a task whose server was lost is given to another one
# Memory in large pages has fewer entries to copy: a fork of a server takes a third of the time. The C library looks at
# the kernel's settings first.
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")
CHEAP_TO_FORK = (("PYTHONMALLOC", "malloc"), ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"))
DEFAULT_MEMORY_BYTES = 2 * 1024**3

Result = TypeVar("Result")
Task = tuple[Any, ...]


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
        module: that servers import before deadlines count.
        function: name of its function that a worker calls; its result must be JSON.
        prepare: name of its function that a server calls before each task, with the same arguments: for what workers
            shall find ready. It must not look at text that a model wrote.
        rehearse: name of its function that a server calls after each reply, with nothing: for what makes later tasks
            faster. Its time counts for no task, and must be short.
        num_workers: how many tasks run at a time.
        deadline_s: longest processor time of one task. A machine that is busy with other work does not change a
            verdict. A task that waits and does not compute is stopped after `WAIT_FACTOR` times as long.
        max_memory_bytes: address space of one worker.
        isolation: level of the servers: `namespace`, `process` or `none` (docs/isolation.md).
    """

    def __init__(
        self,
        module: str,
        function: str,
        num_workers: int | None = None,
        deadline_s: float = 5.0,
        max_memory_bytes: int = DEFAULT_MEMORY_BYTES,
        prepare: str | None = None,
        rehearse: str | None = None,
        isolation: str = "process",
    ) -> None:
        self.module = module
        self.prepare, self.rehearse = prepare, rehearse
        self.function = function
        self.num_workers = default_num_workers() if num_workers is None else num_workers
        self.deadline_s = deadline_s
        self.max_memory_bytes = max_memory_bytes
        self.isolation = isolation
        self._crew: _Crew | None = None

    @property
    def running(self) -> bool:
        """Whether workers have been started."""
        return self._crew is not None

    def run(self, tasks: Sequence[Task], read: Callable[[Any], Result]) -> list[Result | TaskFailure]:
        """Returns the result of `function(*task)`, or a `TaskFailure`, for each task in order.

        Args:
            tasks: arguments that are JSON.
            read: takes what a worker sent, which is any JSON value, and returns the result that it stands for;
                raises `ValueError` where it is none.
        """
        if not tasks:
            return []
        if self._crew is None:
            self._crew = _Crew(self.num_workers, self._setup(), _sandbox_of(self))
        return self._crew.run([Asked(list(task), self.deadline_s) for task in tasks], read)

    def close(self) -> None:
        """Kills the workers."""
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()

    def _setup(self) -> dict[str, Any]:
        """Returns what a server is told when it starts."""
        return {
            "role": "server",
            "limits": {"RLIMIT_AS": self.max_memory_bytes, "RLIMIT_CORE": 0},
            "path": [str(each.absolute()) for each in (*map(Path, sys.path), *_parents_of(self.module, __name__))],
            "module": self.module,
            "function": self.function,
            "prepare": self.prepare,
            "rehearse": self.rehearse,
            "filter": worker_filter().hex() if self.isolation == "namespace" else "",
        }


class _Crew:
    """The servers of a running pool, and threads that wait for them.

    A sandbox ends with the thread that started it, so the threads stay as long as the servers.
    """

    def __init__(self, num_workers: int, setup: dict[str, Any], sandbox: Sandbox) -> None:
        self.setup = setup
        self.sandbox = sandbox
        self._num_workers = num_workers
        self._threads = ThreadPoolExecutor(num_workers, thread_name_prefix="judge")
        self._is_closed = False
        self._idle: list[_Server] = []
        self._open: set[_Server] = set()
        self._finalizer = weakref.finalize(self, _close_all, self._open)

    def run(self, tasks: Sequence[Asked], read: Callable[[Any], Result]) -> list[Result | TaskFailure]:
        """Returns what each task came to; servers are started while there are tasks for them."""
        results: dict[int, Result | TaskFailure] = {}
        waiting = iter(enumerate(tasks))  # `next` on it is one step: no two threads get the same task
        finished = threading.Event()

        def work(number: int) -> None:
            if number and not self._idle:
                finished.wait(number * START_AFTER_S)
            for index, task in waiting:
                results[index] = self._judge(task, read)
            finished.set()

        futures = [self._threads.submit(work, number) for number in range(min(self._num_workers, len(tasks)))]
        for future in futures:
            future.result()
        return [results[index] for index in range(len(tasks))]

    def _judge(self, task: Asked, read: Callable[[Any], Result]) -> Result | TaskFailure:
        """Returns what a task came to; a second server is tried where the first one was lost."""
        failure = TaskFailure(over_limit=False, reason="the verifier's workers were closed")
        for _ in range(0 if self._is_closed else ATTEMPTS):
            try:
                server = self._idle_server()
            except (ChildError, OSError) as error:
                return TaskFailure(over_limit=False, reason=f"the verifier's workers could not start: {error}")
            try:
                server.child.send(json.dumps(task._asdict()).encode())
                reply = server.child.receive(time.monotonic() + 2 * WAIT_FACTOR * task.deadline_s + GRACE_S)
            except ChildError as error:
                failure = self._lost(server, error, task.deadline_s)
            else:
                self._idle.append(server)
                return _result_of(reply, read)
            if failure.over_limit:
                break
        return failure

    def close(self) -> None:
        """Kills the servers, also where threads still wait for them."""
        self._is_closed = True
        for server in list(self._open):
            server.kill()
        self._threads.shutdown(cancel_futures=True)
        self._finalizer()

    def _idle_server(self) -> "_Server":
        """Returns a server that has nothing to do, started if need be.

        Raises:
            ChildError: it does not start, or cannot import what it must.
        """
        with suppress(IndexError):
            return self._idle.pop()
        server = _Server(self.sandbox)
        self._open.add(server)
        try:
            server.begin(self.setup)
        except BaseException:
            self._dismiss(server)
            raise
        return server

    def _dismiss(self, server: "_Server") -> None:
        """Kills a server."""
        self._open.discard(server)
        server.close()

    def _lost(self, server: "_Server", error: ChildError, deadline_s: float) -> TaskFailure:
        """Returns the failure of a task whose server gave no reply; the server is killed."""
        self._dismiss(server)
        if isinstance(error, DeadlineError) or -server.child.exit_code() in TIMERS:
            return TaskFailure(over_limit=True, reason=f"exceeded the deadline of {deadline_s:g} s")
        return TaskFailure(over_limit=False, reason=f"the verifier's worker was lost: {error}")


class _Server:
    """One server in its sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._context = ExitStack()
        self.child: Child = self._context.enter_context(sandbox.start(forks=True))

    def begin(self, setup: dict[str, Any]) -> None:
        """Waits until it is ready; raises `ChildError` where it will not be."""
        self.child.begin(setup)
        try:
            said = self.child.receive(time.monotonic() + STARTUP_S)
        except ChildError as error:
            raise StartError(self.child.complaint[-MAX_REASON_CHARS:] or str(error)) from None
        if said != READY:
            raise StartError(said.decode(errors="replace")[:MAX_REASON_CHARS])

    def kill(self) -> None:
        """Kills it; another thread may still wait for it."""
        self.child.process.kill()

    def close(self) -> None:
        """Kills it and frees what was held."""
        self._context.close()


def _close_all(servers: set[_Server]) -> None:
    """Kills servers."""
    while servers:
        servers.pop().close()


def _sandbox_of(pool: WorkerPool) -> Sandbox:
    """Returns the sandbox of a pool's servers."""
    limits = Limits(output_mb=math.ceil(MAX_RESULT_BYTES / 1024**2) + 1)
    guest = Guest(shown=_folders_of(pool.module, __name__), environment=ENVIRONMENT + CHEAP_TO_FORK)
    return LEVELS[pool.isolation](limits, guest)


def _folders_of(*modules: str) -> tuple[Path, ...]:
    """Returns the folders of installed packages, those of the packages that modules belong to, and of large pages."""
    found = {LARGE_PAGES, *(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib"))}
    found |= {folder for module in modules for folder in _package_folders(module)}
    real = sorted({path.resolve() for path in found if path.is_dir()})
    return tuple(path for path in real if not any(path != other and path.is_relative_to(other) for other in real))


def _parents_of(*modules: str) -> list[Path]:
    """Returns where the packages of modules stand: an editable installation is on nobody's path."""
    return [folder.parent for module in modules for folder in _package_folders(module)]


def _package_folders(module: str) -> list[Path]:
    """Returns the folders of the package that a module belongs to."""
    spec = find_spec(module.partition(".")[0])
    return [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]


def _result_of(reply: bytes, read: Callable[[Any], Result]) -> Result | TaskFailure:
    """Returns what a reply says; a worker may have written anything."""
    kind, said = reply[:1], reply[1:]
    if kind in (b"l", b"f"):
        reason = " ".join(said.decode(errors="replace").split())
        return TaskFailure(over_limit=kind == b"l", reason=reason[:MAX_REASON_CHARS])
    try:
        if kind != b"r":
            raise ValueError("no reply of a worker")
        return read(json.loads(said))
    except (ValueError, RecursionError) as error:
        return TaskFailure(over_limit=False, reason=f"the worker's reply is no result: {error}"[:MAX_REASON_CHARS])


def as_bool(value: Any) -> bool:
    """Returns a result that is true or false; raises `ValueError` for another one."""
    if type(value) is not bool:
        raise ValueError(f"{type(value).__name__}, expected true or false")
    return value


def as_text(value: Any) -> str:
    """Returns a result that is a text of at most `MAX_REASON_CHARS`; raises `ValueError` for another one."""
    if not isinstance(value, str) or len(value) > MAX_REASON_CHARS:
        raise ValueError(f"{type(value).__name__}, expected a short text")
    return value


def default_num_workers() -> int:
    """Returns this process's share of the cores, from 1 to 8 (`LOCAL_WORLD_SIZE` processes share a machine)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, min(8, cores // max(1, int(local) if local.isdecimal() else 1)))
