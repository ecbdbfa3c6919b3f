"""The levels of isolation: how a new interpreter is started so that it can do little harm.

Owns: the three levels, what each starts, and the check that this machine can give a level.
Does not own: the process once it runs (`rlvr.sandbox.child`), what it does (`rlvr.sandbox.inside`).

`docs/isolation.md` says what each level covers and what it does not. There is no fall back from one to another.
"""

import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from rlvr.errors import RecipeError
from rlvr.sandbox import inside
from rlvr.sandbox.child import STARTUP_S, Child, ChildError
from rlvr.sandbox.packages import NO_PACKAGES, Packages
from rlvr.sandbox.seccomp import compiled_filter

MEBIBYTE = 1024**2
ENVIRONMENT = (("PYTHONHASHSEED", "0"),)  # the order of sets is the same at every judgement
NOBODY = "65534"
PACKAGES = "/run/packages"  # where a program in a namespace finds what it may import


@dataclass(frozen=True)
class Limits:
    """What one sandboxed process may use.

    Attributes:
        deadline_s: longest time, enforced by the parent; CPU time and an alarm follow from it as a second line.
        memory_mb: address space of each process.
        processes: processes and threads at a time (level `namespace`: threads of the one process).
        file_mb: size of one file.
        tmp_mb: size of /tmp (level `namespace`).
        open_files: file descriptors.
        output_mb: what the parent reads.
    """

    deadline_s: float = 10.0
    memory_mb: int = 512
    processes: int = 16
    file_mb: int = 16
    tmp_mb: int = 64
    open_files: int = 64
    output_mb: int = 8

    def of_process(self) -> dict[str, int]:
        """Returns the limits that a process sets on itself before it runs anything."""
        seconds = math.ceil(self.deadline_s) + 1
        return {
            "alarm": seconds + 1,
            "RLIMIT_AS": self.memory_mb * MEBIBYTE,
            "RLIMIT_CPU": seconds,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_FSIZE": self.file_mb * MEBIBYTE,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
        }


@dataclass(frozen=True)
class Guest:
    """What a process in a sandbox needs beside the interpreter.

    Attributes:
        shown: folders that it sees, read-only (level `namespace`); installed packages are hidden where there are none.
        packages: what it can import beside the standard library.
        environment: its variables.
    """

    shown: tuple[Path, ...] = ()
    packages: Packages = NO_PACKAGES
    environment: tuple[tuple[str, str], ...] = ENVIRONMENT


class Sandbox(Protocol):
    """Starts drivers at one level of isolation."""

    @property
    def level(self) -> str:
        """Its name in recipes."""

    @property
    def limits(self) -> Limits:
        """What a process may use."""

    def start(self, forks: bool = False) -> AbstractContextManager[Child]:
        """Returns a context with a new process that runs the driver; it is killed at the context's end.

        Args:
            forks: whether it may start others (level `namespace`), which `filter_of_process` then confines.
        """

    def limits_of_process(self) -> dict[str, int]:
        """Returns the limits that a process has to set on itself."""

    def filter_of_process(self) -> bytes:
        """Returns the filter of system calls that a process started by a driver sets on itself; empty for none."""


def make_sandbox(level: str, limits: Limits, packages: Packages = NO_PACKAGES) -> Sandbox:
    """Returns the sandbox of a level, after a process has really been started in it.

    Raises:
        RecipeError: the level is unknown, or this machine cannot give it.
    """
    if level not in LEVELS:
        raise RecipeError(f"verifier: isolation {level!r} is not known; expected one of {', '.join(LEVELS)}.")
    sandbox = LEVELS[level](limits, Guest(packages=packages))
    ensure_starts(sandbox)
    return sandbox


def ensure_starts(sandbox: Sandbox) -> None:
    """Raises `RecipeError` where this machine cannot give a sandbox; a process is really started in it."""
    try:
        with sandbox.start() as child:
            child.begin({"role": "script", "limits": sandbox.limits_of_process(), "sources": []}, stdin=b"")
            _, code = child.finish(time.monotonic() + STARTUP_S)
            if code != 0:
                raise ChildError(f"the interpreter ended with exit code {code}: {child.complaint}")
    except (ChildError, OSError) as error:
        raise RecipeError(
            f"verifier: isolation={sandbox.level} cannot be given on this machine: {error}. Allow unprivileged user "
            "namespaces (a container needs a seccomp profile that does), or choose another level (docs/isolation.md)."
        ) from None


def interpreter() -> Path:
    """Returns the interpreter that virtual environments of this one derive from."""
    named = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return named.resolve() if named.exists() else Path(sys.executable).resolve()


