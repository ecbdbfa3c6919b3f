"""The driver: what runs inside a sandbox, in a new interpreter.

Owns: taking a role, frames, and the limits that a process sets on itself.
Does not own: the sandbox (`rlvr.sandbox.levels`), who talks to whom (`rlvr.verifiers.code.verifier`).

Its source is given to the interpreter as text, so it uses the standard library only. It says hello, reads its task, and
takes a role. Two are here; the sources of the others come with the task:

- `script` runs a program with the rest of standard input as its input;
- `pairs` does so several times, in a fork for each (`rlvr.sandbox.roles.pairs`);
- `functions` loads a program, then answers what is asked of it (`rlvr.sandbox.roles.objects`);
- `tests` runs tests, which ask by way of the process above, and ends with a verdict (`rlvr.sandbox.roles.tester`);
- `server` serves the tasks of a worker pool (`rlvr.sandbox.server`).

A program owns its process, this driver included. What comes out of it is therefore data to be compared and nothing
more; a verdict comes out of `tests` only, which never runs a program.
"""

import contextlib
import json
import os
import resource
import signal
import sys
from types import ModuleType
from typing import Any

HELLO = b"hello\n"
EXIT_MEMORY = 77
EXIT_NOT_PYTHON = 78
MAX_MESSAGE_CHARS = 300
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

Json = Any


def main() -> None:
    """Says hello, reads the task, and takes its role."""
    os.write(1, HELLO)
    find_packages(sys.argv.pop())
    task = json.loads(read_frame(0))
    limit_self(task["limits"])
    roles = {"script": run_script, "server": serve_tasks}
    role = roles.get(task["role"]) or plant(task["modules"]).take_role
    role(task)


def plant(modules: list[list[str]]) -> Any:
    """Returns the last of modules that are given as names and sources; they may import this one and each other."""
    sys.modules["rlvr.sandbox.inside"] = sys.modules[__name__]
    for name, source in modules:
        module = sys.modules[name] = ModuleType(name)
        exec(compile(source, f"<{name}>", "exec"), vars(module))  # noqa: S102 - the driver's own
    return module


def find_packages(folder: str) -> None:
    """Lets this process import the standard library and what lies in a folder; numeric libraries use one thread."""
    sys.path[:] = [place for place in sys.path if not place.endswith(("site-packages", "dist-packages"))]
    if os.path.isdir(folder) and os.listdir(folder):  # noqa: PTH112, PTH208 - before any import that costs time
        sys.path.append(folder)
        os.environ.update(dict.fromkeys(ONE_THREAD, "1"))


def limit_self(limits: dict[str, int]) -> None:
    """Sets resource limits that this process and its children cannot raise, and an alarm."""
    signal.alarm(limits.get("alarm", 0))
    for name, value in limits.items():
        if name != "alarm":
            _, hard = resource.getrlimit(getattr(resource, name))
            wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(getattr(resource, name), (wanted, wanted))


def read_frame(fd: int) -> bytes:
    """Returns one frame (8 hex digits of length, then that many bytes); ends the process at the end of the input."""
    return _read_exactly(fd, int(_read_exactly(fd, 8), 16))


def _read_exactly(fd: int, size: int) -> bytes:
    """Returns `size` bytes and reads none beyond them."""
    parts = bytearray()
    while len(parts) < size:
        part = os.read(fd, min(size - len(parts), 1 << 20))
        if not part:
            os._exit(0)
        parts += part
    return bytes(parts)


def write_frame(fd: int, payload: bytes) -> None:
    """Writes one frame."""
    data = memoryview(b"%08x" % len(payload) + payload)
    while data:
        data = data[os.write(fd, data) :]


def take_channel() -> tuple[int, int]:
    """Moves the channel away from standard input and output, which become empty."""
    requests, replies = os.dup(0), os.dup(1)
    for fd, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY)):
        point_at_null(fd, mode)
    return requests, replies


def point_at_null(fd: int, mode: int) -> None:
    """Makes a standard stream empty."""
    null = os.open(os.devnull, mode)
    os.dup2(null, fd)
    os.close(null)


# --- roles --------------------------------------------------------------------------------------------------------


def run_script(task: dict[str, Json]) -> None:
    """Runs the program as a script; standard input and output are its own. One line on errors goes to stderr."""
    errors = os.dup(2)
    point_at_null(2, os.O_WRONLY)
    try:
        load_program("__main__", task["sources"])
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except Exception as error:
        with contextlib.suppress(Exception):
            os.write(errors, describe(error).encode(errors="replace"))
        os._exit(EXIT_NOT_PYTHON if isinstance(error, NotPythonError) else 1)


class NotPythonError(Exception):
    """The program does not compile."""


def load_program(name: str, sources: list[str]) -> dict[str, Any]:
    """Runs sources one after the other as one module and returns its names."""
    module = sys.modules[name] = ModuleType(name)
    codes = []
    for number, source in enumerate(sources):
        try:
            codes.append(compile(source, f"<program {number}>", "exec", dont_inherit=True))
        except (SyntaxError, ValueError, RecursionError, OverflowError) as error:
            raise NotPythonError(describe(error)) from None
    for code in codes:
        exec(code, vars(module))  # noqa: S102 - this is the purpose of the process
    return vars(module)


def describe(error: BaseException) -> str:
    """Returns type and message of an exception in one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}"[:MAX_MESSAGE_CHARS].rstrip(": ")


def serve_tasks(task: dict[str, Json]) -> None:
    """Serves tasks of a pool, whose modules are found on the parent's path."""
    channel = take_channel()
    sys.path[:] = task["path"]
    from rlvr.sandbox.server import serve

    serve(task, *channel)


if __name__ == "__main__":
    main()
