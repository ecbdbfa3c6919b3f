"""The summary of a run: the one input of the report.

Owns: the names and types of `summary.json`, version `rlvr.summary/1`, and the check that a value is one.
Does not own: how its numbers are made (`probes.estimators`, `probes.intervals`, `probes.analyses`).

Numbers in a dict by k are keyed by `str(k)`. A list of `Training` may hold null where a step logged nothing.
"""

from collections.abc import Iterator
from typing import Any, Literal, NotRequired, TypedDict, cast, get_args, get_origin, get_type_hints, is_typeddict

from rlvr.errors import InputError

SCHEMA = "rlvr.summary/2"

VerdictWord = Literal["gain", "loss", "cannot tell"]


class Run(TypedDict):
    """What was run; `facts` are printed as they are."""

    name: str
    algorithm: str
    model: str
    facts: dict[str, str]


class Problems(TypedDict):
    """The problem set that all probes share."""

    name: str
    content_id: str
    num_problems: int
    num_duplicates: int


class Estimate(TypedDict):
    """pass@k at one k; null is not identified.

    `lo` and `hi` are the interval over problems like these at this k alone, `band_lo` and `band_hi` the band that holds
    at all k at once, `se_draws` the standard error from the draws alone.
    """

    estimate: float | None
    se_draws: float | None
    lo: float | None
    hi: float | None
    band_lo: float | None
    band_hi: float | None


class Difference(TypedDict):
    """Paired difference to step 0 at one k, with a band that holds for all steps and k at once."""

    difference: float | None
    lo: float | None
    hi: float | None
    verdict: VerdictWord


class Cells(TypedDict):
    """Problems by who solved them at least once, and the exact McNemar p-value."""

    both: int
    base_only: int
    rl_only: int
    neither: int
    mcnemar_p: float | None


class Modes(TypedDict):
    """One step in both modes of its verifier."""

    num_draws: int
    shown: float
    other: float
    num_changed: int


class Cost(TypedDict):
    """What a probe cost, and what training had generated until then; null is not known.

    `fixed_draws` is what the largest number of draws of the plan would have been for every problem.
    """

    draws: int
    fixed_draws: int
    seconds: float | None
    rollouts: int | None
    tokens: int | None


class AgainstBase(TypedDict):
    """One step compared with step 0 on the same problems."""

    k: dict[str, Difference]
    crossing: list[int] | None
    cells: Cells


Probe = TypedDict(
    "Probe",
    {
        "step": int,
        "label": str,
        "arm_id": str,
        "num_draws": int,
        "cost": Cost,
        "num_rate_draws": int,
        "seconds": float | None,
        "pass@k": dict[str, Estimate],
        "bounds_if_errors": dict[str, list[float | None]] | None,
        "all_outcomes": dict[str, int],
        "outcomes": dict[str, int],
        "truncation_rate": float,
        "no_answer_rate": float,
        "mean_tokens": float,
        "distinct_correct": float,
        "modes": NotRequired[Modes | None],
        "scores": dict[str, Any] | None,
        "against_base": AgainstBase | None,
        "gained": list[str],
        "lost": list[str],
    },
)


class ExampleDraw(TypedDict):
    """One draw shown as an example; `text` is what the model wrote and is not trusted."""

    step: int
    draw_index: int
    outcome: str
    text: str
    reason: str
    truncated: bool


class Example(TypedDict):
    """One problem shown with draws before and after."""

    problem_id: str
    question: str
    answer: str
    change: str
    draws: list[ExampleDraw]


class Summary(TypedDict):
    """The whole of `summary.json`."""

    schema: str
    run: Run
    problems: Problems
    plan: dict[str, Any]
    verifier: str
    k: list[int]
    confidence: float
    sampling: dict[str, Any]
    probes: list[Probe]
    training: NotRequired[dict[str, list[float | None]]]
    examples: NotRequired[list[Example]]
    notes: NotRequired[list[str]]
    studies: NotRequired[dict[str, Any]]


def require_summary(value: object, where: str = "summary") -> Summary:
    """Returns the value as a summary, every part of it checked.

    Raises:
        InputError: it is of another schema, a part is missing or has another type, or nothing was probed.
    """
    redo = "Make it again from the run's stored draws: probes report RUN --remake."
    found = value.get("schema") if isinstance(value, dict) else type(value).__name__
    if not isinstance(value, dict) or found != SCHEMA:
        raise InputError(f"{where}: schema {found!r}, expected {SCHEMA!r}. {redo}")
    if value.get("probes") == [] or value.get("k") == []:
        raise InputError(f"{where}: no probe is stored; probe at least step 0, then write the report.")
    if fault := next(_faults(value, Summary, ""), None):
        raise InputError(f"{where}: {fault}. {redo}")
    return cast("Summary", value)


def _faults(value: object, kind: Any, path: str) -> Iterator[str]:
    """Yields what in a JSON value does not fit a type, each with its path."""
    parts = get_args(kind)
    if is_typeddict(kind):
        yield from _record_faults(value, kind, path)
    elif get_origin(kind) is list:
        yield from _mismatch(value, (list, tuple), path)
        for index, item in enumerate(value if isinstance(value, (list, tuple)) else ()):
            yield from _faults(item, parts[0], f"{path}[{index}]")
    elif get_origin(kind) is dict:
        yield from _mismatch(value, (dict,), path)
        for name, item in value.items() if isinstance(value, dict) else ():
            yield from _faults(item, parts[1], f"{path}.{name}")
    elif get_origin(kind) is Literal:
        if value not in parts:
            yield f"{path[1:]} is {value!r}, expected one of {', '.join(parts)}"
    elif type(None) in parts:
        if value is not None:
            yield from _faults(value, parts[0], path)
    elif kind is not Any:
        yield from _mismatch(value, (int, float) if kind is float else (kind,), path)


def _record_faults(value: object, kind: Any, path: str) -> Iterator[str]:
    """Yields the faults of an object with named parts."""
    yield from _mismatch(value, (dict,), path)
    if not isinstance(value, dict):
        return
    for name, hint in get_type_hints(kind).items():
        if name in value:
            yield from _faults(value[name], hint, f"{path}.{name}")
        elif name in kind.__required_keys__:
            yield f"{path}.{name} is missing"[1:]


def _mismatch(value: object, kinds: tuple[type, ...], path: str) -> Iterator[str]:
    """Yields a fault unless the value is of one of the types; true and false are no numbers."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        yield f"{path[1:]} is {type(value).__name__}, expected {kinds[0].__name__}"
