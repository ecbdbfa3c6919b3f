"""Results: what a run or a comparison came to, as JSON that says what it does not show.

    schema       names and types of `summary.json` and `comparison.json`
    measured     a store, read once
    studies      all analyses of one arm, of two, and of a run
    summary      every number of a run
    comparison   arms against their base, under one band
    runs         runs and stores as arms of a comparison
    formatting   numbers as text
    cautions     what a reader must know first

Owns: `rlvr.summary/2` and `rlvr.comparison/2` (docs/contracts.md).
Does not own: estimates (`probes.statistics`, `probes.analyses`), how results are shown (`probes.report`).
"""
