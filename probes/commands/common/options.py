"""Flags that several commands share.

Owns: their names, checks and help texts.
Does not own: what they mean to a command.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from rlvr.console import SpreadOption

DIR = click.Path(path_type=Path, exists=True, file_okay=False)
TABLE = click.Path(path_type=Path, exists=True, dir_okay=False)


def _attempts(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> tuple[int, ...]:
    """Returns the numbers of a repeated flag in ascending order, each once; one value may hold several: `1,4,256`."""
    parts = [part for value in values for part in value.split(",")]
    for part in parts:
        if not re.fullmatch(r"0*[1-9][0-9]{0,8}", part):
            raise click.BadParameter(f"{part!r} is not a number of attempts; expected whole numbers >= 1, as 1 4 256.")
    return tuple(sorted({int(part) for part in parts}))


ks_option = click.option(
    "--k",
    "ks",
    cls=SpreadOption,
    value_pattern=r"[0-9]+(,[0-9]+)*",
    multiple=True,
    metavar="K...",
    callback=_attempts,
    help="Numbers of attempts: 1 4 256. Default: powers of two up to a quarter of the draws.",
)
confidence_option = click.option(
    "--confidence", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95, show_default=True
)
seed_option = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resampling.")
verifier_id_option = click.option(
    "--verifier-id", "verifier", metavar="ID", help="Whose verdicts, where a store has those of several verifiers."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
ANALYSIS_OPTIONS = (ks_option, confidence_option, seed_option, verifier_id_option, json_option)

PLAN_OPTIONS = (
    click.option("--k-max", type=click.IntRange(1), default=256, show_default=True, help="Largest k of pass@k."),
    click.option(
        "--max-draws", type=click.IntRange(0), default=0, help="n_max, draws per problem. Default: 4 x k-max."
    ),
    click.option("--first-look", type=click.IntRange(1), default=32, show_default=True, help="Draws before a stop."),
    click.option(
        "--stop-at",
        type=click.IntRange(0),
        default=16,
        show_default=True,
        help="Successes that end a problem; 0 draws n_max for all.",
    ),
    click.option("--give-up-at", type=click.IntRange(0), default=0, help="Draws that end a problem without success."),
)

MEASUREMENT_OPTIONS = (
    click.option("--temperature", type=click.FloatRange(0), default=1.0, show_default=True),
    click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Nucleus filter; 1 is off."),
    click.option("--top-k", type=click.IntRange(0), default=0, help="Top-k filter; 0 is off."),
    click.option("--max-new-tokens", type=click.IntRange(1), default=256, show_default=True, help="Of a completion."),
    click.option("--prompt-template", default="{question}", show_default=True, help="Text with one {question}."),
    click.option("--prompt-system", help="System message of a chat prompt."),
    click.option(
        "--prompt-chat", default="auto", show_default=True, help="Use the chat template: auto, chat or plain."
    ),
    click.option(
        "--prompt-think",
        default="on",
        show_default=True,
        help="Where reasoning stands: on (between think tags), open (the prompt opens it) or off.",
    ),
)


def analysis_options(command: Any) -> Any:
    """Adds the flags of commands that estimate: k, confidence, seed, verifier, JSON."""
    return add_options(ANALYSIS_OPTIONS, command)


def plan_options(command: Any) -> Any:
    """Adds the flags of a plan to a command."""
    return add_options(PLAN_OPTIONS, command)


def measurement_options(required: bool = True) -> Callable[[Any], Any]:
    """Returns a decorator that adds the flags that say what is measured: problems, verifier, sampling, prompt."""
    problems = click.option("--problems", required=required, metavar="P", help="JSONL, Hub data set, countdown:SPLIT.")
    verifier = click.option("--verifier", required=required, metavar="V", help="As in a recipe: math, module:function.")
    return lambda command: add_options((problems, verifier, *MEASUREMENT_OPTIONS), command)


def add_options(options: Sequence[Any], command: Any) -> Any:
    """Adds flags to a command, in the order in which help lists them."""
    for option in reversed(options):
        command = option(command)
    return command
