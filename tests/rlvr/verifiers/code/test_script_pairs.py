"""Several runs of a script in one sandbox: each starts from nothing, and none reaches the process that starts them."""

import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from rlvr.problems import Problem
from rlvr.sandbox import Limits, make_sandbox
from rlvr.verifiers.code import tests as formats
from rlvr.verifiers.code.verifier import judge
from rlvr.verifiers.verdicts import Outcome


def sandbox_of(level: str, deadline_s: float = 30.0):
    if level == "namespace" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed (scripts/install_sandbox.sh)")
    return make_sandbox(level, Limits(deadline_s=deadline_s))


@pytest.fixture(scope="module", params=["namespace", "process", "none"])
def any_level(request):
    return sandbox_of(request.param)


@pytest.fixture(scope="module")
def namespace():
    return sandbox_of("namespace")


def runs(*pairs: tuple[str, str]) -> Problem:
    """A problem with pairs of input and output."""
    return Problem("q", "-", {"inputs": [given for given, _ in pairs], "outputs": [wanted for _, wanted in pairs]})


def judged(sandbox, problem: Problem, sources: tuple[str, ...]):
    """The verdict of a program."""
    return judge(sandbox, formats.tests_of(problem, 0.0), sources)


class Counted:
    """A sandbox that counts its starts."""

    def __init__(self, sandbox):
        self.sandbox, self.starts = sandbox, 0
        self.limits, self.limits_of_process = sandbox.limits, sandbox.limits_of_process
        self.filter_of_process = sandbox.filter_of_process

    @contextmanager
    def start(self, forks: bool = False):
        self.starts += 1
        with self.sandbox.start(forks=forks) as child:
            yield child


def test_runs_share_a_sandbox_until_one_leaves_something(any_level):
    counted = Counted(any_level)
    problem = runs(*((f"{n}", f"{n * n}") for n in range(9)))
    assert judged(counted, problem, ("print(int(input()) ** 2)",)).outcome is Outcome.CORRECT
    assert counted.starts == 1
    leaves = "n = int(input())\nif n == 4: open('left', 'w').close()\nprint(n * n)"
    assert judged(counted, problem, (leaves,)).outcome is Outcome.CORRECT
    assert counted.starts == 3


@pytest.mark.parametrize("folder", [".", "/tmp", "/dev/shm"])
@pytest.mark.parametrize("leave", ["open(F + '/x', 'w').close()", "os.makedirs(F + '/a/b'); os.chmod(F + '/a', 0)"])
def test_no_file_is_there_for_the_next_run(namespace, folder, leave):
    program = f"import os\nF = {folder!r}\nprint(os.listdir(F), oct(os.stat(F).st_mode & 0o777))\n{leave}"
    problem = runs(("1", "[] 0o777"), ("2", "[] 0o777"), ("3", "[] 0o777"))
    found = judged(namespace, problem, (program,))
    assert found.outcome is Outcome.CORRECT, found


def test_nothing_of_the_interpreter_is_there_for_the_next_run(any_level):
    program = """
import builtins, json, os, sys
print(hasattr(builtins, 'seen'), hasattr(json, 'seen'), 'decimal' in sys.modules, os.environ.get('SEEN'))
import decimal
builtins.seen = json.seen = True
os.environ['SEEN'] = '1'
"""
    assert judged(any_level, runs(*[("", "False False False None")] * 3), (program,)).outcome is Outcome.CORRECT


REACHES = """
import ctypes, os
parent = os.getppid()
def trace():
    if ctypes.CDLL(None).ptrace(16, parent, 0, 0) < 0: raise OSError
acts = (trace, lambda: open(f'/proc/{parent}/mem', 'rb'), lambda: os.listdir(f'/proc/{parent}/fd'),
        lambda: os.open(f'/proc/{parent}/fd/1', os.O_WRONLY), lambda: open(f'/proc/{parent}/environ', 'rb').read(),
        os.fork, lambda: os.posix_spawn('/x', ['x'], {}))
for number, act in enumerate(acts):
    try:
        act(); print('allowed', number)
    except OSError: print('refused')
print(sorted(os.listdir('/proc/self/fd')), len(open('/proc/self/maps').read()) > 0)
"""


def test_the_driver_is_out_of_reach(namespace):
    expected = "refused\n" * 7 + "['0', '1', '2', '3', '4'] True\n"  # 3 takes the driver's complaint, 4 is the listing
    found = judged(namespace, runs(("", expected), ("", expected)), (REACHES,))
    assert found.outcome is Outcome.CORRECT, found


