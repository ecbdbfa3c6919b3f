"""The door to libseccomp: a filter of system calls that bubblewrap loads.

Owns: which system calls a sandboxed program may not make, and their compiled form.
Does not own: loading the filter (bubblewrap does, by `--seccomp`).

libseccomp is a C library that distributions ship and keep up; six of its functions are called directly. The filter
allows what is not listed: the list is of calls that a program under test has no use for, and that widen the kernel's
attack surface, make memory that no limit counts, or make processes. Threads are allowed: they share one limit.
Sockets are of AF_UNIX only: a network namespace does not cover each family, and AF_VSOCK reaches the host of a machine.
Calls of another architecture's table end the process, which is libseccomp's default.
"""

import ctypes
import errno
import os
import socket
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
    swapoff swapon sysfs syslog umount umount2 unshare uselib userfaultfd ustat vhangup vm86 vm86old fork vfork
    """
DENIED = tuple(_NAMES.split())

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


_NOT_A_THREAD = _Condition(0, _MASKED_EQUAL, 0x10000, 0)  # clone without CLONE_THREAD
_NOT_UNIX = _Condition(0, _NOT_EQUAL, socket.AF_UNIX, 0)


@cache
def compiled_filter() -> bytes:
    """Returns the filter as a BPF program.

    Raises:
        RecipeError: libseccomp is not installed or refuses.
    """
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise RecipeError(
            f"verifier: isolation=namespace needs {LIBRARY}, which is not installed; install it (Debian: apt-get "
            "install libseccomp2), or choose another level (docs/isolation.md)."
        ) from None
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    try:
        return _compile(library, context)
    finally:
        library.seccomp_release(context)


def _compile(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    """Returns the BPF program of a context after the rules have been added."""
    for name in DENIED:
        _deny(library, context, name, errno.EPERM)
    _deny(library, context, "clone", errno.EPERM, _NOT_A_THREAD)
    for name in ("socket", "socketpair"):
        _deny(library, context, name, errno.EAFNOSUPPORT, _NOT_UNIX)
    _deny(library, context, "clone3", errno.ENOSYS)  # its flags cannot be seen; the C library then uses clone
    fd = os.memfd_create("seccomp")
    try:
        if library.seccomp_export_bpf(context, fd):
            raise RecipeError(f"verifier: {LIBRARY} cannot export its filter; install a newer one.")
        os.lseek(fd, 0, os.SEEK_SET)
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)


def _deny(
    library: ctypes.CDLL, context: ctypes.c_void_p, name: str, error: int, condition: _Condition | None = None
) -> None:
    """Adds a rule by which a system call fails; one that libseccomp does not know is left out."""
    number = library.seccomp_syscall_resolve_name(name.encode())
    action, array = ctypes.c_uint32(_FAIL | error), ctypes.byref(condition) if condition else None
    if number >= 0 and library.seccomp_rule_add_array(context, action, number, 1 if condition else 0, array):
        raise RecipeError(f"verifier: {LIBRARY} refuses a rule for {name}; install a newer one.")
