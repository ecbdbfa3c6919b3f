"""Workers that are fully taken over by what they judge, in the sandbox: they can spoil their own verdict, and no more.

The programs here run without any guard. Each tries something on the machine, on the server that forks workers, on the
workers after it, or on the parent that reads its result.
"""

import os
import shutil
import socket
import threading

import pytest

from rlvr.sandbox.pool import TaskFailure, WorkerPool

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

REFUSED = """
import ctypes, errno, fcntl, os, resource, select, signal, socket, subprocess, sys, threading, time
def refused(act):
    try:
        act()
    except (OSError, RuntimeError, ValueError):
        return
    raise SystemExit("it was not refused")
parent = os.getppid()
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
"""

ATTEMPTS = {
    "write a file": "refused(lambda: open(FILE, 'w'))",
    "append to a file": "refused(lambda: open(FILE, 'a'))",
    "write to /tmp": "refused(lambda: open('/tmp/x', 'w'))",
    "write to shared memory": "refused(lambda: open('/dev/shm/x', 'w'))",
    "make a folder": "refused(lambda: os.mkdir('/tmp/x'))",
    "make a link": "refused(lambda: os.symlink('/', '/tmp/x'))",
    "make a memory file": "refused(lambda: os.memfd_create('x'))",
    "connect": "refused(lambda: socket.create_connection(('127.0.0.1', PORT), 1))",
    "open a unix socket": "refused(lambda: socket.socket(socket.AF_UNIX))",
    "start a program": "refused(lambda: subprocess.run(['/bin/true']))",
    "become a program": "refused(lambda: os.execv('/bin/true', ['true']))",
    "fork": "refused(os.fork)",
    "start a thread": "refused(threading.Thread(target=print).start)",
    "kill the server": "refused(lambda: os.kill(parent, 9))",
    "kill everything": "refused(lambda: os.kill(-1, 9))",
    "stop the group of the server": "refused(lambda: os.killpg(os.getpgid(parent), 19))",
    "signal through a file descriptor": "refused(lambda: signal.pidfd_send_signal(os.pidfd_open(parent), 9))",
    "signal through a pipe": "refused(lambda: fcntl.fcntl(FD, fcntl.F_SETOWN, parent))",
    "limit the server": "refused(lambda: resource.prlimit(parent, resource.RLIMIT_CPU, (0, 0)))",
    "slow the server": "refused(lambda: os.setpriority(os.PRIO_PROCESS, parent, 19))",
    "move the server": "refused(lambda: os.sched_setaffinity(parent, {0}))",
    "trace the server": "refused(lambda: call('ptrace', 16, parent, 0, 0))",
    "read the server's memory": "refused(lambda: open(f'/proc/{parent}/mem', 'rb'))",
    "write the server's memory": "refused(lambda: open(f'/proc/{parent}/mem', 'r+b'))",
    "see the server's files": "refused(lambda: os.listdir(f'/proc/{parent}/fd'))",
    "write to the server's output": "refused(lambda: os.open(f'/proc/{parent}/fd/1', os.O_WRONLY))",
    "leave its limits": "refused(lambda: resource.setrlimit(resource.RLIMIT_CPU, (-1, -1)))",
    "mount": "refused(lambda: call('mount', b'none', b'/tmp', b'tmpfs', 0, None))",
    "get a name space": "refused(lambda: call('unshare', 0x10000000))",
    "drop the filter": "refused(lambda: call('prctl', 22, 0, 0, 0, 0))",
}

