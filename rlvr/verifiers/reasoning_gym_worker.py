"""The worker's side of reasoning-gym: making entries and scoring answers.

Owns: the one door to reasoning-gym, and what a worker that scores may not do.
Does not own: how entries are named (`rlvr.problems.reasoning_gym`), deadlines and limits (`rlvr.sandbox.pool`).

Scorers are code of reasoning-gym on text that a model wrote: some give it to sympy or to Python's `eval`. So they run
in worker processes under a deadline and a limit of memory, which may not write files, start programs or use the
network. This stops accidents and simple tricks. It is not a sandbox: text that is evaluated can still change its
worker's memory.
"""

import json
import logging
import math
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from typing import Any

import sympy  # noqa: F401 - scorers import it late, where files may not be written any more
from reasoning_gym import create_dataset
from reasoning_gym.factory import DATASETS

from rlvr.problems.reasoning_gym import MIXTURE, SIZE

_REFUSED = ("os.", "shutil.", "subprocess.", "socket.", "ctypes.", "signal.", "pty.", "mmap.", "sqlite3.", "urllib.")
_HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def confine() -> None:
    """Takes away a worker's right to act on anything but itself."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    sys.dont_write_bytecode = True
    sys.addaudithook(_refuse)


def work(kind: str, *task: Any) -> Any:
    """Returns what a task asks for: `names`, `make` or `score`."""
    functions: dict[str, Callable[..., Any]] = {"names": names, "make": entry_of, "score": _score}
    return functions[kind](*task)


def _score(family: str, config: str, seed: int, index: int, question: str, answer: str) -> float:
    """Returns the score of an answer."""
    found = data_set(family, config, seed)
    entry = found[index]
    if str(entry["question"]) != question:
        raise ValueError("the installed reasoning-gym makes another entry of this name")
    score = float(found.score_answer(answer, entry))
    if not math.isfinite(score):
        raise ValueError(f"score {score}")
    return score


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    """Raises `PermissionError` where a worker is about to act on files, processes or the network."""
    if event == "open":
        _, mode, flags = args
        is_writing = any(letter in (mode or "") for letter in "wax+") or bool((flags or 0) & _WRITING)
    else:
        is_writing = event.startswith(_REFUSED) and event not in _HARMLESS
    if is_writing:
        raise PermissionError(f"a scorer may not do this: {event}")


def names(family: str) -> tuple[list[str], list[str]]:
    """Returns all families, and the settings of this one if it is a family."""
    families = sorted(set(DATASETS) - {MIXTURE})
    return families, [field.name for field in fields(DATASETS[family][1])] if family in families else []


@lru_cache(maxsize=16)
def data_set(family: str, config: str, seed: int) -> Any:
    """Returns a family's data set."""
    return create_dataset(family, **json.loads(config), size=SIZE, seed=seed)


def entry_of(family: str, config: str, seed: int, index: int) -> tuple[str, str]:
    """Returns question and answer of an entry; the answer is empty where its family has rules only."""
    entry = data_set(family, config, seed)[index]
    return str(entry["question"]), "" if entry["answer"] is None else str(entry["answer"])
