"""IFEval: rows as google/IFEval publishes them.

Owns: telling such a row, and its problem.
Does not own: reading files and data sets (`rlvr.problems.loaders`), the instructions (`rlvr.verifiers.ifeval`).

Source: Zhou et al., Instruction-Following Evaluation for Large Language Models, 2311.07911.
"""

from collections.abc import Mapping
from typing import Any


def is_ifeval(row: Mapping[str, Any]) -> bool:
    """Returns whether a row has the published columns, and neither question nor answer of its own."""
    has_own = any(row.get(name) is not None for name in ("problem", "question", "answer"))
    return not has_own and isinstance(row.get("prompt"), str) and isinstance(row.get("instruction_id_list"), list)


def ifeval_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a published row in the form of other rows: the instructions' names as answer, which is for people.

    A data set of the Hub fills in each argument of every kind with null: these are left out, so that a row from there
    and one from the published file are one problem.
    """
    arguments = row.get("kwargs")
    if isinstance(arguments, list):
        arguments = [
            {key: value for key, value in each.items() if value is not None} if isinstance(each, Mapping) else each
            for each in arguments
        ]
    meta = {"instruction_id_list": row["instruction_id_list"], "kwargs": arguments}
    answer = ", ".join(map(str, row["instruction_id_list"])) or "none"
    return {"question": row["prompt"], "answer": answer, "meta": meta, "cluster": row.get("cluster")}
