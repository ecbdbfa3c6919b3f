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