def driver_command() -> list[str]:
    """Returns the command of the driver: its source is an argument, so that no file has to be seen."""
    source = Path(inside.__file__).read_text(encoding="utf-8")
    return [str(interpreter()), "-s", "-P", "-B", "-X", "utf8", "-c", source]


@contextmanager
def _started(
    command: list[str], cwd: str, limits: Limits, guest: Guest, pass_fds: tuple[int, ...] = ()
) -> Iterator[Child]:
    """Runs a command as leader of a session of its own, with no environment but the guest's and three pipes."""
    process = subprocess.Popen(  # noqa: S603 - no shell; every word is ours
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=dict(guest.environment),
        pass_fds=pass_fds,
        start_new_session=True,
    )
    with Child(process, limits.output_mb * MEBIBYTE) as child:
        yield child


@dataclass(frozen=True)
class NoSandbox:
    """Level `none`: a process with a deadline, for programs that are trusted."""

    limits: Limits
    guest: Guest = Guest()
    level: str = "none"

    @contextmanager
    def start(self, forks: bool = False) -> Iterator[Child]:  # noqa: ARG002 - it always may
        """Starts the driver in an empty temporary folder."""
        with (
            tempfile.TemporaryDirectory(prefix="rlvr-code-", ignore_cleanup_errors=True) as folder,
            tempfile.TemporaryDirectory(prefix="rlvr-packages-", ignore_cleanup_errors=True) as packages,
        ):
            for source, name in self.guest.packages.places:
                (Path(packages) / name.parent).mkdir(parents=True, exist_ok=True)
                (Path(packages) / name).symlink_to(source)
            with _started([*driver_command(), packages], folder, self.limits, self.guest) as child:
                yield child

    def limits_of_process(self) -> dict[str, int]:
        """Returns none."""
        return {}

    def filter_of_process(self) -> bytes:
        """Returns none."""
        return b""


@dataclass(frozen=True)
class ProcessSandbox(NoSandbox):
    """Level `process`: resource limits as well, for programs that are faulty and not hostile."""

    level: str = "process"

    def limits_of_process(self) -> dict[str, int]:
        """Returns all limits."""
        return self.limits.of_process()


@dataclass(frozen=True)
class NamespaceSandbox:
    """Level `namespace`: bubblewrap with namespaces, a read-only view of the interpreter only, and a seccomp filter.

    A process of the superuser is exempt from the limit on processes, also in a user namespace of its own. So where this
    program runs as root, a first bubblewrap makes the view with root's rights, and a second one, run by an unprivileged
    user inside of it, makes the user namespace.

    Raises:
        RecipeError: a program or library that it needs is not installed.
    """

    limits: Limits
    guest: Guest = Guest()
    level: str = "namespace"

    def limits_of_process(self) -> dict[str, int]:
        """Returns all limits."""
        return self.limits.of_process()

    def filter_of_process(self) -> bytes:
        """Returns the filter of a program under test."""
        return compiled_filter()

    @contextmanager
    def start(self, forks: bool = False) -> Iterator[Child]:
        """Starts the driver behind bubblewrap; the filter is handed over in a file without a name."""
        filter_fd = os.memfd_create("seccomp")
        try:
            os.write(filter_fd, compiled_filter(forks))
            os.lseek(filter_fd, 0, os.SEEK_SET)
            command = [*self.prefix, "--seccomp", str(filter_fd), "--", *driver_command(), PACKAGES]
            with _started(command, "/", self.limits, self.guest, (filter_fd,)) as child:
                yield child
        finally:
            os.close(filter_fd)

    @cached_property
    def prefix(self) -> list[str]:
        """Returns the command up to the filter and the program."""
        bwrap = find_tool("bwrap", "bubblewrap")
        namespaces = words("--unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup-try")
        outer = [
            bwrap,
            *namespaces,
            *words("--die-with-parent --new-session --clearenv"),
            *self.variables(),
            *self.view(),
        ]
        unprivileged = words(f"--unshare-user --disable-userns --uid {NOBODY} --gid {NOBODY} --chdir /tmp")
        if os.geteuid() != 0:
            return [*outer, *unprivileged]
        become_nobody = words(f"/run/setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --inh-caps=-all")
        capabilities = words("--cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID")
        inner = words("/run/bwrap --dev-bind / / --die-with-parent")
        return [*outer, *capabilities, "--", *become_nobody, *inner, *unprivileged]

    def variables(self) -> list[str]:
        """Returns bubblewrap's options for the environment inside."""
        return [word for pair in self.guest.environment for word in ("--setenv", *pair)]

    def view(self) -> list[str]:
        """Returns the mounts: libraries and interpreter read-only, nothing of a user's, a small /tmp and /dev/shm."""
        shown = [*library_folders(), *library_files(), interpreter()]
        tools = (("bwrap", "bubblewrap"), ("setpriv", "util-linux")) if os.geteuid() == 0 else ()
        size = str(self.limits.tmp_mb * MEBIBYTE)
        hidden = [] if self.guest.shown else installed_packages()
        return [
            *folders_above(shown),
            *words("--perms 0755 --dir /etc --perms 0755 --dir /run"),
            *(word for path in shown for word in ("--ro-bind", str(path), str(path))),
            *top_level_libraries(),
            *words("--ro-bind-try /etc/ld.so.cache /etc/ld.so.cache"),
            *(word for path in hidden for word in ("--tmpfs", str(path), "--remount-ro", str(path))),
            *(word for tool in tools for word in ("--ro-bind", find_tool(*tool), f"/run/{tool[0]}")),
            *self.packages(),
            *words("--proc /proc --dev /dev"),
            *("--perms", "1777", "--size", size, "--tmpfs", "/tmp"),  # noqa: S108 - a mount point
            *("--perms", "1777", "--size", size, "--tmpfs", "/dev/shm"),  # noqa: S108
            *folders_above(self.guest.shown),
            *(word for path in self.guest.shown for word in ("--ro-bind", str(path), str(path))),
            *words("--remount-ro /dev --remount-ro /"),
        ]

    def packages(self) -> list[str]:
        """Returns the mounts of what can be imported beside the standard library."""
        places = [(source, Path(PACKAGES) / name) for source, name in self.guest.packages.places]
        folders = folders_above([Path(PACKAGES) / "any", *(target for _, target in places)])
        return [*folders, *(word for pair in places for word in ("--ro-bind", *map(str, pair)))]


