"""The driver's role `pairs`: one interpreter, and a fork of it for each run of a script.

Owns: the process of each run (what it starts from, how it is confined, how it ends) and what is said of it.
Does not own: running the script itself (`rlvr.sandbox.inside`), comparing its output (`rlvr.verifiers.code.verifier`).

Its source is sent to the driver, so it uses the standard library and `inside` only. This process runs nothing of the
program. It reads one frame for each run, the standard input, and answers with two: a report as JSON, and the standard
output. A run has three pipes of its own; in the sandbox it is a process group behind a filter of system calls that lets
it start no process. It cannot trace this process or open its files, which is not dumpable; it can end it, as it can end
itself.

A report says whether the run has left the folders as they were; the next run needs a new sandbox where it has not.
"""

import atexit
import ctypes
import gc
import json
import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from rlvr.sandbox.inside import limit_self, read_frame, run_script, write_frame

MAX_COMPLAINT_BYTES = 2000
CHUNK = 1 << 16
EXIT_NOT_FLUSHED = 120  # as the interpreter's own
WRITABLE = (".", "/tmp", "/dev/shm")  # noqa: S108 - in the sandbox's own view

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38


def take_role(task: dict[str, Any]) -> None:
    """Answers frames until they end; returns in a fork only, after the program has run there."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    requests, replies = os.dup(0), os.dup(1)
    folders = WRITABLE if task["filter"] else WRITABLE[:1]
    before = _state(folders)
    gc.freeze()
    while True:
        given = read_frame(requests)
        inner = [os.pipe(), os.pipe(), os.pipe()]  # input, output, errors: each the end to read and the end to write
        pid = os.fork()
        if pid == 0:
            break
        run = Run(pid, given, inner, task["max_bytes"])
        report = run.to_its_end() | {"clean": _state(folders) == before}
        write_frame(replies, json.dumps(report).encode())
        write_frame(replies, bytes(run.output))
    del given
    _confine(libc, inner, task)
    _run_to_the_end(task)


def _run_to_the_end(task: dict[str, Any]) -> NoReturn:
    """Runs the program and ends as an interpreter does, but for what is torn down without any effect to be seen.

    That takes ten times as long as all else: a fork has to copy each page on which it counts a reference down.
    """
    code = 0
    try:
        run_script(task)
    except SystemExit as end:
        code = 0 if end.code is None else end.code if isinstance(end.code, int) else 1
    except BaseException:
        code = 1
    if "threading" in sys.modules:
        with suppress(BaseException):
            sys.modules["threading"]._shutdown()
    atexit._run_exitfuncs()
    is_flushed = _flush()
    sys.stdout = sys.__stdout__
    vars(sys.modules["__main__"]).clear()  # files that it left open are written, its objects' ends are seen
    gc.collect()
    os._exit(code & 0xFF if _flush() and is_flushed else EXIT_NOT_FLUSHED)


def _flush() -> bool:
    """Returns whether standard output took what was held back for it."""
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except BaseException:
        return False
    return True


def _state(folders: tuple[str, ...]) -> list[tuple[int, list[Path]]] | None:
    """Returns what a run can change of folders: their modes, and what lies in them; None where they cannot be read."""
    try:
        return [(Path(folder).stat().st_mode, sorted(Path(folder).iterdir())) for folder in folders]
    except OSError:
        return None


def _confine(libc: ctypes.CDLL, inner: list[tuple[int, int]], task: dict[str, Any]) -> None:
    """Gives this process its own streams, and takes from it what it does not need.

    Where it may start no process it has its own group. Else it stays in the driver's, which is killed as a whole.
    """
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if task["filter"]:
        os.setpgid(0, 0)
    for target, fd in enumerate((inner[0][0], inner[1][1], inner[2][1])):
        os.dup2(fd, target)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    limit_self(task["run_limits"])
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    program = bytes.fromhex(task["filter"])
    if program:
        code = ctypes.create_string_buffer(program, len(program))
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(_Filter(len(program) // 8, ctypes.addressof(code))), 0, 0):
            os._exit(1)


class _Filter(ctypes.Structure):
    """The kernel's `sock_fprog`: number of instructions, and where they are."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


class Run:
    """A process of the program: what it is given, what it says, and its end.

    Args:
        pid: of the process.
        given: its standard input.
        inner: its pipes; the ends that are its own are closed here.
        max_bytes: of standard output; one that writes more is killed.
    """

    def __init__(self, pid: int, given: bytes, inner: list[tuple[int, int]], max_bytes: int) -> None:
        self.pid = pid
        self.max_bytes = max_bytes
        self.output = bytearray()
        self._given = memoryview(given)
        self._complaint = bytearray()
        self._pidfd = os.pidfd_open(pid)
        (stdin, self._input), (self._out, stdout), (self._errors, stderr) = inner
        for fd in (stdin, stdout, stderr):
            os.close(fd)
        self._open = {self._input, self._out, self._errors}
        for fd in self._open:
            os.set_blocking(fd, False)

    def to_its_end(self) -> dict[str, Any]:
        """Returns the exit code (negative: the signal), the complaint, and whether it wrote too much."""
        while len(self.output) <= self.max_bytes and not self._step():
            pass
        os.kill(self.pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        for fd in (*self._open, self._pidfd):
            os.close(fd)
        is_too_much = len(self.output) > self.max_bytes
        del self.output[self.max_bytes :]
        complaint = " ".join(self._complaint.decode(errors="replace").split())
        return {"code": os.waitstatus_to_exitcode(status), "complaint": complaint, "too_much": is_too_much}

    def _step(self) -> bool:
        """Reads and writes what can be, and returns whether the process has ended."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        for fd in self._open:
            poll.register(fd, select.POLLOUT if fd == self._input else select.POLLIN)
        ready = {fd for fd, _ in poll.poll()}
        has_ended = self._pidfd in ready
        for fd in list(self._open):
            if fd == self._input and fd in ready:
                self._write()
            elif fd != self._input and (has_ended or fd in ready):
                self._read(fd, to_end=has_ended)
        return has_ended

    def _write(self) -> None:
        """Writes input; a reader that is gone is no error."""
        try:
            self._given = self._given[os.write(self._input, self._given[:CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._given = self._given[:0]
        if not self._given:
            self._close(self._input)

    def _read(self, fd: int, to_end: bool) -> None:
        """Reads what is there, within bounds."""
        try:
            while part := os.read(fd, CHUNK):
                if fd == self._out:
                    self.output += part
                else:
                    self._complaint += part[: MAX_COMPLAINT_BYTES - len(self._complaint)]
                if not to_end or len(self.output) > self.max_bytes:
                    return
        except BlockingIOError:
            return
        self._close(fd)

    def _close(self, fd: int) -> None:
        """Closes an end that is done with."""
        self._open.discard(fd)
        os.close(fd)
