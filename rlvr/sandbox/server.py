"""The inside of a worker pool: a process that imports once, and forks a worker for each task.

Owns: workers (what they may do, how long, how much they may say) and what is said of one that gave no result.
Does not own: starting this process and reading its replies (`rlvr.sandbox.pool`), what a task computes.

A task may hold text that a model wrote, and the function that is called may evaluate it. So the server calls it in a
fork that ends with its task, and hands on the bytes that come from there without reading them. A worker that is taken
over can spoil its own reply and nothing else: it holds no end of the parent's pipes, and behind the filter of
`rlvr.sandbox.seccomp` it opens nothing for writing, starts nothing and sends no signals.

A reply is one byte and what it is about: `r` a result as JSON, `l` a limit that was exceeded, `f` a failure.
"""

import ctypes
import gc
import importlib
import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

from rlvr.sandbox.inside import limit_self, read_frame, write_frame

WAIT_FACTOR = 10  # longest time of a task on the clock, in deadlines
MAX_RESULT_BYTES = 4 * 1024**2
MAX_REASON_CHARS = 500
OPEN_FILES = 64
END_S = 1.0  # from a worker's reply to its end
READY = b"ready"
TIMERS = (signal.SIGPROF, signal.SIGALRM)
LIMIT_SIGNALS = (*TIMERS, signal.SIGXCPU, signal.SIGKILL)

_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38

Function = Callable[..., Any]


class Asked(NamedTuple):
    """What a server is asked for.

    Attributes:
        task: arguments of the function.
        deadline_s: processor time of the task; its time on the clock is `WAIT_FACTOR` times as long.
    """

    task: list[Any]
    deadline_s: float


def serve(setup: dict[str, Any], requests: int, replies: int) -> NoReturn:
    """Imports what tasks need, says that it is ready or why not, and answers each task until requests end."""
    try:
        module = importlib.import_module(setup["module"])
        function: Function = getattr(module, setup["function"])
        prepare: Function | None = getattr(module, setup["prepare"]) if setup["prepare"] else None
        rehearse: Function | None = getattr(module, setup["rehearse"]) if setup["rehearse"] else None
    except BaseException as error:
        write_frame(replies, describe(error).encode(errors="replace"))
        sys.exit(1)
    confinement = Confinement(bytes.fromhex(setup["filter"]))
    _settle()
    write_frame(replies, READY)
    while True:
        asked = Asked(**json.loads(read_frame(requests)))
        write_frame(replies, _answer(function, prepare, asked, confinement))
        if rehearse is not None:
            rehearse()


def _settle() -> None:
    """Makes this process hard to reach and cheap to fork."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # others of this user can neither trace it nor open its files
    gc.collect()
    gc.freeze()


def _answer(function: Function, prepare: Function | None, asked: Asked, confinement: "Confinement") -> bytes:
    """Returns the reply to a task."""
    if prepare is not None:
        unprepared = limited(prepare, asked)
        if not unprepared.startswith(b"r"):
            return unprepared
    results, result = os.pipe()
    pid = os.fork()
    if pid == 0:
        _work(function, asked, confinement, result)
    os.close(result)
    try:
        return _await(pid, results, asked.deadline_s)
    finally:
        os.close(results)


def _work(function: Function, asked: Asked, confinement: "Confinement", result: int) -> NoReturn:
    """Is a worker: confines itself, calls the function, replies, and ends whatever happens."""
    try:
        confinement.enter(result, asked.deadline_s)
        gc.disable()  # it ends before there is much to collect
        reply = memoryview(limited(function, asked))
        while reply:
            reply = reply[os.write(result, reply) :]
    finally:
        os._exit(1)


def limited(function: Function, asked: Asked) -> bytes:
    """Returns the reply that says what a function came to; at the deadline the kernel ends this process."""
    signal.setitimer(signal.ITIMER_PROF, asked.deadline_s)
    signal.setitimer(signal.ITIMER_REAL, WAIT_FACTOR * asked.deadline_s)
    try:
        return b"r" + json.dumps(function(*asked.task)).encode()
    except (MemoryError, RecursionError) as error:
        return b"lexceeded the memory limit" if isinstance(error, MemoryError) else b"lexceeded the recursion limit"
    except BaseException as error:
        return b"f" + describe(error).encode(errors="replace")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def describe(error: BaseException) -> str:
    """Returns type and message of an exception."""
    try:
        return f"{type(error).__name__}: {error}"[:MAX_REASON_CHARS]
    except Exception:
        return type(error).__name__


class Confinement:
    """What a worker may use; made in the server, so that entering it takes no imports and no files.

    Args:
        program: a filter of system calls; empty where there is none.
    """

    def __init__(self, program: bytes) -> None:
        self._null = os.open(os.devnull, os.O_RDWR)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._code = ctypes.create_string_buffer(program, len(program)) if program else None
        self._filter = _Filter(len(program) // 8, ctypes.addressof(self._code)) if self._code else None

    def enter(self, result: int, deadline_s: float) -> None:
        """Leaves this process some processor time and memory, files to read, and one pipe."""
        os.setpgid(0, 0)
        for fd in (0, 1, 2):
            os.dup2(self._null, fd)
        os.closerange(3, result)
        os.closerange(result + 1, result + OPEN_FILES)
        seconds = math.ceil(deadline_s) + 1
        limit_self({"RLIMIT_CPU": seconds, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": OPEN_FILES, "RLIMIT_CORE": 0})
        if self._filter is not None:
            self._libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            if self._libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(self._filter), 0, 0):
                raise OSError(ctypes.get_errno(), "the filter of system calls cannot be set")


class _Filter(ctypes.Structure):
    """The kernel's `sock_fprog`: number of instructions, and where they are."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _await(pid: int, results: int, deadline_s: float) -> bytes:
    """Returns a worker's reply, or what is said of one without; the worker has ended then."""
    reply = _read(results, time.monotonic() + WAIT_FACTOR * deadline_s + END_S)
    status = _end(pid, patience_s=0.0 if reply else END_S)
    if reply:
        return reply if len(reply) <= MAX_RESULT_BYTES else b"fthe worker wrote too much"
    if reply is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in LIMIT_SIGNALS):
        return f"lexceeded the deadline of {deadline_s:g} s".encode()
    return f"fthe verifier's worker died (exit code {os.waitstatus_to_exitcode(status)})".encode()


def _read(results: int, until: float) -> bytes | None:
    """Returns all that is written to a pipe, or a byte more than may be; None where that takes too long."""
    reply = bytearray()
    while len(reply) <= MAX_RESULT_BYTES:
        ready, _, _ = select.select([results], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return None
        part = os.read(results, MAX_RESULT_BYTES + 1 - len(reply))
        if not part:
            break
        reply += part
    return bytes(reply)


def _end(pid: int, patience_s: float) -> int:
    """Returns the status of a worker that ends by itself, or is killed when patience does, with all that it started."""
    until = time.monotonic() + patience_s
    ended, status = 0, 0
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0 if ended else 0.001)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return status if ended else os.waitpid(pid, 0)[1]
