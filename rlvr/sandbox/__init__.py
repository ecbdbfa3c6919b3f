"""Sandboxes: new interpreters that run programs nobody has read.

Owns: the levels of isolation behind one small protocol.
Does not own: what is run and what it means (`rlvr.verifiers.code`).

    levels.py    the protocol, the three levels, the check that this machine can give one
    child.py     a sandboxed process as its parent sees it
    inside.py    the driver that runs inside
    seccomp.py   the filter of system calls
"""

from rlvr.sandbox.child import ChildError, DeadlineError, EndedError, StartError, TooMuchError
from rlvr.sandbox.levels import LEVELS, Limits, Sandbox, make_sandbox

__all__ = [
    "LEVELS",
    "ChildError",
    "DeadlineError",
    "EndedError",
    "Limits",
    "Sandbox",
    "StartError",
    "TooMuchError",
    "make_sandbox",
]