def folders_above(paths: Sequence[Path]) -> list[str]:
    """Returns bubblewrap's options for the folders that paths lie in; what it makes by itself, others cannot enter."""
    mount_points = {Path("/"), Path("/tmp"), Path("/dev"), Path("/dev/shm")}  # noqa: S108
    parents = sorted({parent for path in paths for parent in path.parents} - mount_points)
    return [word for folder in parents for word in ("--perms", "0755", "--dir", str(folder))]


def words(text: str) -> list[str]:
    """Returns the words of a command line that has no spaces inside words."""
    return text.split()


def find_tool(name: str, package: str) -> str:
    """Returns the path of a program.

    Raises:
        RecipeError: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise RecipeError(
            f"verifier: isolation=namespace needs the program {name}, which is not on the PATH; install {package} "
            f"(Debian: apt-get install {package}), or choose another level (docs/isolation.md)."
        )
    return str(Path(path).resolve())


def library_folders() -> list[Path]:
    """Returns the folders that an interpreter needs, none inside another; on Debian not the whole of /usr/lib."""
    system = sorted(Path("/usr/lib").glob("*-linux-*")) or [Path("/usr/lib")]
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = [Path(os.__file__).parent, Path(sys.base_exec_prefix) / sys.platlibdir / name]
    if sys.base_prefix not in ("/usr", "/usr/local"):
        python.append(Path(sys.base_prefix) / "lib")
    real = sorted({path.resolve() for path in (*system, Path("/usr/lib64"), *python) if path.is_dir()})
    return [path for path in real if not any(path != other and path.is_relative_to(other) for other in real)]


def library_files() -> list[Path]:
    """Returns the dynamic loader and Python's own library, where they lie in none of the folders."""
    found = [*Path("/usr/lib").glob("ld-*"), *(Path(sys.base_prefix) / "lib").glob("libpython*.so*")]
    return [path for path in sorted(found) if not any(path.is_relative_to(folder) for folder in library_folders())]


def installed_packages() -> list[Path]:
    """Returns the visible folders of installed packages, where a test set such as HumanEval's may lie."""
    names = ("site-packages", "dist-packages")
    patterns = [f"{above}{name}" for above in ("", "python*/") for name in names]
    return sorted(found for folder in library_folders() for pattern in patterns for found in folder.glob(pattern))


def top_level_libraries() -> list[str]:
    """Returns mounts of /lib and its like, which are links on most systems."""
    mounts = []
    for folder in (Path("/lib"), Path("/lib64")):
        if folder.is_symlink():
            mounts += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            mounts += ["--ro-bind", str(folder), str(folder)]
    return mounts


LEVELS: dict[str, type[NamespaceSandbox] | type[NoSandbox]] = {
    "namespace": NamespaceSandbox,
    "process": ProcessSandbox,
    "none": NoSandbox,
}
