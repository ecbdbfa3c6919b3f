"""Numbers as text: the formats that sentences, tables and pages share.

Owns: decimals, signs, percentages, and the dash that stands for no value.
Does not own: sentences (`probes.results.cautions`, `probes.report.words`).
"""

import math
from collections.abc import Mapping

from probes.results.schema import Difference

NONE = "–"  # noqa: RUF001 - an en dash stands for no value


def number(value: float | None, decimals: int = 3) -> str:
    """Returns a number with fixed decimals, or a dash for none."""
    return NONE if _absent(value) else f"{value:.{decimals}f}"


def signed(value: float | None) -> str:
    """Returns a difference with its sign, three decimals."""
    return NONE if _absent(value) else f"{value:+.3f}".replace("-", "−")  # noqa: RUF001 - minus sign


def percent(value: float | None) -> str:
    """Returns a share as a percentage with one decimal."""
    return NONE if _absent(value) else f"{100 * (value or 0.0):.1f}%"


def interval(estimate: Mapping[str, float | None]) -> str:
    """Returns `[lo, hi]` of an estimate."""
    return f"[{number(estimate['lo'])}, {number(estimate['hi'])}]"


def signed_interval(difference: Difference) -> str:
    """Returns `[lo, hi]` of a difference, with signs."""
    return f"[{signed(difference['lo'])}, {signed(difference['hi'])}]"


def count(value: float | None) -> str:
    """Returns `1,234`, or a dash for none."""
    return NONE if value is None else f"{value:,.0f}"


def plural(count: int, noun: str) -> str:
    """Returns `1 problem`, `2,000 problems`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _absent(value: float | None) -> bool:
    return value is None or math.isnan(value)
