"""`probes analyze`: the studies of the papers on stored draws.

Owns: its flags and what it prints.
Does not own: the analyses (`probes.analyses`, `probes.results.studies`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probes.commands.common.options import DIR, json_option, seed_option, verifier_id_option
from probes.commands.common.output import default_ks, print_json, store_notes
from rlvr.console import echo

if TYPE_CHECKING:
    from probes.store.store import ProbeStore


@click.command()
@click.argument("store", type=DIR)
@click.option("--base", type=DIR, help="Store of the base arm on the same problems: adds what training changed.")
@click.option("--scored-by", help="Model that reads the draws of STORE: adds its perplexity and token entropy.")
@click.option("--guesses", type=DIR, help="Store of an arm without reasoning: leaves out the problems that it solves.")
@click.option("--other-prompt", type=DIR, help="Store of the same model under another prompt: what the prompt changes.")
@click.option(
    "--reasoning-judge",
    metavar="V",
    help="Verifier that reads the reasoning of right answers, such as judge?rubric=reasoning&model=M: CoT-pass@k. Its "
    "verdicts are kept in STORE.",
)
@click.option(
    "--draws-judged",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Of these per problem, the right ones.",
)
@click.option("--draws-scored", type=click.IntRange(1), default=8, show_default=True, help="Per problem.")
@seed_option
@verifier_id_option
@json_option
def analyze(
    store: Path,
    base: Path | None,
    scored_by: str | None,
    guesses: Path | None,
    other_prompt: Path | None,
    reasoning_judge: str | None,
    draws_judged: int,
    draws_scored: int,
    seed: int,
    verifier: str | None,
    as_json: bool,
) -> None:
    """Analyze the draws in STORE: histogram, answers, reliability, extrapolation; with --base support and null.

    --scored-by reads the completions with a model, in a real forward pass: the arm's own gives the token entropy,
    another gives the perplexity of STORE's completions under it.
    """
    from probes.results.measured import measure_store
    from probes.results.studies import study_arm, study_pair, study_verifiers
    from probes.statistics.plan import k_grid
    from probes.store.store import ProbeStore

    opened = ProbeStore.open_existing(store)
    counts = opened.counts(verifier)
    k_max = default_ks([counts])[-1]
    verifier_id = opened.require_verifier(verifier)
    measured = measure_store(store, 0, verifier_id)
    result: dict[str, Any] = {"arm": study_arm(measured, k_max, seed)}
    if parts := study_verifiers(measured, k_grid(k_max), seed):
        result["by_verifier"] = parts
    if base is not None:
        result["against_base"] = study_pair(ProbeStore.open_existing(base).counts(verifier), counts, k_max, seed)
    if scored_by is not None:
        result["scored"] = score(opened, scored_by, draws_scored)
    result |= more_studies(opened, verifier_id, k_grid(k_max), guesses, other_prompt)
    if reasoning_judge is not None:
        result["reasoning"] = study_judged(opened, verifier_id, reasoning_judge, draws_judged, seed)
    if notes := store_notes([store, *([base] if base else [])]):
        result["notes"] = notes
    if as_json:
        print_json(result)
    else:
        show(result)


def more_studies(
    store: "ProbeStore",
    verifier_id: str,
    ks: Sequence[int],
    guesses: Path | None,
    other_prompt: Path | None,
) -> dict[str, Any]:
    """Returns the studies that need another store, those that were asked for."""
    from probes.results.studies import study_guesses, study_prompts
    from probes.store.store import ProbeStore

    found: dict[str, Any] = {}
    if guesses is not None:
        guessed = ProbeStore.open_existing(guesses).counts(verifier_id)
        found["without_guessable"] = study_guesses(store, verifier_id, guessed, ks)
    if other_prompt is not None:
        found["prompt"] = study_prompts(store, ProbeStore.open_existing(other_prompt), verifier_id, ks)
    return found


def study_judged(store: "ProbeStore", verifier_id: str, text: str, num_draws: int, seed: int) -> dict[str, Any]:
    """Returns CoT-pass@k over the first draws of each problem, after a judge has read those with a right answer."""
    from probes.results.studies import study_reasoning
    from probes.sampling.reasoning import judge_reasoning, reasoning_judge

    judge, outcomes = reasoning_judge(text), store.outcomes(verifier_id)
    answers = outcomes.first(min(num_draws, outcomes.num_first(store.plan())))
    with store.writing(problem_ids=()):
        num_judged = judge_reasoning(store, answers, judge, show_progress=True)
    judge.close()
    study = study_reasoning(answers, store.outcomes(judge.verifier_id), seed)
    return {"judge": judge.verifier_id, "num_judged_now": num_judged, **study}


def score(store: "ProbeStore", model_name: str, num_per_problem: int) -> dict[str, Any]:
    """Returns perplexity and token entropy of a store's first draws under a model."""
    from probes.scoring.scores import score_store
    from rlvr.models.loading import load_model, load_tokenizer, resolve_model

    source = resolve_model(model_name)
    tokenizer = load_tokenizer(source, None, trust_remote_code=False)
    model = load_model(source, None, trust_remote_code=False).eval()
    return {"model": model_name, **score_store(model, tokenizer, store, None, num_per_problem)}


def show(value: Any, indent: int = 0) -> None:
    """Prints nested values, one line each."""
    for key, item in value.items():
        if isinstance(item, dict) and item:
            echo(f"{' ' * indent}{key}")
            show(item, indent + 2)
        else:
            echo(f"{' ' * indent}{key}: {f'{item:.4g}' if isinstance(item, float) else item}")
