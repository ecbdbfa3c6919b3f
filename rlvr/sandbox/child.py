"""A sandboxed process as its parent sees it: frames in, frames out, an end.

Owns: reading and writing that neither blocks nor grows without bound, the deadline, and the kill of the whole group.
Does not own: how the process is started (`rlvr.sandbox.levels`), what it does (`rlvr.sandbox.inside`).
"""

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import IO, Any

from rlvr.sandbox.inside import HELLO

STARTUP_S = 60.0  # longest wait for the interpreter on a loaded machine
MAX_COMPLAINT_BYTES = 2000
CHUNK = 1 << 16
# What roles need beside `inside`, in the order of their imports.
ROLE_MODULES = {"pairs": ("pairs",), "functions": ("plain", "objects"), "tests": ("plain", "proxies", "tester")}


class ChildError(Exception):
    """A process did not do as asked; the message says what happened."""


class StartError(ChildError):
    """The sandbox or the interpreter did not start: nothing of the program has run."""


class DeadlineError(ChildError):
    """The deadline has passed."""


class EndedError(ChildError):
    """The process ended, or closed its channel."""


class TooMuchError(ChildError):
    """The process wrote more than it may."""


@cache
def modules_of(role: str) -> list[tuple[str, str]]:
    """Returns names and sources of the modules that a role needs."""
    folder = Path(__file__).parent / "roles"
    return [
        (f"rlvr.sandbox.roles.{name}", (folder / f"{name}.py").read_text(encoding="utf-8"))
        for name in ROLE_MODULES.get(role, ())
    ]


def frame(payload: bytes) -> bytes:
    """Returns a payload with its length before it."""
    return b"%08x" % len(payload) + payload


class Child:
    """One process in a sandbox; use it as a context manager, which kills it at the end.

    Args:
        process: just started, leader of its group, with pipes for its three streams.
        max_bytes: most that it may write in one frame, or in all where it writes no frames.
    """

    def __init__(self, process: "Popen[bytes]", max_bytes: int) -> None:
        self.process = process
        self.max_bytes = max_bytes
        self.ended = False
        self._close_when_sent = False
        self._pidfd = os.pidfd_open(process.pid)
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._complaint = bytearray()
        self._open = [stream for stream in (process.stdin, process.stdout, process.stderr) if stream is not None]
        for stream in self._open:
            os.set_blocking(stream.fileno(), False)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    @property
    def complaint(self) -> str:
        """The start of what it wrote to standard error, in one line."""
        return " ".join(self._complaint.decode(errors="replace").split())

    def begin(self, task: Mapping[str, Any], stdin: bytes | None = None) -> None:
        """Waits for the driver's hello and gives it its task.

        Args:
            task: role, limits and sources; what a role needs beside `inside` is added.
            stdin: the program's input; standard input is then closed behind it.

        Raises:
            StartError: there was no hello.
        """
        deadline = time.monotonic() + STARTUP_S
        try:
            while len(self._incoming) < len(HELLO):
                self._ensure_open()
                self._step(deadline)
        except ChildError as error:
            raise StartError(f"the sandbox did not start: {self.complaint or error}") from None
        if not self._incoming.startswith(HELLO):
            raise StartError("the sandbox did not start the driver")
        del self._incoming[: len(HELLO)]
        modules = modules_of(task.get("role", ""))
        self._outgoing += frame(json.dumps({**task, "modules": modules} if modules else dict(task)).encode())
        if stdin is not None:
            self._outgoing += stdin
            self._close_when_sent = True

    def send(self, payload: bytes) -> None:
        """Queues one frame; it is written while answers are awaited."""
        self._outgoing += frame(payload)

    def receive(self, deadline: float) -> bytes:
        """Returns the next frame.

        Args:
            deadline: in the seconds of `time.monotonic`.

        Raises:
            DeadlineError, EndedError, TooMuchError: there is none.
        """
        while (payload := self._take_frame()) is None:
            self._ensure_open()
            self._step(deadline)
        return payload

    def finish(self, deadline: float) -> tuple[bytes, int]:
        """Returns everything that it writes until it ends, and its exit code (negative: the signal).

        Raises:
            DeadlineError, TooMuchError: it does not end properly.
        """
        while not self.ended:
            self._step(deadline)
            if len(self._incoming) > self.max_bytes:
                raise TooMuchError(f"wrote more than {self.max_bytes} bytes")
        return bytes(self._incoming), self.exit_code()

    def ends_within(self, seconds: float) -> bool:
        """Returns whether the process has ended, after waiting for at most so long; its output is lost."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(DeadlineError):
            while not self.ended:
                self._step(deadline)
                self._incoming.clear()
        return self.ended

    def exit_code(self) -> int:
        """Returns the exit code of a process that has ended; a shell's 128 + n for signal n becomes -n."""
        code = self.process.wait(timeout=STARTUP_S)
        return 128 - code if code > 128 else code

    def close(self) -> None:
        """Kills the group and frees what was held."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.process.returncode is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _take_frame(self) -> bytes | None:
        """Returns a whole frame that has arrived, or None."""
        if len(self._incoming) < 8:
            return None
        try:
            size = int(self._incoming[:8], 16)
        except ValueError:
            raise EndedError("broke its channel") from None
        if not 0 <= size <= self.max_bytes:
            raise TooMuchError(f"wrote more than {self.max_bytes} bytes")
        if len(self._incoming) < 8 + size:
            return None
        payload = bytes(self._incoming[8 : 8 + size])
        del self._incoming[: 8 + size]
        return payload

    def _ensure_open(self) -> None:
        """Raises where nothing more can arrive."""
        if self.ended or self.process.stdout not in self._open:
            raise EndedError("ended")

    def _step(self, deadline: float) -> None:
        """Waits until something can be read or written, or the process ends, and does it."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise DeadlineError("exceeded the deadline")
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        for stream in self._open:
            if stream is not self.process.stdin:
                poll.register(stream, select.POLLIN)
            elif self._outgoing:
                poll.register(stream, select.POLLOUT)
        ready = {fd for fd, _ in poll.poll(min(left, 1.0) * 1000 + 1)}
        ended = self._pidfd in ready
        for stream in list(self._open):
            if stream.fileno() in ready or (ended and stream is not self.process.stdin):
                self._write(stream) if stream is self.process.stdin else self._read(stream, to_end=ended)
        if self._close_when_sent and not self._outgoing and self.process.stdin in self._open:
            self._drop(self.process.stdin)
        self.ended = ended

    def _write(self, stream: IO[bytes]) -> None:
        """Writes what the pipe takes; a reader that is gone is no error here."""
        try:
            del self._outgoing[: os.write(stream.fileno(), self._outgoing[:CHUNK])]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._outgoing.clear()

    def _read(self, stream: IO[bytes], to_end: bool) -> None:
        """Reads what is there, within bounds."""
        while True:
            try:
                part = os.read(stream.fileno(), CHUNK)
            except BlockingIOError:
                return
            if not part:
                self._drop(stream)
                return
            if stream is self.process.stderr:
                self._complaint += part[: MAX_COMPLAINT_BYTES - len(self._complaint)]
            else:
                self._incoming += part
            if not to_end or len(self._incoming) > self.max_bytes + CHUNK:
                return

    def _drop(self, stream: IO[bytes] | None) -> None:
        """Closes a stream that is at its end."""
        if stream is not None:
            self._open.remove(stream)
            stream.close()