WORSE = {
    "another function": "import tests.pool_tasks as t; t.honest = lambda _: 99; t.run_program = t.honest",
    "another json": "import json; json.dumps = lambda *_, **__: '99'",
    "another server": "import rlvr.sandbox.server as s; s.limited = lambda *_: b'r99'",
    "other built-ins": "import builtins; builtins.int = builtins.float = builtins.type = lambda *_: 99",
    "an exit hook": "import atexit, os; atexit.register(lambda: os.write(FD, b'r99'))",
    "an object that pickle would run": "class R:\n def __reduce__(self): return open, (FILE, 'w')\nresult = R()",
    "no JSON": "os.write(FD, b'r{]'); os._exit(0)",
    "a pickle": "os.write(FD, b'r' + __import__('pickle').dumps([1])); os._exit(0)",
    "another type": "result = [1]",
    "not a number": "result = float('nan')",
    "a true that is no number": "result = True",
    "deep JSON": "os.write(FD, b'r' + b'[' * 60000); os._exit(0)",
    "no kind": "os.write(FD, b'\\xff\\x00'); os._exit(0)",
    "no end": "\nwhile True: os.write(FD, b'r' * 65536)",
    "two replies": "os.write(FD, b'r1r1'); os._exit(0)",
    "a frame of the server's": "os.write(FD, b'00000002r1'); os._exit(0)",
    "an end": "os._exit(0)",
    "a signal": "import signal; signal.raise_signal(11)",
    "a jump into nothing": "import ctypes; ctypes.string_at(0)",
    "no stop at the deadline": "import signal\nfor n in (14, 27): signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
    "a limit of its choice": "os.write(FD, b'lhello'); os._exit(0)",
}


def as_int(value):
    if type(value) is not int:
        raise ValueError("no int")
    return value


@pytest.fixture(scope="module")
def pool():
    made = WorkerPool("tests.pool_tasks", "act_or_run", num_workers=2, deadline_s=1.0, isolation="namespace")
    yield made
    made.close()


@pytest.fixture
def canary(tmp_path):
    """A file that must not come to be, and a port that must not be connected to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        yield tmp_path / "made", listener.getsockname()[1]
        with pytest.raises(TimeoutError):
            listener.accept()
    assert not (tmp_path / "made").exists()


NAMES = """
import os
FILE, PORT = {file!r}, {port}
def is_open(fd):
    try:
        return os.fstat(fd) is not None
    except OSError:
        return False
FD = next(filter(is_open, range(3, 64)))
"""


def program(text: str, canary) -> str:
    """A program with its names: a file, a port, and the one descriptor that it can write to."""
    file, port = canary
    return f"{NAMES.format(file=str(file), port=port)}\n{text}\n"


def among_neighbours(pool, text: str) -> tuple[object, list[object]]:
    """What a program came to, and what 3 honest tasks on each side of it did."""
    results = pool.run([*[("honest", "")] * 3, ("run", text), *[("honest", "")] * 3], as_int)
    return results[3], results[:3] + results[4:]


@pytest.mark.parametrize("name", ATTEMPTS)
def test_what_a_worker_may_not_do(name, pool, canary):
    own, others = among_neighbours(pool, program(f"{REFUSED}\n{ATTEMPTS[name]}\nresult = 7", canary))
    assert own == 7, "it was refused, and the worker went on"
    assert others == [1] * 6


@pytest.mark.parametrize("name", WORSE)
def test_what_a_worker_says_is_its_own_loss(name, pool, canary):
    own, others = among_neighbours(pool, program(WORSE[name], canary))
    assert isinstance(own, TaskFailure) or own in (0, 99)
    assert others == [1] * 6


def test_a_worker_holds_one_pipe_and_three_empty_streams(pool, canary):
    assert among_neighbours(pool, program("result = sum(map(is_open, range(64)))", canary))[0] == 4


def test_nothing_is_left_of_a_pool(pool):
    pool.run([("honest", "")], as_int)
    servers = [server.child.process.pid for server in pool._crew._open]
    pool.close()
    for server in servers:
        with pytest.raises(ProcessLookupError):
            os.kill(server, 0)


def test_a_pool_can_be_closed_while_another_thread_waits_for_it():
    pool = WorkerPool("tests.pool_tasks", "act", num_workers=1, deadline_s=60.0)
    found = []
    thread = threading.Thread(
        target=lambda: found.append(pool.run([("return", 0), ("sleep", 1), ("return", 2)], as_int))
    )
    thread.start()
    while not pool.running or not pool._crew._open:
        threading.Event().wait(0.01)
    pool.close()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert isinstance(found[0][1], TaskFailure)
