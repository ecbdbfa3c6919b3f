"""Task families of reasoning-gym as problem sets: `reasoning_gym:<family>?num=200&seed=1&...`.

Owns: how an entry is named and made again (family, settings, seed, index), and the workers that make entries.
Does not own: scoring (`rlvr.verifiers.reasoning_gym`), killing workers (`rlvr.sandbox.pool`).

reasoning-gym is an optional package, and only worker processes import it. Every entry is made with the same size of its
data set, so that an entry does not depend on how many were asked for. Some families depend on Python's hash seed;
workers have a fixed one.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems.spec import Spec, nearest
from rlvr.problems.types import Problem, ProblemSet

PACKAGE = "reasoning-gym"
SIZE = 4_000  # of every data set that entries are taken from
DEFAULT_NUM = 500
MIXTURE = "composite"  # not a family; sets are joined with ` + ` instead
OWN = ("size", "seed")  # settings that `num` and `seed` stand for
ENTRY_DEADLINE_S = 60.0  # longest time to make one entry


def reasoning_gym_problems(spec: Spec) -> ProblemSet:
    """Returns the first `num` entries of a family; entries with equal question and answer count once.

    Options are `num` (500), `seed` (0) and the settings of the family under their own names, as JSON values.

    Raises:
        ProblemError: the family or a setting is unknown, or no entry can be made with these values.
        RecipeError: reasoning-gym is not installed.
    """
    pool = entry_pool(ENTRY_DEADLINE_S)
    try:
        family = _checked_family(spec, *pool.run([("names", spec.name.partition(":")[2])], as_names))
        metas = _metas(spec, family)
        entries = make_entries(pool, metas[:1])  # alone, since it shows what is wrong with a setting
        entries += make_entries(pool, metas[1:]) if isinstance(entries[0], tuple) else []
    finally:
        pool.close()
    failure = next((entry for entry in entries if not isinstance(entry, tuple)), None)
    if failure is not None:
        raise ProblemError(
            f"problems: {spec.text!r}: {PACKAGE} cannot make it ({failure.reason}); correct the settings."
        )
    firsts: dict[tuple[str, str], dict[str, Any]] = {}
    for entry, meta in zip(entries, metas, strict=True):
        firsts.setdefault(entry, meta)
    rows = tuple(Problem(question, answer, meta) for (question, answer), meta in firsts.items())
    return ProblemSet(spec.name, rows, num_duplicates=len(entries) - len(rows))


def installed_version() -> str:
    """Returns the version of reasoning-gym.

    Raises:
        RecipeError: it is not installed.
    """
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        raise RecipeError(f"{PACKAGE} is not installed; run: pip install 'rlvr[{PACKAGE}]'") from None


def entry_pool(deadline_s: float, isolation: str = "process") -> Any:
    """Returns a pool of workers that make and score entries, at a level of isolation.

    Raises:
        RecipeError: reasoning-gym is not installed.
    """
    from rlvr.sandbox.pool import WorkerPool

    installed_version()
    return WorkerPool(
        "rlvr.verifiers.reasoning_gym.worker", "work", deadline_s=deadline_s, prepare="prepare", isolation=isolation
    )


def make_entries(pool: Any, metas: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Returns question and answer of each entry, or what became of it in the pool."""
    made: list[Any] = pool.run([("make", *task_of(meta)) for meta in metas], as_entry)
    return made


def as_entry(value: Any) -> tuple[str, str]:
    """Returns question and answer as a worker sent them; raises `ValueError` where they are something else."""
    if not (isinstance(value, list) and len(value) == 2 and all(isinstance(text, str) for text in value)):
        raise ValueError("not a question and an answer")
    return value[0], value[1]


def as_names(value: Any) -> tuple[list[str], list[str]]:
    """Returns families and settings as a worker sent them; raises `ValueError` where they are something else."""
    if not (isinstance(value, list) and len(value) == 2 and all(isinstance(names, list) for names in value)):
        raise ValueError("not families and settings")
    return value[0], value[1]


def task_of(meta: Mapping[str, Any]) -> tuple[str, str, int, int]:
    """Returns what names an entry, in a form that a worker can be given."""
    return meta["family"], json.dumps(meta["config"], sort_keys=True), meta["seed"], meta["index"]


def _checked_family(spec: Spec, known: Any) -> str:
    """Returns the family; raises `ProblemError` unless it and its settings are known to the installed reasoning-gym."""
    family = spec.name.partition(":")[2]
    if not isinstance(known, tuple):
        raise ProblemError(f"problems: {spec.text!r}: {PACKAGE} cannot be imported ({known.reason}); install it anew.")
    families, settings = known
    if family == MIXTURE:
        raise ProblemError(f"problems: {spec.text!r} is a mixture; join families with ' + ' instead.")
    if family not in families:
        raise ProblemError(f"problems: {spec.text!r} is not a family of {PACKAGE}; {nearest(family, families)}")
    spec.only("num", "seed", *(name for name in settings if name not in OWN))
    return family


def _metas(spec: Spec, family: str) -> list[dict[str, Any]]:
    """Returns the names of the entries that a spec asks for."""
    num, seed = spec.integer("num", at_least=1) or DEFAULT_NUM, spec.integer("seed", at_least=0) or 0
    if num > SIZE:
        raise spec.refusal("num", f"at most {SIZE}; join sets of several seeds with ' + '")
    config = {key: _value(text) for key, text in spec.options.items() if key not in ("num", "seed")}
    return [{"family": family, "config": config, "seed": seed, "index": index} for index in range(num)]


def _value(text: str) -> Any:
    """Returns an option as the JSON value that it is, or as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
