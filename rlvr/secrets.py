"""Secrets: they come from the environment, and never reach a recipe, a command line, a file or a log.

Owns: what looks like a secret, its refusal, and hiding it in text that is kept.
Does not own: where secrets are used; the libraries that need them read the environment.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rlvr.errors import RecipeError

_NAMES = re.compile(
    r"(?i)^(hub_token|push_to_hub_token)$|api_?key|passw(or)?d|secret|credential|access_?key|auth_token"
)
_VARIABLES = re.compile(r"(?i)token$")  # of the environment, where no word is counted
_VALUES = re.compile(
    r"\b(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|"
    r"xox[abps]-[\w-]{10,}|AKIA[0-9A-Z]{16})\b|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
_VARIABLE_OF = {"hub_token": "HF_TOKEN", "push_to_hub_token": "HF_TOKEN", "wandb_api_key": "WANDB_API_KEY"}


def refuse_secrets(given: Mapping[str, Any], where: str) -> None:
    """Raises `RecipeError` where a key or a value looks like a secret; the message does not show it.

    Args:
        given: values by key; those of a mapping are looked at, too.
        where: the file, or `command line`.
    """
    for key, value in given.items():
        if isinstance(value, Mapping):
            variables = {name: each for name, each in value.items() if not (_VARIABLES.search(str(name)) and each)}
            if len(variables) < len(value):
                raise _refusal(f"{key}: {next(name for name in value if name not in variables)}", where, None)
            refuse_secrets(value, where)
        elif value not in (None, "") and (_NAMES.search(str(key)) or _VALUES.search(str(value))):
            raise _refusal(str(key), where, _VARIABLE_OF.get(str(key).lower()))


def refuse_secrets_in_flags(flags: Sequence[str]) -> None:
    """Raises `RecipeError` where a flag of a command line looks like a secret."""
    pairs = [flag.split("=", 1) for flag in flags]
    for at, (name, *value) in enumerate(pairs):
        if name.startswith("-"):
            following = "" if at + 1 == len(flags) or flags[at + 1].startswith("--") else flags[at + 1]
            refuse_secrets({name.lstrip("-").replace("-", "_"): value[0] if value else following}, "command line")


def without_secrets(text: str) -> str:
    """Returns text in which what looks like a secret is hidden."""
    return _VALUES.sub("***", text)


def _refusal(key: str, where: str, variable: str | None) -> RecipeError:
    named = f"the environment variable {variable}" if variable else "an environment variable"
    return RecipeError(
        f"{where}: {key}: looks like a secret, which manifests, logs and the list of processes would show. Take it "
        f"out, and set {named}."
    )
