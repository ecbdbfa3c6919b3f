"""The door to libseccomp: filters of system calls, compiled.

Owns: which system calls a sandboxed process may make, and their compiled form.
Does not own: loading a filter (bubblewrap does, by `--seccomp`; a worker does for itself, `rlvr.sandbox.server`).

libseccomp is a C library that distributions ship and keep up; six of its functions are called directly.

A filter allows what is listed. That of a sandbox lists what Python's standard library and numpy call, and the C
library for them; a call that it does not list is not there (ENOSYS), as on an older kernel, so that the C library does
without. Calls that a program may know, and that widen the kernel's attack surface, make memory that no limit counts, or
make processes, are refused (EPERM). Threads are allowed: they share one limit. Sockets are of AF_UNIX only: a network
namespace does not cover each family, and AF_VSOCK reaches the host of a machine. Pipes and sockets keep their sizes.
The filter of a worker lists less: it computes, reads files, and writes to a pipe. Calls of another architecture's
table end the process, which is libseccomp's default.
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
_SANDBOX_NAMES = """
    accept accept4 access alarm arch_prctl bind brk capget chdir chmod chown clock_getres clock_gettime clock_nanosleep
    close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait
    epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate
    fchdir fchmod fchmodat fchmodat2 fchown fchownat fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat
    fstat64 fstatat64 fstatfs fsync ftruncate futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake
    futimesat get_mempolicy get_robust_list getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer
    getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid
    getsockname getsockopt gettid gettimeofday getuid getxattr ioctl ioprio_get kill lchown lgetxattr link linkat listen
    listxattr llistxattr lremovexattr lseek lsetxattr lstat madvise membarrier mkdir mkdirat mknod mknodat mmap mmap2
    mprotect mremap msync munmap nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
    poll ppoll prctl pread64 preadv preadv2 prlimit64 pselect6 pwrite64 pwritev pwritev2 read readahead readlink
    readlinkat readv recvfrom recvmmsg recvmsg removexattr rename renameat renameat2 restart_syscall riscv_flush_icache
    riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield select sendfile sendmmsg sendmsg sendto set_robust_list set_tid_address setgid
    setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid
    setxattr shutdown sigaltstack signalfd signalfd4 stat statfs statx symlink symlinkat sysinfo tgkill time
    timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
    timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes wait4 waitid write writev
    """
ALLOWED = tuple(_SANDBOX_NAMES.split())
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
_EQUAL = 4
_MASKED_EQUAL = 7
# A command is listed by its exact value: the kernel looks at 32 bits of an argument, a filter at 64.
_F_SETPIPE_SZ = 1031
_FCNTL_COMMANDS = (*range(12), 15, 16, 36, 37, 38, *range(1024, 1027), 1030, *range(1032, 1035))
_SOCKET_OPTIONS = (1, 2, 8, 9, 13, 15, 16, 18, 20, 21, 66, 67)  # SO_SNDBUF (7) is not among them


class _Condition(ctypes.Structure):
    """libseccomp's `scmp_arg_cmp`: argument == or != first, or (argument & first) == second."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


_WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
_CLONE_THREAD = 0x10000
_A_THREAD = _Condition(0, _MASKED_EQUAL, _CLONE_THREAD, _CLONE_THREAD)
_NOT_A_THREAD = _Condition(0, _MASKED_EQUAL, _CLONE_THREAD, 0)
_UNIX = _Condition(0, _EQUAL, socket.AF_UNIX, 0)
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
    return _made(_FAIL | errno.ENOSYS, lambda library, context: _add_sandbox_rules(library, context, forks))


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


def _add_sandbox_rules(library: ctypes.CDLL, context: ctypes.c_void_p, forks: bool) -> None:
    """Adds the rules of a sandbox."""
    for name in ALLOWED:
        _add(library, context, name, _ALLOW)
    for name in DENIED:
        _add(library, context, name, _FAIL | errno.EPERM)
    start = _ALLOW if forks else _FAIL | errno.EPERM
    for name in FORKS:
        _add(library, context, name, start)
    # clone3's flags cannot be seen; it is not listed, and the C library uses clone
    _add(library, context, "clone", _ALLOW, _A_THREAD)
    _add(library, context, "clone", start, _NOT_A_THREAD)
    for name in ("socket", "socketpair"):
        _add(library, context, name, _ALLOW, _UNIX)
        _add(library, context, name, _FAIL | errno.EAFNOSUPPORT, _NOT_UNIX)
    _add_buffer_rules(library, context)


def _add_buffer_rules(library: ctypes.CDLL, context: ctypes.c_void_p) -> None:
    """Adds rules that keep pipes and sockets at the size that they are made with: no limit counts their memory."""
    commands = (
        ("fcntl", 1, _FCNTL_COMMANDS, _F_SETPIPE_SZ),
        ("fcntl64", 1, _FCNTL_COMMANDS, _F_SETPIPE_SZ),
        ("setsockopt", 2, _SOCKET_OPTIONS, socket.SO_SNDBUF),
    )
    for name, argument, allowed, refused in commands:
        for value in allowed:
            _add(library, context, name, _ALLOW, _Condition(argument, _EQUAL, value, 0))
        _add(library, context, name, _FAIL | errno.EPERM, _Condition(argument, _EQUAL, refused, 0))


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
