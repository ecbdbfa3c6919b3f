"""Statistics: plans, estimators, intervals, cost. Pure functions; numpy, and scipy where an interval needs it.

    plan         how many draws a problem owes, decided at a few looks; shards of problems
    outcomes     replaying a plan over verdicts: what is owed, what counts
    estimators   `Counts`, pass@k and its variance
    sequential   the same under a plan that stops early, exactly unbiased
    intervals    what the choice of problems adds; paired comparisons under one band
    cost         what a plan costs, before it is made
    tables       counts from CSV

Owns: everything that is computed from counts or codes alone.
Does not own: draws and verdicts on disk (`probes.store`), the studies of the papers (`probes.analyses`).
"""
