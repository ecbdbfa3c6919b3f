"""Analyses: each one function from stored draws, or their counts, to a typed result.

    curves        pass@k as records, sampling-efficiency gap
    histogram     accuracies in twelve bins
    cells         solved sets of two arms, the same-model null, what training kept and added, forgetting
    answers       answer entropy, distinct correct answers
    reliability   pass^k, G-Pass@k, Cover@tau
    extrapolation pass@k beyond the draws, with a check of the fit
    rates         truncation, no answer, length
    modes         pass@1 in both modes of a verifier
    guessability  leaving out what is solved without reasoning
    reasoning     CoT-pass@k, from what a judge says of the reasoning
    prompts       one model under two prompts

Owns: the studies of Yue et al. (arXiv 2504.13837) and its follow-ups.
Does not own: pass@k and its comparisons (`probes.statistics.estimators`, `probes.statistics.intervals`), where results
go (`probes.results.summary`, `probes.commands.analyze`).
"""
