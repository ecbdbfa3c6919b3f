"""Scoring: what a model says of stored draws, by a forward pass over their text.

    token_scores   log probabilities and entropies of tokens, in batches
    perplexity     one arm's completions under another, token entropy, with intervals
    scores         the numbers beside a probe, as JSON values

Owns: everything about stored draws that needs a model in memory.
Does not own: sampling (`probes.engines`), analyses of verdicts alone (`probes.analyses`).
"""
