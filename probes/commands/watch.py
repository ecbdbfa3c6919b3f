"""`probes watch`: probe the checkpoints of a run as they appear.

Owns: its flags, and filling them from the manifest of a run made by `rlvr train`.
Does not own: the watching (`probes.sampling.watch`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from probes.commands.common.options import DIR, json_option, measurement_options, plan_options
from probes.commands.common.output import print_json
from probes.commands.sample import engine_options, read_engine_options
from rlvr.console import echo

if TYPE_CHECKING:
    from probes.sampling.watch import Watch

# Flag by the recipe key that stands in for it.
FROM_MANIFEST = {
    "probe_problems": "problems",
    "verifier": "verifier",
    "probe_temperature": "temperature",
    "probe_top_p": "top_p",
    "probe_top_k": "top_k",
    "max_completion_length": "max_new_tokens",
    "probe_max_new_tokens": "max_new_tokens",
    "prompt_template": "prompt_template",
    "prompt_system": "prompt_system",
    "prompt_chat": "prompt_chat",
    "prompt_think": "prompt_think",
    "probe_k_max": "k_max",
    "probe_max_draws": "max_draws",
    "probe_first_look": "first_look",
    "probe_stop_at": "stop_at",
    "probe_give_up_at": "give_up_at",
    "dtype": "dtype",
    "model_name_or_path": "base",
}


@click.command()
@click.argument("run_dir", type=DIR)
@click.option("--base", help="Model that training started from. Default: the manifest's; else the first checkpoint.")
@click.option("--every", type=click.IntRange(1), default=1, help="Probe checkpoints at multiples of this step.")
@click.option("--once", is_flag=True, help="Probe what is there, then end.")
@click.option("--poll", "poll_s", type=click.FloatRange(0.1), default=30.0, show_default=True, help="Seconds.")
@measurement_options(required=False)
@plan_options
@engine_options
@json_option
@click.pass_context
def watch(ctx: click.Context, /, run_dir: Path, once: bool, poll_s: float, as_json: bool, **flags: Any) -> None:
    """Probe the checkpoints in RUN_DIR as they appear, until the run is finished, and keep its report up to date.

    In a run made by `rlvr train` the manifest says what to measure; what runs code is taken from the command line only:
    --verifier package.module:function, an isolation of programs, --trust-remote-code. In the folder of another trainer
    give at least --problems and --verifier.
    """
    from probes.sampling.watch import watch_run

    entries = watch_run(read_watch(ctx, run_dir, flags), poll_s, once, show_progress=not as_json)
    if as_json:
        print_json({"report": str(run_dir / "report.html"), "steps": [entry.step for entry in entries]})
        return
    for entry in entries:
        echo(f"step {entry.step}: {entry.store}, {entry.seconds} s")
    echo(f"report: {run_dir / 'report.html'}" if entries else f"{run_dir}: no whole checkpoint to probe")


def require_no_code(recipe: dict[str, Any], given: set[str], run_dir: Path) -> None:
    """Raises `UsageError` where the manifest, which may be a stranger's, wishes for code or a server of its own."""
    from rlvr.problems.loaders import named_verifiers
    from rlvr.verifiers import needs_trust

    wishes = {str(recipe["verifier"])} if recipe.get("verifier") and "verifier" not in given else set()
    for verifier in filter(needs_trust, sorted(wishes)):
        raise click.UsageError(
            f"{run_dir}/manifest.json wishes for the verifier {verifier!r:.200}, which runs code that does not "
            f"come with rlvr, or sends answers to a server. If you trust it, give --verifier {verifier!r:.200}."
        )
    located = named_verifiers(str(recipe.get("probe_problems") or "")) if "problems" not in given else frozenset()
    for verifier in filter(needs_trust, sorted(located)):
        raise click.UsageError(
            f"{run_dir}/manifest.json wishes for problems that name the verifier {verifier!r:.200}, which runs code "
            "that does not come with rlvr, or sends answers to a server. If you trust it, give --problems as they "
            "stand there."
        )
    if recipe.get("trust_remote_code") and "trust_remote_code" not in given:
        echo(
            f"note: {run_dir}/manifest.json wishes for trust_remote_code; it stays off. If you trust the code that "
            "comes with the model, give --trust-remote-code.",
            err=True,
        )


def read_watch(ctx: click.Context, run_dir: Path, flags: dict[str, Any]) -> "Watch":
    """Returns what to watch: flags that were given, then the run's manifest, then defaults."""
    from probes.commands.common.measurement import read_measurement
    from probes.results.summary import RunFacts
    from probes.sampling.watch import Watch, read_manifest

    recipe = read_manifest(run_dir).get("recipe", {})
    if not isinstance(recipe, dict):
        raise click.UsageError(f"{run_dir}/manifest.json: its recipe is no JSON object; restore the file.")
    given = {name for name in flags if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    taken = {key: name for key, name in FROM_MANIFEST.items() if recipe.get(key) is not None and name not in given}
    options = {option.name: option for option in ctx.command.params}
    for key, name in taken.items():
        try:
            flags[name] = options[name].type(recipe[key], options[name], ctx)
        except (click.BadParameter, TypeError) as error:
            raise click.UsageError(
                f"{run_dir}/manifest.json: {key}: {recipe[key]!r:.100} cannot be used ({error})."
            ) from error
    require_no_code(recipe, given, run_dir)
    for name in ("problems", "verifier"):
        if not flags[name]:
            raise click.UsageError(f"Give --{name}: {run_dir} has no manifest that says it.")
    model = str(flags["base"] or run_dir)
    facts = RunFacts(run_dir.name, str(recipe.get("algorithm", "not known")), model)
    every = flags["every"]
    return Watch(
        run_dir, read_measurement(flags), read_engine_options(flags), flags["k_max"], flags["base"], facts, every
    )
