"""The command `rlvr`.

Owns: its subcommands and what they print.
Does not own: the work (`rlvr.jobs.run`, `rlvr.jobs.dry_run`, `rlvr.verifiers.rows`), how errors end a command
(`rlvr.console`).

Start-up is light: torch and trl are loaded when a recipe is read, not for --help.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rlvr import __version__
from rlvr.console import ErrorGroup, echo
from rlvr.errors import RunError
from rlvr.training.recipe_fields import describe_fields


@click.group(cls=ErrorGroup)
@click.version_option(__version__)
def main() -> None:
    """Train language models with verifiable rewards, and measure whether their capability boundary moves."""


class TrainCommand(click.Command):
    """`rlvr train`, whose help lists the fields that rlvr adds to TRL's."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the recipe fields."""
        with formatter.section("Recipe fields of rlvr (each is also a flag)"):
            formatter.write_dl(describe_fields())
        formatter.write_paragraph()
        formatter.write_text(
            "All fields of TRL's ModelConfig and of the algorithm's config (GRPOConfig or SFTConfig, and what "
            "rlvr/algorithms adds to it) pass through under their own names; TRL's documentation describes them."
        )


@main.command(cls=TrainCommand, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option("--config", type=str, help="Recipe: a YAML file.")
@click.option("--dry-run", is_flag=True, help="Print the resolved recipe and its cost; train nothing.")
@click.option("--num-processes", type=click.IntRange(1), help="For --dry-run: how many processes will be launched.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def train(ctx: click.Context, config: str | None, dry_run: bool, num_processes: int | None, as_json: bool) -> None:
    """Train from a recipe, probe while training, and write a report.

    Flags after the options override the recipe, for example --learning_rate 1e-4. The same command goes on where a
    killed run stopped.
    """
    from rlvr.training.recipe import read_recipe

    recipe = read_recipe(config, ctx.args)
    if dry_run:
        from rlvr.jobs.dry_run import print_dry_run

        print_dry_run(recipe, num_processes, as_json)
        return
    from rlvr.jobs.resolve import resolve
    from rlvr.jobs.run import run_job
    from rlvr.training.train import end_processes

    job = resolve(recipe)
    summary = run_job(job)
    if summary is not None:
        show_end(summary, str(job.training.output_dir), as_json)
    end_processes()


@main.command()
@click.option("--config", type=str, required=True, help="The comparison: a YAML file of arms, seeds and problem sets.")
@click.option("--output_dir", type=str, help="Instead of the file's own.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(config: str, output_dir: str | None, as_json: bool) -> None:
    """Train several algorithms from one base, measure all alike, and write one report.

    The same command goes on where a killed one stopped.
    """
    from rlvr.jobs.comparison import read_config, run_comparison

    comparison = read_config(config, output_dir)
    result = run_comparison(comparison)
    if as_json:
        echo(json.dumps(result))
        return
    from probes.report.terminal import print_comparison

    print_comparison(result)
    echo(f"report: {comparison.output_dir}/report.html")


@main.command()
@click.option("--verifier", required=True, help="As in a recipe, for example math or package.module:function.")
@click.option("--input", "source", required=True, help="JSONL file with id, completion and answer; - is stdin.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per row: id and outcome.")
@click.option("--explain", is_flag=True, help="Add the extracted answer and the reason.")
@click.option("--strict", is_flag=True, help="Stop at the first gold answer that the verifier cannot use.")
def verify(verifier: str, source: str, as_json: bool, explain: bool, strict: bool) -> None:
    """Judge completions that come as rows, in order.

    A row is {"id", "completion", "answer"}, with an optional "question"; "meta" and other fields are the problem's
    meta, for example the "choices" of a multiple choice. An outcome "error" means that the verifier failed, or that it
    cannot use the row's gold answer: such rows are named.
    """
    from rlvr.verifiers import make_verifier
    from rlvr.verifiers.mixture import MixtureVerifier
    from rlvr.verifiers.rows import verify_rows

    verify_rows(MixtureVerifier.around(verifier, make_verifier(verifier)), source, as_json, explain, strict)


@main.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, run: Path, as_json: bool) -> None:
    """Check the folder RUN: model, checkpoints, what was trained on how often, and the draws of its probes.

    Exit code 1 if it is damaged or owes something, else 0. `probes doctor --repair` mends a store of draws.
    """
    from probes.commands.upkeep import show_findings
    from probes.upkeep.doctor import worst
    from rlvr.jobs.doctor import examine_run

    findings = examine_run(run)
    if as_json:
        listed = [asdict(each) for each in findings]
        echo(json.dumps({"run": str(run), "worst": worst(findings), "findings": listed}))
    else:
        show_findings(findings)
    ctx.exit(1 if worst(findings) in ("error", "owed") else 0)


@main.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def shadow(run: Path, as_json: bool) -> None:
    """Compare the reward of the run in RUN with its shadow verifier: rates of false rewards with 95 % intervals.

    With keep_rollouts the rates are also given over distinct completions, which can be compared with a verifier's own.
    """
    from rlvr.rollouts.agreement import measure, sentences
    from rlvr.rollouts.kept import read_rollouts
    from rlvr.training.run_folder import RunFolder

    found = measure(RunFolder(run).log_history(), read_rollouts(run))
    if found is None:
        raise RunError(f"{run}: its log has no verdicts of a shadow verifier; give shadow_verifier in the recipe.")
    echo(json.dumps(found) if as_json else "\n".join(sentences(found)))


def show_end(summary: Any, run_dir: str, as_json: bool) -> None:
    """Prints the table of steps, or the summary's probes as JSON."""
    if as_json:
        echo(json.dumps({"report": f"{run_dir}/report.html", "probes": summary["probes"]}))
        return
    from probes.report.terminal import print_table

    print_table(summary)
    echo(f"report: {run_dir}/report.html")


if __name__ == "__main__":
    main()
