"""The door to libseccomp: filters of system calls, compiled.

Owns: which system calls a sandboxed process may make, and their compiled form.
Does not own: loading a filter (bubblewrap does, by `--seccomp`; a worker does for itself, `rlvr.sandbox.server`).

libseccomp is a C library that distributions ship and keep up; six of its functions are called directly.

The filter of a sandbox allows what is not listed: the list is of calls that a program under test has no use for, and
that widen the kernel's attack surface, make memory that no limit counts, or make processes. Threads are allowed: they
share one limit. Sockets are of AF_UNIX only: a network namespace does not cover each family, and AF_VSOCK reaches the
host of a machine. The filter of a worker refuses what is not listed: it computes, reads files, and writes to a pipe.
Calls of another architecture's table end the process, which is libseccomp's default.
"""

import ctypes
import errno
import os
import socket
from collections.abc import Callable
from functools import cache

from rlvr.errors import RecipeError

LIBRARY = "libseccomp.so.2"
_NAMES = """
    acct add_key bpf clock_adjtime clock_settime create_module delete_module fanotify_init finit_module fsconfig fsmount
    fsopen fspick get_kernel_syms init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp
    kexec_file_load kexec_load keyctl lookup_dcookie mbind memfd_create memfd_secret migrate_pages mount mount_setattr
    move_mount move_pages mq_open msgget name_to_handle_at nfsservctl open_by_handle_at open_tree perf_event_open
    personality pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev ptrace query_module quotactl
    quotactl_fd reboot request_key semget set_mempolicy setdomainname sethostname setns settimeofday shmget stime
    swapoff swapon sysfs syslog umount umount2 unshare uselib userfaultfd ustat vhangup vm86 vm86old
    """
DENIED = tuple(_NAMES.split())
FORKS = ("fork", "vfork")
_WORKER_NAMES = """
    access alarm arch_prctl brk clock_getres clock_gettime clock_nanosleep close dup exit exit_group faccessat
    faccessat2 fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getpid getrandom getrlimit getrusage gettid
    gettimeofday getuid lseek lstat madvise mmap mprotect mremap munmap nanosleep newfstatat poll ppoll pread64 read
    readlink readlinkat readv restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity
    sched_yield select setitimer set_robust_list sigaltstack stat statfs statx sysinfo time times uname write writev
    """
ALLOWED_TO_WORKERS = tuple(_WORKER_NAMES.split())

_ALLOW = 0x7FFF0000
_FAIL = 0x00050000
_NOT_EQUAL = 1
_MASKED_EQUAL = 7


class _Condition(ctypes.Structure):
    """libseccomp's `scmp_arg_cmp`: argument != first, or (argument & first) == second."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


_WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
_NOT_A_THREAD = _Condition(0, _MASKED_EQUAL, 0x10000, 0)  # clone without CLONE_THREAD
_NOT_UNIX = _Condition(0, _NOT_EQUAL, socket.AF_UNIX, 0)


def _reads_by(argument: int) -> _Condition:
    """Returns the condition that a file is opened for reading; its flags are the argument of that index."""
    return _Condition(argument, _MASKED_EQUAL, _WRITING, os.O_RDONLY)


@cache
def compiled_filter(forks: bool = False) -> bytes:
    """Returns the filter of a sandbox as a BPF program.

    Args:
        forks: whether the process in the sandbox may start others.

    Raises:
        RecipeError: libseccomp is not installed or refuses.
    """
    return _made(_ALLOW, lambda library, context: _refuse_listed(library, context, forks))


@cache
def worker_filter() -> bytes:
    """Returns the filter of a worker, which needs little more than memory, as a BPF program.

    Raises:
        RecipeError: libseccomp is not installed or refuses.
    """
    return _made(_FAIL | errno.EPERM, _allow_listed)


def _made(default: int, add_rules: Callable[[ctypes.CDLL, ctypes.c_void_p], None]) -> bytes:
    """Returns the BPF program of a default action and of rules."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise RecipeError(
            f"verifier: isolation=namespace needs {LIBRARY}, which is not installed; install it (Debian: apt-get "
            "install libseccomp2), or choose another level (docs/isolation.md)."
        ) from None
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    try:
        add_rules(library, context)
        return _exported(library, context)
    finally:
        library.seccomp_release(context)


def _refuse_listed(library: ctypes.CDLL, context: ctypes.c_void_p, forks: bool) -> None:
    """Adds the rules of a sandbox."""
    fails = _FAIL | errno.EPERM
    for name in DENIED if forks else (*DENIED, *FORKS):
        _add(library, context, name, fails)
    if not forks:
        _add(library, context, "clone", fails, _NOT_A_THREAD)
    for name in ("socket", "socketpair"):
        _add(library, context, name, _FAIL | errno.EAFNOSUPPORT, _NOT_UNIX)
    # clone3's flags cannot be seen; the C library then uses clone
    _add(library, context, "clone3", _FAIL | errno.ENOSYS)


def _allow_listed(library: ctypes.CDLL, context: ctypes.c_void_p) -> None:
    """Adds the rules of a worker."""
    for name in ALLOWED_TO_WORKERS:
        _add(library, context, name, _ALLOW)
    _add(library, context, "open", _ALLOW, _reads_by(1))
    _add(library, context, "openat", _ALLOW, _reads_by(2))


def _exported(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    """Returns the BPF program of a context."""
    fd = os.memfd_create("seccomp")
    try:
        if library.seccomp_export_bpf(context, fd):
            raise RecipeError(f"verifier: {LIBRARY} cannot export its filter; install a newer one.")
        os.lseek(fd, 0, os.SEEK_SET)
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)


def _add(
    library: ctypes.CDLL, context: ctypes.c_void_p, name: str, action: int, condition: _Condition | None = None
) -> None:
    """Adds the rule of a system call; one that libseccomp does not know is left out."""
    number = library.seccomp_syscall_resolve_name(name.encode())
    array = ctypes.byref(condition) if condition else None
    if number >= 0 and library.seccomp_rule_add_array(
        context, ctypes.c_uint32(action), number, int(condition is not None), array
    ):
        raise RecipeError(f"verifier: {LIBRARY} refuses a rule for {name}; install a newer one.")
