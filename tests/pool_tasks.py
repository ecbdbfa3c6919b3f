"""What workers of a pool do in tests."""

import os
import sys
import time


def act(kind: str, value: int) -> int:
    """Returns the value, after what a worker should survive or be killed for."""
    if kind == "sleep":
        time.sleep(60)
    elif kind == "spin":
        while True:
            value += 1
    elif kind == "die":
        os._exit(3)
    elif kind == "exit":
        sys.exit(0)
    elif kind == "fill":
        return len(bytearray(10**11))
    elif kind == "raise":
        raise ValueError("no")
    return value


def run_program(program: str) -> int:
    """Returns `result` of a program that nobody holds back: the worst that can become of text that is evaluated."""
    names = {"result": 0}
    exec(program, names)
    return names["result"]


def honest(_: str) -> int:
    """Returns 1; a program that was run before may try to make it return something else."""
    return 1


def act_or_run(kind: str, program: str) -> int:
    """Returns what one of the two says."""
    return run_program(program) if kind == "run" else honest(program)
