"""The levels of isolation: what each gives, what a program inside can see and use, and errors instead of downgrades."""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlvr.errors import RecipeError
from rlvr.sandbox import DeadlineError, EndedError, Limits, StartError, TooMuchError, levels, make_sandbox, seccomp
from rlvr.sandbox.roles.plain import decode, encode

LIMITS = Limits(deadline_s=5)
WITHOUT_BWRAP = "bubblewrap is not installed (scripts/install_sandbox.sh)"


def sandbox(level: str):
    if level == "namespace" and shutil.which("bwrap") is None:
        pytest.skip(WITHOUT_BWRAP)
    return make_sandbox(level, LIMITS)


@pytest.fixture(scope="module", params=["namespace", "process", "none"])
def any_level(request):
    return sandbox(request.param)


@pytest.fixture(scope="module", params=["namespace", "process"])
def limited(request):
    return sandbox(request.param)


@pytest.fixture(scope="module")
def namespace():
    return sandbox("namespace")


def output(box, program: str, stdin: bytes = b"") -> str:
    """What a script prints; fails the test where the script fails."""
    with box.start() as child:
        child.begin({"role": "script", "limits": box.limits_of_process(), "sources": [program]}, stdin=stdin)
        text, code = child.finish(time.monotonic() + 20)
        assert code == 0, (code, child.complaint)
    return text.decode()


def test_a_script_reads_and_writes_its_own_streams(any_level):
    assert output(any_level, "import sys\nprint(sys.stdin.read()[::-1])", b"abc") == "cba\n"


def test_input_that_nobody_reads_does_not_block(any_level):
    assert output(any_level, "print(1)", b"x" * 10_000_000) == "1\n"


def test_the_environment_is_empty(any_level, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "1")
    seen = output(any_level, "import os\nprint(*sorted(os.environ))").split()
    assert set(seen) <= {"PYTHONHASHSEED", "PWD", "LC_CTYPE"}


def test_no_file_descriptor_is_inherited(any_level, tmp_path):
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        listed = output(any_level, "import os\nprint(*[os.readlink(f'/proc/self/fd/{n}') for n in range(30) "
                                   "if os.path.lexists(f'/proc/self/fd/{n}')])")  # fmt: skip
    assert str(tmp_path) not in listed
    assert all(name.startswith(("pipe:", "/dev/null")) for name in listed.split())


def test_the_working_folder_is_not_the_parents(any_level):
    assert output(any_level, "import os\nprint(os.getcwd(), os.listdir())").split()[0] != str(Path.cwd())


def test_the_order_of_sets_is_the_same_each_time(any_level):
    program = "print({str(n) for n in range(50)})"
    assert output(any_level, program) == output(any_level, program)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import time\nwhile True: time.sleep(1)", DeadlineError),
        (
            "import signal\nfor n in (1, 2, 3, 14, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
            DeadlineError,
        ),
        ("while True: print('x' * 100000)", TooMuchError),
        ("import os, time\nos.closerange(0, 64)\ntime.sleep(60)", DeadlineError),
    ],
)
def test_a_program_without_end_is_killed(any_level, program, expected):
    started = time.monotonic()
    with any_level.start() as child:
        child.begin({"role": "script", "limits": {}, "sources": [program]}, stdin=b"")
        with pytest.raises(expected):
            child.finish(time.monotonic() + 1)
    assert time.monotonic() - started < 15


def living(marker: str) -> list[int]:
    """Processes of this machine whose command line has the marker."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("level", ["namespace", "process", "none"])
def test_no_process_is_left(level):
    box, marker = sandbox(level), f"driver-{os.getpid()}"
    try:
        box_command = levels.driver_command
        levels.driver_command = lambda: [*box_command(), marker]
        with box.start() as child:
            child.begin({"role": "functions", "limits": {}, "sources": ["import time\ntime.sleep(60)"]})
            assert living(marker)
    finally:
        levels.driver_command = box_command
    until = time.monotonic() + 5
    while living(marker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not living(marker)


def test_children_in_the_group_are_killed_with_it():
    box = sandbox("process")
    program = "import subprocess, time\nsubprocess.Popen(['sleep', '77.25'], stdout=2)\ntime.sleep(60)"
    with box.start() as child:
        child.begin({"role": "script", "limits": {}, "sources": [program]}, stdin=b"")
        with pytest.raises(DeadlineError):
            child.finish(time.monotonic() + 1)
        assert living("77.25")
    time.sleep(0.2)
    assert not living("77.25")


# --- limits -------------------------------------------------------------------------------------------------------


def test_memory_is_limited(limited):
    program = "try:\n    x = bytearray(10**9)\nexcept MemoryError: print('refused')"
    assert output(limited, program) == "refused\n"


def test_a_file_is_limited(limited):
    program = (
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try:\n    open('big', 'wb', 0).write(b'x' * 10**8)\nexcept OSError as e: print(e.errno)\n"
        "import os\nprint(os.path.getsize('big'))"
    )
    assert output(limited, program).split()[-1] == str(LIMITS.file_mb * 1024**2)


def test_open_files_are_limited(limited):
    program = "files = []\ntry:\n    while True: files.append(open('/dev/null'))\nexcept OSError: print(len(files))"
    assert int(output(limited, program)) < LIMITS.open_files


def test_limits_cannot_be_raised(limited):
    program = (
        "import resource\ntry:\n    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n"
        "except (ValueError, OSError): print('refused')"
    )
    if limited.level == "process" and os.geteuid() == 0:
        pytest.skip("level process under root: root may raise its limits (docs/isolation.md)")
    assert output(limited, program) == "refused\n"


# --- namespaces ---------------------------------------------------------------------------------------------------


def test_threads_work_and_are_limited(namespace):
    program = """
