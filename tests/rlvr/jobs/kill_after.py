"""`rlvr train`, killed by signal 9 as soon as the checkpoint of a step is whole.

`python -m tests.rlvr.jobs.kill_after STEP FLAGS...`: the moment is the same however busy the machine is.
"""

import os
import signal
import sys
from typing import Any

from rlvr.cli import main
from rlvr.training.checkpoints import MarkComplete

mark = MarkComplete.on_save


def mark_and_die(self: MarkComplete, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
    mark(self, args, state, control, **kwargs)
    if state.global_step == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)


MarkComplete.on_save = mark_and_die
main(["train", *sys.argv[2:]])
