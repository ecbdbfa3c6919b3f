"""Processes with limits, which are killed: sandboxes for programs that nobody has read, and pools of workers.

Owns: the levels of isolation behind one small protocol; deadlines and memory of our own code that may not come back.
Does not own: what is run and what it means (`rlvr.verifiers`, `rlvr.problems`). Of rlvr it imports `rlvr.errors` only.

    levels   the protocol of sandboxes, the three levels, the check that this machine can give one
    child    a sandboxed process as its parent sees it
    inside   the driver that runs inside
    roles    what it does there for the code verifier
    packages installed packages that a program may import
    seccomp  the filters of system calls
    pool     worker processes for functions of our own, a new one for each task
    server   the process that they are forked from
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
