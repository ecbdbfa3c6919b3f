"""The worker's side of reasoning-gym: making entries and scoring answers.

Owns: the one door to reasoning-gym.
Does not own: how entries are named (`rlvr.problems.reasoning_gym`), processes and limits (`rlvr.sandbox`), what a
scorer may evaluate (`rlvr.verifiers.reasoning_gym.guard`).

Scorers are code of reasoning-gym on text that a model wrote. They run in a process of their own for each answer, behind
a guard. The entry of an answer is made before, where no answer is known, and kept.
"""

import builtins
import json
import logging
import math
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from types import BuiltinFunctionType
from typing import Any

import sympy
from reasoning_gym import create_dataset
from reasoning_gym.factory import DATASETS

from rlvr.problems.reasoning_gym import MIXTURE, SIZE
from rlvr.verifiers.reasoning_gym import guard


def _name_space() -> dict[str, Any]:
    """Returns what sympy's parser makes in each call where it is given none: names of sympy, functions of Python."""
    made = {name: getattr(sympy, name) for name in sympy.__all__}
    functions = {name: value for name, value in vars(builtins).items() if isinstance(value, BuiltinFunctionType)}
    return made | functions | {"max": sympy.Max, "min": sympy.Min}


logging.getLogger("matplotlib").setLevel(logging.ERROR)
guard.safe_names()
# Made once and not in each worker: who writes a thousand names into a new dictionary touches as many objects, and a
# fork copies the page of each, which takes longer than all else. The defaults are of local_dict, transformations,
# global_dict and evaluate.
sympy.parse_expr.__defaults__ = (*sympy.parse_expr.__defaults__[:2], _name_space(), True)
for usual in ("3*(4 + 5)/2 - 1", "x*exp(x) + sin(2*x)/2 + sqrt(x) + log(x)"):  # what sympy makes once is made here
    sympy.simplify(sympy.diff(sympy.parse_expr(usual), sympy.Symbol("x")))

Entry = dict[str, Any]


def prepare(kind: str, *task: Any) -> None:
    """Makes the entry that a task is about."""
    if kind != "names":
        family, config, seed, index = task[:4]
        entry(family, config, seed, index)


def work(kind: str, *task: Any) -> Any:
    """Returns what a task asks for: `names`, `make` or `score`."""
    functions: dict[str, Callable[..., Any]] = {"names": names, "make": texts, "score": score}
    return functions[kind](*task)


def names(family: str) -> tuple[list[str], list[str]]:
    """Returns all families, and the settings of this one if it is a family."""
    families = sorted(set(DATASETS) - {MIXTURE})
    return families, [field.name for field in fields(DATASETS[family][1])] if family in families else []


@lru_cache(maxsize=16)
def data_set(family: str, config: str, seed: int) -> Any:
    """Returns a family's data set."""
    return create_dataset(family, **json.loads(config), size=SIZE, seed=seed)


@lru_cache(maxsize=4_096)
def entry(family: str, config: str, seed: int, index: int) -> Entry:
    """Returns an entry."""
    made: Entry = data_set(family, config, seed)[index]
    return made


def texts(family: str, config: str, seed: int, index: int) -> tuple[str, str]:
    """Returns question and answer of an entry; the answer is empty where its family has rules only."""
    made = entry(family, config, seed, index)
    return str(made["question"]), "" if made["answer"] is None else str(made["answer"])


def score(family: str, config: str, seed: int, index: int, question: str, answer: str) -> tuple[float, str]:
    """Returns the score of an answer, and what is to be said of it.

    A scorer that fails says something of the answer only if it does not fail on the entry's own one.
    """
    made = entry(family, config, seed, index)
    if str(made["question"]) != question:
        raise ValueError("the installed reasoning-gym makes another entry of this name")
    scorer = data_set(family, config, seed).score_answer
    guard.arm()
    try:
        scored = float(scorer(answer, made))
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        if made["answer"] is not None:
            scorer(made["answer"], made)
        return 0.0, f"the scorer cannot read it ({type(error).__name__}: {error})"
    return (scored, "") if math.isfinite(scored) else (0.0, f"the score is {scored}")