import threading
done = []
threads = [threading.Thread(target=lambda: done.append(1)) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
waiting, event = [], threading.Event()
try:
    for _ in range(100):
        waiting.append(threading.Thread(target=event.wait, daemon=True)); waiting[-1].start()
except RuntimeError:
    print(len(done), len(waiting) <= 16)
"""
    assert output(namespace, program) == "4 True\n"


@pytest.mark.parametrize(
    "make", ["os.fork()", "os.forkpty()", "subprocess.Popen(['/x'])", "os.posix_spawn('/x', ['x'], {})"]
)
def test_no_process_can_be_made(namespace, make):
    program = f"import os, subprocess\ntry:\n    {make}\n    print('made')\nexcept PermissionError: print('refused')"
    assert output(namespace, program) == "refused\n"


def test_the_program_is_nobody_and_can_become_nobody_else(namespace):
    program = """
import os
status = open('/proc/self/status').read()
lines = [line.split() for line in status.splitlines()]
print(os.getuid(), os.getgid(), [l[1] for l in lines if l[0].startswith(('Cap', 'NoNew', 'Seccomp:'))])
acts = lambda: os.setuid(0), lambda: os.chroot('/tmp'), lambda: os.mknod('/tmp/d', 0o60666, 0x700), lambda: os.nice(-5)
for act in acts:
    try:
        act(); print('allowed')
    except OSError: pass
"""
    first, *rest = output(namespace, program).splitlines()
    assert first.startswith("65534 65534")
    assert first.endswith("['0000000000000000', '0000000000000000', '0000000000000000', '0000000000000000', "
                          "'0000000000000000', '1', '2']")  # fmt: skip
    assert rest == []


SYSTEM_CALLS = {"unshare": (272, 0x10000000), "ptrace": (101, 16), "mount": (165, 0), "bpf": (321, 0),
                "keyctl": (250, 0), "userfaultfd": (323, 0), "io_uring_setup": (425, 1), "memfd_create": (319, 0),
                "setns": (308, 0), "perf_event_open": (298, 0), "shmget": (29, 0)}  # fmt: skip


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls are those of x86_64")
@pytest.mark.parametrize("name", SYSTEM_CALLS)
def test_system_calls_are_refused(namespace, name):
    number, argument = SYSTEM_CALLS[name]
    program = (
        f"import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nprint(c.syscall({number}, {argument}, 1, 0, 0, 0), "
        "ctypes.get_errno())"
    )
    assert output(namespace, program) == "-1 1\n"


def numbers_of(*names: str) -> dict[str, int]:
    library = ctypes.CDLL("libseccomp.so.2")
    return {name: library.seccomp_syscall_resolve_name(name.encode()) for name in names}


def test_a_system_call_that_is_not_listed_is_not_there(namespace):
    """Those of kernels to come, and some of this one."""
    asked = {"next": 1000, **numbers_of("io_setup", "vmsplice", "semop", "sync", "pkey_alloc", "clone3", "seccomp")}
    program = f"""
import ctypes, errno
c = ctypes.CDLL(None, use_errno=True)
for name, number in {asked!r}.items():
    if c.syscall(number, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != errno.ENOSYS:
        print(name, errno.errorcode[ctypes.get_errno()])
"""
    assert output(namespace, program) == ""


def test_no_call_is_listed_twice():
    lists = (seccomp.ALLOWED, seccomp.DENIED, seccomp.FORKS)
    assert len({name for names in lists for name in names}) == sum(map(len, lists))
    assert set(seccomp.ALLOWED_TO_WORKERS) <= {*seccomp.ALLOWED}


STANDARD_LIBRARY = """
import asyncio, concurrent.futures, ctypes, datetime, decimal, fcntl, hashlib, io, mmap, os, pathlib, queue
import random, sched
import secrets, select, selectors, shutil, signal, socket, sqlite3, ssl, statistics, stat, tempfile
import threading, time, uuid, zlib
os.chdir('/tmp')
folder = pathlib.Path(tempfile.mkdtemp())
file = folder / 'a'
file.write_text('text'); shutil.copy2(file, folder / 'b'); shutil.move(folder / 'b', folder / 'c')
os.link(file, folder / 'l'); os.symlink(file, folder / 's'); os.mkfifo(folder / 'f'); os.chmod(file, 0o600)
os.utime(file); os.truncate(file, 2); os.stat(file); os.statvfs('/tmp'); list(os.scandir(folder))
os.access(file, os.R_OK)
os.replace(folder / 'c', folder / 'd'); os.unlink(folder / 'd')
with open(file, 'r+b') as opened:
    mapped = mmap.mmap(opened.fileno(), 0); mapped[:1] = b'x'; mapped.flush(); mapped.close()
    os.fsync(opened.fileno()); fcntl.flock(opened, fcntl.LOCK_EX); os.pread(opened.fileno(), 1, 0)
    os.pwrite(opened.fileno(), b'y', 0); os.posix_fadvise(opened.fileno(), 0, 0, 0)
shutil.rmtree(folder)
async def wait():
    await asyncio.sleep(0.001)
    return await asyncio.to_thread(sum, [1, 2])
assert asyncio.run(wait()) == 3
with concurrent.futures.ThreadPoolExecutor(4) as pool: assert list(pool.map(abs, [-1, 2])) == [1, 2]
condition = threading.Condition(); timer = threading.Timer(0.001, print, ()); timer.start(); timer.join()
signal.signal(signal.SIGUSR1, lambda *_: None); os.kill(os.getpid(), signal.SIGUSR1)
signal.raise_signal(signal.SIGUSR1)
signal.setitimer(signal.ITIMER_REAL, 5); signal.setitimer(signal.ITIMER_REAL, 0)
signal.pthread_sigmask(signal.SIG_BLOCK, [])
left, right = socket.socketpair(); left.sendall(b'x'); assert right.recv(1) == b'x'
server = socket.socket(socket.AF_UNIX); server.bind('/tmp/socket'); server.listen()
client = socket.socket(socket.AF_UNIX); client.connect('/tmp/socket'); server.accept()
with selectors.DefaultSelector() as chosen: chosen.register(right, selectors.EVENT_READ); chosen.select(0)
select.select([right], [], [], 0); select.poll().poll(0); os.close(os.eventfd(0))
reads, writes = os.pipe2(os.O_CLOEXEC); os.write(writes, b'1'); os.dup(reads); os.set_blocking(reads, False)
os.read(reads, 1)
base = sqlite3.connect('/tmp/base'); base.execute('create table t (a)'); base.execute('insert into t values (1)')
base.commit()
secrets.token_bytes(3); os.urandom(3); os.getrandom(3); uuid.uuid4(); time.sleep(0.001); time.process_time()
time.thread_time()
os.getpriority(os.PRIO_PROCESS, 0); os.sched_getaffinity(0); os.sched_yield(); os.times(); os.uname()
os.umask(0o22); os.getgroups(); os.getresuid(); os.getpgid(0); os.getsid(0); os.sysconf('SC_NPROCESSORS_ONLN')
os.cpu_count()
import resource; resource.getrusage(resource.RUSAGE_SELF); resource.getrlimit(resource.RLIMIT_AS)
print('done')
"""


def test_the_standard_library_works(namespace):
    assert output(namespace, STANDARD_LIBRARY).split() == ["done"]


def test_a_pipe_keeps_its_size(namespace):
    program = (
        "import fcntl, os\nr, w = os.pipe()\ntry: fcntl.fcntl(w, 1031, 2**20)\nexcept PermissionError: print('no')\n"
        "print(fcntl.fcntl(w, 1032))"
    )
    assert output(namespace, program).split() == ["no", "65536"]


BUFFERS = """
import array, ctypes, os, socket
def filled(end, room):
    end.setblocking(False)
    for value in (7, 7 + 2**32, 32):
        ctypes.CDLL(None).syscall(SETSOCKOPT, end.fileno(), 1, ctypes.c_uint64(value),
                                  ctypes.byref(ctypes.c_int(2**30)), 4)
    try:
        while True: room += end.send(bytes(65536))
    except BlockingIOError: return room
def sockets():
    ends, total = [], 0
    try:
        while True:
            ends += socket.socketpair()
            total = filled(ends[-1], filled(ends[-2], total))
    except OSError: return total
def in_flight():
    kept, total = [], 0
    try:
        while True:
            chained, inner = socket.socketpair(), socket.socketpair()
            total = filled(inner[0], total)
            for pair in (inner, kept):
                rights = array.array('i', [end.fileno() for end in pair])
                chained[0].sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            kept = chained
    except OSError: return total
print(sockets() >> 20, in_flight() >> 20)
"""


def test_socket_buffers_are_bounded(namespace):
    """With `SO_SNDBUF` one program had 470 MiB in 60 sockets, which no limit counts."""
    program = BUFFERS.replace("SETSOCKOPT", str(numbers_of("setsockopt")["setsockopt"]))
    held, sent = map(int, output(namespace, program).split())
    most = int(Path("/proc/sys/net/core/wmem_default").read_text()) * 3 * LIMITS.open_files >> 20
    assert held <= most
    assert sent <= most


def test_only_its_own_processes_are_seen(namespace):
    program = "import os\nprint(*[open(f'/proc/{n}/cmdline').read()[:9] for n in os.listdir('/proc') if n.isdigit()])"
    assert len(output(namespace, program).split("\n")[0].split()) <= 4
    assert "pytest" not in output(namespace, program)


def test_nothing_of_a_users_is_seen(namespace, tmp_path):
    (tmp_path / "tests.json").write_text("secret")
    places = [str(tmp_path), str(Path.cwd()), str(Path.home() / ".bashrc"), "/etc/passwd", "/var", "/home", "/opt"]
    assert output(namespace, f"import os\nprint([p for p in {places!r} if os.path.exists(p)])") == "[]\n"


def test_installed_packages_are_not_seen(namespace):
    """A test set that comes as a package, such as HumanEval, could be read from there."""
    program = """
import os, sys
places = [walked for place in ('/usr', sys.prefix) for walked in os.walk(place)]
folders = [os.path.join(root, name) for root, names, _ in places for name in names]
print(len(folders) > 10, [f for f in folders if f.endswith(('site-packages', 'dist-packages')) and os.listdir(f)])
"""
    assert output(namespace, program) == "True []\n"


def test_only_tmp_and_shm_can_be_written(namespace):
    program = """
import os
writable = []
for root, names, _ in os.walk('/'):
    names[:] = [n for n in names if os.path.join(root, n) != '/proc']
    try:
        open(os.path.join(root, 'x'), 'w').close()
        writable.append(root)
    except OSError: pass
print(*sorted(writable))
"""
    assert output(namespace, program) == "/dev/shm /tmp\n"


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_writable_folders_are_small_and_private(namespace, folder):
    program = f"""
import errno, os
total, number = 0, 0
try:
    while True:
        number += 1
        with open(f'{folder}/' + str(number), 'wb', 0) as file: total += file.write(bytes(10**6))
except OSError as error: print(errno.errorcode[error.errno], total <= {LIMITS.tmp_mb * 1024**2})
"""
    assert output(namespace, program) == "ENOSPC True\n"
    assert output(namespace, f"import os\nprint(os.listdir('{folder}'))") == "[]\n"


def test_there_is_no_network(namespace):
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(("127.0.0.1", 0))
        server.listen()
        abstract.bind(f"\0rlvr-{os.getpid()}")
        abstract.listen()
        program = f"""
import socket
for family, address in ((socket.AF_INET, ('127.0.0.1', {server.getsockname()[1]})),
                        (socket.AF_UNIX, '\\0rlvr-{os.getpid()}'), (socket.AF_INET, ('192.0.2.1', 80))):
    try:
        socket.socket(family).connect(address); print('connected')
    except OSError as error: print('refused')
print([line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]])
"""
        assert output(namespace, program) == "refused\nrefused\nrefused\n['lo']\n"


def test_sockets_are_local_only(namespace):
    """A network namespace does not cover AF_VSOCK, which reaches the host of a virtual machine."""
    program = """
import ctypes, errno, socket
c = ctypes.CDLL(None, use_errno=True)
opened = {family for call in (c.socket, c.socketpair) for family in range(64) for kind in (1, 2, 3, 5)
          if call(family, kind, 0, (ctypes.c_int * 2)()) >= 0 or ctypes.get_errno() != errno.EAFNOSUPPORT}
print(sorted(opened))
left, right = socket.socketpair()
left.send(b'x'); print(right.recv(1))
"""
    assert output(namespace, program) == "[1]\nb'x'\n"


KILLED_RUN = """
import sys, time
from rlvr.sandbox import Limits, make_sandbox
box = make_sandbox("namespace", Limits(deadline_s=60))
with box.start() as child:
    child.begin({"role": "script", "limits": box.limits_of_process(), "sources": ["while True: pass"]})
    print(child.process.pid, flush=True)
    child.finish(time.monotonic() + 60)
"""


def test_the_sandbox_dies_with_the_run(namespace):
    """The run is killed by SIGKILL, and so cannot end anything itself."""
    run = subprocess.Popen([sys.executable, "-c", KILLED_RUN], stdout=subprocess.PIPE, text=True)
    with run:
        first = run.stdout.readline().strip()
        time.sleep(0.5)
        family = family_of(first)
        run.kill()
    deadline = time.monotonic() + 10
    while still_living(family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(family) > 1
    assert still_living(family) == set()


def stats() -> dict[str, list[str]]:
    """State and parent of each process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found[path.parent.name] = path.read_text().rpartition(")")[2].split()[:2]
    return found


def family_of(pid: str) -> set[str]:
    """The process and its descendants."""
    known, found = stats(), {pid}
    while more := {name for name, (_, parent) in known.items() if parent in found} - found:
        found |= more
    return found & set(known)


def still_living(pids: set[str]) -> set[str]:
    """Those that are there and not zombies, whoever is their parent now."""
    return {name for name, (state, _) in stats().items() if name in pids and state not in "ZX"}


def test_a_user_namespace_without_root(namespace, monkeypatch):
    """The command that users other than root get."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    box = make_sandbox("namespace", LIMITS)
    assert "/run/setpriv" not in box.prefix
    assert output(box, "import os\nprint(os.getuid())\ntry: os.fork()\nexcept OSError: print('no')") == "65534\nno\n"


# --- errors, never a downgrade ------------------------------------------------------------------------------------


def test_a_missing_bubblewrap_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecipeError, match="install bubblewrap") as caught:
        make_sandbox("namespace", LIMITS)
    assert caught.value.exit_code == 2


def test_a_kernel_that_refuses_is_an_error(monkeypatch, tmp_path):
    tool = tmp_path / "bwrap"
    tool.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(RecipeError, match="No permissions to create new namespace"):
        make_sandbox("namespace", LIMITS)


def test_a_missing_libseccomp_is_an_error(monkeypatch):
    if shutil.which("bwrap") is None:
        pytest.skip(WITHOUT_BWRAP)
    from rlvr.sandbox import seccomp

    monkeypatch.setattr(seccomp, "LIBRARY", "libseccomp-that-is-not-there.so")
    seccomp.compiled_filter.cache_clear()
    with pytest.raises(RecipeError, match="libseccomp"):
        make_sandbox("namespace", LIMITS)
    seccomp.compiled_filter.cache_clear()


def test_an_unknown_level_is_an_error():
    with pytest.raises(RecipeError, match="expected one of namespace, process, none"):
        make_sandbox("docker", LIMITS)


def test_an_interpreter_that_does_not_start_is_told(monkeypatch):
    monkeypatch.setattr(levels, "driver_command", lambda: ["sh", "-c", "echo broken >&2; exit 3"])
    with levels.NoSandbox(LIMITS).start() as child, pytest.raises(StartError, match="broken"):
        child.begin({})


# --- the codec ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, True, -(10**5000), 2.5, float("inf"), 1 - 2j, "\ud800é", b"\x00", [1, [2]], (1,),
     {1, (2, 3)}, frozenset({4}),
     {(1, 2): {"a": [None]}, 3: set()}, {"tuple": [1]}],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_plain_data_crosses_unchanged(value):
    there = decode(json.loads(json.dumps(encode(value))))
    assert there == value
    assert type(there) is type(value)


def test_subclasses_lose_their_methods():
    class Equal(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    assert type(decode(encode(Equal(3)))) is int
    assert decode(encode([Equal(3)])) != [4]


def test_a_broken_channel_is_an_end(any_level):
    program = "import os\nfor fd in range(64):\n    try: os.write(fd, b'not a frame at all')\n    except OSError: pass"
    with any_level.start() as child:
        child.begin({"role": "functions", "limits": {}, "sources": [program]})
        with pytest.raises(EndedError):
            child.receive(time.monotonic() + 5)