FORGED = """
import json, os
def forge(fd):
    for payload in (json.dumps({"code": 0, "complaint": "", "clean": True, "too_much": False}).encode(), b"7"):
        try: os.write(fd, b'%08x' % len(payload) + payload)
        except OSError: pass
"""
HOSTILE = {
    "forged reports": FORGED + "for fd in range(64): forge(fd)",
    "forged reports by way of /proc": FORGED + "for pid in [n for n in os.listdir('/proc') if n.isdigit()]:\n"
    "    for n in range(8):\n        try: forge(os.open(f'/proc/{pid}/fd/{n}', os.O_WRONLY))\n"
    "        except OSError: pass",
    "the driver is killed": "import os\nos.kill(os.getppid(), 9)\nprint(7)",
    "everything is killed": "import os\nos.kill(-1, 9)\nprint(8)",
    "the exit code of a right run": "import os\nos._exit(0)",
    "too much output": "import sys\nwhile True: sys.stdout.write('7\\n' * 99999)",
    "a right answer, then a signal": "import os\nprint(7, flush=True)\nos.kill(os.getpid(), 9)",
    "closed streams": "import os\nprint(7, flush=True)\nos.closerange(0, 64)\nos.abort()",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_runs_that_reach_for_the_verdict(namespace, name):
    found = judged(namespace, runs(("", "7"), ("", "7")), (HOSTILE[name],))
    assert found.outcome in (Outcome.WRONG, Outcome.TIMEOUT), found


def test_a_stopped_driver_is_a_timeout():
    program = "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\nprint(7)"
    assert judged(sandbox_of("namespace", 1.5), runs(("", "7")), (program,)).outcome is Outcome.TIMEOUT


def test_the_deadline_is_for_all_runs_together(any_level):
    box = sandbox_of(any_level.level, deadline_s=3.0)
    started = time.monotonic()
    found = judged(box, runs(*[("", "7")] * 99), ("import time\ntime.sleep(0.5)\nprint(7)",))
    assert found.outcome is Outcome.TIMEOUT
    assert time.monotonic() - started < 40, "all runs take longer"


def test_each_run_has_the_whole_memory_limit(namespace):
    program = "x = bytearray(300 * 2**20)\nprint(len(x) >> 20)"
    assert judged(namespace, runs(*[("", "300")] * 3), (program,)).outcome is Outcome.CORRECT
    refused = judged(namespace, runs(("", "300")), ("x = bytearray(600 * 2**20)\nprint(300)",))
    assert refused.outcome is Outcome.TIMEOUT


def test_a_large_input_and_a_late_thread(any_level):
    program = """
import sys, threading, time
text = sys.stdin.read()
def late():
    time.sleep(0.1); print(len(text))
threading.Thread(target=late).start()
"""
    problem = runs(("x" * 3_000_000, "3000000"), ("", "0"))
    assert judged(any_level, problem, (program,)).outcome is Outcome.CORRECT


ENDS = {
    "a file that is not closed": "out = open(1, 'w')\nout.write('7')",
    "an object held by a cycle": "class A:\n    def __del__(self): print(7)\na = A()\na.a = a",
    "an exit hook": "import atexit, os\natexit.register(lambda: os.write(1, b'7'))",
    "an end of an object": "class A:\n    def __del__(self): print(7)\na = A()",
    "another standard output": "import sys\nsys.stdout = open(1, 'w')\nprint(7)",
    "a buffer": "import io, os, sys\nclass Out(io.StringIO):\n"
    "    def flush(self): os.write(1, self.getvalue().encode()); self.seek(0); self.truncate()\n"
    "sys.stdout = Out()\nprint(7)",
    "a closed standard output": "import sys\nprint(7)\nsys.stdout.close()",
    "an exit": "import sys\nprint(7)\nsys.exit()",
    "exit 0": "print(7)\nraise SystemExit(0)",
    "a thread": "import threading\nthreading.Thread(target=print, args=(7,)).start()",
    "a thread that is not waited for": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(900,), daemon=True).start()\nprint(7)",
}


@pytest.mark.parametrize("name", ENDS)
def test_a_run_ends_as_an_interpreter_does(any_level, name):
    alone = subprocess.run([sys.executable, "-c", ENDS[name]], capture_output=True, text=True, check=True)
    assert alone.stdout.strip() == "7"
    found = judged(any_level, runs(("", "7"), ("", "7")), (ENDS[name],))
    assert found.outcome is Outcome.CORRECT, found


@pytest.mark.parametrize(("end", "code"), [("sys.exit(3)", 3), ("sys.exit('no')", 1), ("sys.exit(-1)", 255)])
def test_exit_codes(any_level, end, code):
    found = judged(any_level, runs(("", "")), (f"import sys\n{end}",))
    assert f"exit code {code}" in found.reason


def test_what_a_run_leaves_running_is_ended():
    """At level `process` a run may start others; those of its group end with it and do not hold up the next one."""
    program = "import subprocess\nsubprocess.Popen(['sleep', '600'])\nprint(7)"
    started = time.monotonic()
    assert judged(sandbox_of("process"), runs(("", "7"), ("", "7")), (program,)).outcome is Outcome.CORRECT
    assert time.monotonic() - started < 25, "it waits for the processes that are left"


LINGERS = """
import os, time
if os.fork():
    print(flush=True)
with open({file!r}, "a") as file:
    file.write(f"{{os.getpid()}} ")
while True:
    time.sleep(0.01)
"""


@pytest.mark.parametrize("level", ["process", "none"])
def test_a_run_that_is_cut_at_the_deadline_leaves_no_process(level, tmp_path):
    """Once each run had a group of its own, and outlived the driver that was killed."""
    file = tmp_path / "pids"
    verdict = judged(sandbox_of(level, deadline_s=2.0), runs(("", "1")), (LINGERS.format(file=str(file)),))
    assert verdict.outcome is Outcome.TIMEOUT
    pids = file.read_text().split()
    assert len(pids) == 2
    until = time.monotonic() + 30
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)


def is_running(pid: str) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
