"""Measure language models by large-k pass@k: checkpoints in, curves out.

Owns: plan, engines, store, estimators, intervals, analyses, callback, report.
Does not own: training. `probes` uses `rlvr.{errors, problems, prompts, verdicts, verifiers}` and never
`rlvr.training.train`.

Flow, one way and through files: plan -> draws -> verdicts -> counts -> estimates -> comparison -> report.

Importing this package loads neither torch nor trl.
"""
