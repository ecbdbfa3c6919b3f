"""Commands in processes that are forked from one that has imported torch and TRL, which takes ten seconds each time.

    process = start(["rlvr", "train", ...], folder / "log")     # like subprocess.Popen(["python", "-m", *words])
    process.wait(); os.kill(process.pid, signal.SIGKILL); process.output()

The program and its process are real, and can be killed; only the imports come from the server, which runs no model.
Python programs that a command starts are forked from it, too: by `accelerate launch`, as torchrun can do (a script, not
a module), and by `subprocess.run`. Tests of what happens when Python starts use a new interpreter.
"""

import atexit
import json
import os
import queue
import random
import runpy
import select
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.limits import HANG_S

ROOT = Path(__file__).parent.parent
FORKING_TORCHRUN = {"PET_START_METHOD": "fork", "PET_RUN_PATH": "1"}  # torchrun's options of these names
PRELOADED = (
    "rlvr.jobs.run",
    "rlvr.algorithms.ppo",
    "rlvr.algorithms.dapo",
    "rlvr.algorithms.sft",
    "probes.sampling.watch",
    "probes.engines.transformers",
    "probes.report.page",
)


class Server:
    """The process that imports once and forks; it ends when its input is closed."""

    def __init__(self) -> None:
        command = [sys.executable, "-u", "-m", "tests.forked"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.started: queue.Queue[int] = queue.Queue()
        self.ended: dict[int, int] = {}
        self.changed = threading.Condition()
        self.is_over = False
        threading.Thread(target=self._listen, daemon=True).start()
        atexit.register(self.process.kill)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            if "code" not in said:
                self.started.put(said["pid"])
                continue
            with self.changed:
                self.ended[said["pid"]] = said["code"]
                self.changed.notify_all()
        self.started.put(0)  # nothing can be started or awaited any more
        with self.changed:
            self.is_over = True
            self.changed.notify_all()

    def fork(self, **task: Any) -> int:
        """Returns the id of a new process."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        pid = self.started.get(timeout=HANG_S)
        assert pid, "the server of forked commands has ended; see its errors above"
        return pid


@lru_cache(maxsize=1)
def server() -> Server:
    return Server()


class Process:
    """One command; `returncode` is that of `subprocess`."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid, self.log = pid, log

    @property
    def returncode(self) -> int | None:
        return server().ended.get(self.pid)

    def wait(self) -> int:
        """Returns the exit code, negative for a signal."""
        with server().changed:
            has_ended = server().changed.wait_for(lambda: self.returncode is not None or server().is_over, HANG_S)
        assert has_ended, self.output()
        code = self.returncode
        assert code is not None
        return code

    def output(self) -> str:
        """Returns what it has printed, errors included."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def start(words: Sequence[str], log: Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Process:
    """Starts `python -m WORDS`; its output goes to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    task = {"words": list(words), "cwd": str(cwd), "env": {**(env or os.environ), **FORKING_TORCHRUN}, "log": str(log)}
    return Process(server().fork(**task), log)


def serve() -> None:
    """Imports, then forks a process for each line of input, and says when one has started and ended."""
    import importlib

    for name in PRELOADED:
        importlib.import_module(name)
    running = True
    buffered = b""
    while running:
        if select.select([0], [], [], 0.02)[0]:
            read = os.read(0, 1 << 20)
            running, buffered = bool(read), buffered + read
            *lines, buffered = buffered.split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    run(json.loads(line))
                print(json.dumps({"pid": pid}), flush=True)
        tell_ended()


def tell_ended() -> None:
    """Says which processes have ended, and how."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        print(json.dumps({"pid": pid, "code": os.waitstatus_to_exitcode(status)}), flush=True)


def run(task: Mapping[str, Any]) -> None:
    """Becomes the command, in a session of its own, and ends."""
    log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.setsid()
    subprocess.Popen = ForkingPopen  # type: ignore[misc]
    become(["-m", *task["words"]], task["cwd"], task["env"], (nothing, log, log))


def become(words: Sequence[str], cwd: str, env: Mapping[str, str], streams: Sequence[int]) -> None:
    """Does what `python WORDS` does, with these descriptors as its input, output and errors, and ends the process."""
    import numpy as np
    from tqdm.auto import tqdm

    tqdm.set_lock(threading.RLock())  # the one that forks share stays locked when its holder is killed
    for target, source in enumerate(streams):
        os.dup2(source, target)
    atexit._clear()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:0] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    words = [word for word in words if word != "-u"]
    is_module = words[0] == "-m"
    sys.argv = words[is_module:]
    random.seed()
    np.random.seed()
    code = 0
    try:
        if is_module:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class ForkingPopen(subprocess.Popen):  # type: ignore[type-arg]
    """Starts `python -m MODULE ...` and `python scripts/train.py ...` by a fork of this process; all else as ever."""

    def _execute_child(self, args: Any, *rest: Any) -> None:
        _, preexec, _, _, cwd, env, _, _, _, *pipes = rest[:15]
        words = [os.fspath(word) for word in args] if isinstance(args, (list, tuple)) else []
        is_python = words[:1] == [sys.executable] and len(words) > 1 and words[1] in ("-m", "-u", "scripts/train.py")
        if not is_python:
            super()._execute_child(args, *rest)  # type: ignore[misc]
            return
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite = pipes
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            if preexec is not None:
                preexec()
            for end in (p2cwrite, c2pread, errread):
                if end != -1:
                    os.close(end)
            ends = [own if end == -1 else end for own, end in enumerate((p2cread, c2pwrite, errwrite))]
            become(words[1:], cwd or str(Path.cwd()), env or dict(os.environ), [os.dup(end) for end in ends])
        self.pid = pid
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


if __name__ == "__main__":
    serve()
