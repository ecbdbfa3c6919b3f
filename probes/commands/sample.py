"""`probes sample`: draw, judge and store the completions of one model.

Owns: its flags.
Does not own: the work (`probes.sampling.sample`, `probes.engines.sources`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probes.commands.common.options import add_options, json_option, measurement_options, plan_options
from probes.commands.common.output import store_notes
from probes.commands.estimate import show_estimate
from rlvr.console import echo

if TYPE_CHECKING:
    from probes.engines.sources import EngineOptions

ENGINE_OPTIONS = (
    click.option(
        "--engine", default="transformers", show_default=True, help="transformers, vllm, openai, ray, scripted."
    ),
    click.option(
        "--model", default="", help="Hub id, folder, GGUF file, testbed:NAME, or the name that a server serves."
    ),
    click.option("--revision", help="Of a Hub model."),
    click.option("--dtype", default="auto", show_default=True, help="Of the computation; auto is the checkpoint's."),
    click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the model."),
    click.option(
        "--max-rows", type=click.IntRange(0), default=0, help="transformers: rows in a batch. Default: what fits."
    ),
    click.option("--max-model-len", type=click.IntRange(0), default=0, help="vllm: prompt and completion together."),
    click.option("--gpu-memory-utilization", type=click.FloatRange(0, 1), default=0.9, show_default=True, help="vllm."),
    click.option(
        "--endpoint", "endpoints", multiple=True, metavar="URL", help="openai: base URL, once for each server."
    ),
    click.option(
        "--concurrency", type=click.IntRange(0), default=0, help="openai: requests in flight. Default: 64 a server."
    ),
    click.option(
        "--draws-per-request", type=click.IntRange(0), default=0, help="openai. Default: 16 of vLLM, 1 of others."
    ),
    click.option("--ray-engine", default="transformers", show_default=True, help="ray: transformers or vllm."),
    click.option("--num-workers", type=click.IntRange(1), default=1, show_default=True, help="ray: actors."),
    click.option("--rate", type=click.FloatRange(0, 1), default=0.5, help="scripted: success probability."),
)


def engine_options(command: Any) -> Any:
    """Adds the flags of all engines to a command."""
    return add_options(ENGINE_OPTIONS, command)


@click.command()
@measurement_options()
@plan_options
@engine_options
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The store; made, or completed.")
@json_option
def sample(output: Path, as_json: bool, **flags: Any) -> None:
    """Draw completions of a model on problems, judge them, and store both; the same command again goes on.

    Under `accelerate launch -m probes sample ...` each process takes its share of the problems.
    """
    from probes.commands.common.measurement import read_measurement
    from probes.sampling.sample import is_complete, sample_store
    from probes.statistics.plan import k_grid

    what = read_measurement(flags)
    store = sample_store(what, read_engine_options(flags), output, show_progress=not as_json)
    if not is_complete(store, what):
        echo(f"{output}: other processes are still drawing; `probes estimate {output}` when they end.", err=True)
        return
    counts, notes = store.counts(what.verifier.verifier_id), store_notes([output])
    show_estimate(counts, k_grid(flags["k_max"]), 0.95, 0, as_json, notes)


def read_engine_options(flags: dict[str, Any]) -> "EngineOptions":
    """Returns the engine's part of a command's flags."""
    from dataclasses import fields

    from probes.engines.sources import EngineOptions

    return EngineOptions(**{item.name: flags[item.name] for item in fields(EngineOptions)})
