"""The summary of a run and the comparison of several: what the report is made of.

Owns: the names and types of `summary.json` (`rlvr.summary/2`) and `comparison.json` (`rlvr.comparison/2`), their JSON
Schema, and the check that a value is one.
Does not own: how the numbers are made (`probes.statistics.estimators`, `probes.statistics.intervals`,
`probes.analyses`).

Numbers in a dict by k are keyed by `str(k)`. A column of `training` may hold null where a step logged nothing.
"""

from typing import (
    Any,
    Literal,
    NotRequired,  # pydantic reads these on Python 3.11
    cast,
)

from typing_extensions import TypedDict

from rlvr.errors import InputError

SCHEMA = "rlvr.summary/2"
COMPARISON_SCHEMA = "rlvr.comparison/2"

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


VerifierPart = TypedDict("VerifierPart", {"num_problems": int, "pass@k": dict[str, Estimate]})
VerifierPart.__doc__ = """The problems that one verifier of a mixture judges."""


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
    """What a probe cost, and what training had cost until then; null is not known.

    `fixed_draws` is what the largest number of draws of the plan would have been for every problem. `train_seconds` is
    the time of the training steps, rollouts included, without probes; older summaries have none.
    """

    draws: int
    fixed_draws: int
    seconds: float | None
    rollouts: int | None
    tokens: int | None
    train_seconds: NotRequired[float | None]


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
        "by_verifier": NotRequired[dict[str, VerifierPart] | None],
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


Probe.__doc__ = """One probed step, or one store: what was drawn, and what follows. See docs/contracts.md."""


class Rate(TypedDict):
    """`num_wrong` of `num`, with the exact binomial interval; null where nothing was seen."""

    num_wrong: int
    num: int
    estimate: float | None
    lo: float | None
    hi: float | None


class Agreement(TypedDict):
    """Rollouts by whether reward and shadow verifier call them correct, and the rates that follow."""

    cells: dict[str, int]
    fpr: Rate
    fnr: Rate


class ShadowAgreement(TypedDict):
    """What a shadow verifier says of the reward: over rollouts, and over distinct completions where they are kept."""

    confidence: float
    rollouts: Agreement
    distinct: Agreement | None
    systematic: dict[str, str | None] | None


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
    shadow: NotRequired[ShadowAgreement]
    notes: NotRequired[list[str]]
    studies: NotRequired[dict[str, Any]]


class ArmInterval(TypedDict):
    """pass@k of an arm at one k, mean over its seeds; interval and band over problems like these, as in `Estimate`."""

    estimate: float
    lo: float | None
    hi: float | None
    band_lo: float | None
    band_hi: float | None


ComparedArm = TypedDict(
    "ComparedArm",
    {
        "pass@k": dict[str, ArmInterval],
        "against_base": dict[str, Difference],
        "crossing": list[int] | None,
        "runs": list[dict[str, Any]],
    },
)
ComparedArm.__doc__ = (
    """One arm: difference to the base under one band over all arms and k; a record per seed in `runs`."""
)


class Part(TypedDict):
    """All arms on one problem set, at equal `by`: steps, rollouts or tokens; or stores of draws."""

    by: str
    budget: float
    confidence: float
    k: list[int]
    num_problems: int
    base: dict[str, Any]
    arms: dict[str, ComparedArm]


class ComparedRun(TypedDict):
    """One run of a comparison; `folder` is beside the comparison."""

    arm: str
    seed: int
    folder: str


class Comparison(TypedDict):
    """The whole of `comparison.json`; `sets` has a part for each problem set and each kind of equal cost."""

    schema: str
    name: str
    model: str
    train_problems: str | None
    algorithms: dict[str, str]
    seeds: list[int]
    runs: list[ComparedRun]
    sets: dict[str, dict[str, Part]]
    trajectory: list[dict[str, Any]]
    facts: dict[str, str]
    notes: list[str]


def require_summary(value: object, where: str = "summary") -> Summary:
    """Returns the value as a summary, every part of it checked.

    Raises:
        InputError: it is of another schema, a part is missing or has another type, or nothing was probed.
    """
    redo = "Make it again from the run's stored draws: probes report RUN --remake."
    found = _require_schema(value, SCHEMA, where, redo)
    if found.get("probes") == [] or found.get("k") == []:
        raise InputError(f"{where}: no probe is stored; probe at least step 0, then write the report.")
    _require_parts(found, Summary, where, redo)
    return cast("Summary", found)


def require_comparison(value: object, where: str = "comparison") -> Comparison:
    """Returns the value as a comparison, every part of it checked.

    Raises:
        InputError: it is of another schema, or a part is missing or has another type.
    """
    redo = "Make it again: the same `rlvr compare` trains nothing anew."
    found = _require_schema(value, COMPARISON_SCHEMA, where, redo)
    _require_parts(found, Comparison, where, redo)
    return cast("Comparison", found)


def json_schema(name: str) -> dict[str, Any]:
    """Returns the JSON Schema of a `summary` or a `comparison`."""
    from pydantic import TypeAdapter

    kind, title = {"summary": (Summary, SCHEMA), "comparison": (Comparison, COMPARISON_SCHEMA)}[name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TypeAdapter(kind).json_schema(),
        "title": title,
    }


def _require_schema(value: object, schema: str, where: str, redo: str) -> dict[str, Any]:
    """Returns an object of a schema."""
    found = value.get("schema") if isinstance(value, dict) else type(value).__name__
    if not isinstance(value, dict) or found != schema:
        raise InputError(f"{where}: schema {found!r}, expected {schema!r}. {redo}")
    return value


def _require_parts(value: dict[str, Any], kind: Any, where: str, redo: str) -> None:
    """Raises `InputError` with the first part that does not fit."""
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise InputError(f"{where}: {_fault(dict(error.errors()[0]))}. {redo}") from error


def _fault(error: dict[str, Any]) -> str:
    """Returns what does not fit, with its path: `probes[1].step is str, expected int`."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error["loc"]).removeprefix(".")
    if error["type"] == "missing":
        return f"{path} is missing"
    if error["type"] == "literal_error":
        return f"{path} is {error['input']!r}, expected {error['ctx']['expected']}"
    expected = _TYPES.get(error["type"], error["msg"])
    return f"{path} is {type(error['input']).__name__}, expected {expected}"


_TYPES = {
    "int_type": "int",
    "float_type": "float",
    "string_type": "str",
    "list_type": "list",
    "dict_type": "dict",
}
