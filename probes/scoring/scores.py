"""Scores: what a model says of completions, its own and those of the base, in one forward pass.

Owns: which draws are scored beside a probe, and their numbers as JSON values.
Does not own: the forward pass and its statistics (`probes.scoring.perplexity`).
"""

from typing import Any

from probes.scoring.perplexity import cross_perplexity, score_draws, scoring_prompts, select_draws, token_entropy
from probes.store.store import ProbeStore
from rlvr.problems.prompts import PromptFormat


def score_probe(
    model: Any,
    tokenizer: Any,
    own: ProbeStore,
    base: ProbeStore | None,
    prompt_format: PromptFormat | None,
    num_per_problem: int,
) -> dict[str, Any]:
    """Returns token entropy and perplexity of a model's own first draws, and perplexity of the base's under it.

    Args:
        model: in evaluation mode.
        tokenizer: of the model.
        own: its draws.
        base: draws of the base arm; None where `own` are these.
        prompt_format: of the model; None takes that of each store's arm.
        num_per_problem: draws of each problem, at most the first look's.
    """
    scored = {"own": score_store(model, tokenizer, own, prompt_format, num_per_problem)}
    if base is not None and base.path != own.path:
        scored["base"] = score_store(model, tokenizer, base, prompt_format, num_per_problem)
    return scored


def score_store(
    model: Any, tokenizer: Any, store: ProbeStore, prompt_format: PromptFormat | None, num_per_problem: int
) -> dict[str, Any]:
    """Returns perplexity, bits per character and token entropy of a store's first draws under a model."""
    selection = select_draws(store, num_per_problem)
    prompts = scoring_prompts(store, tokenizer, prompt_format)
    scores = list(score_draws(model, tokenizer, selection.draws, prompts))
    perplexity, entropy = cross_perplexity(scores, selection), token_entropy(scores, selection).entropy
    lo, hi = perplexity.perplexity_interval
    return {
        "perplexity": {"estimate": perplexity.perplexity, "lo": lo, "hi": hi},
        "bits_per_char": perplexity.bits_per_char,
        "token_entropy": {"estimate": entropy.mean, "lo": entropy.lo, "hi": entropy.hi},
        "num_draws": perplexity.scope.num_draws,
        "num_cut": perplexity.scope.num_cut,
        "num_respelled": perplexity.scope.num_respelled,
    }
