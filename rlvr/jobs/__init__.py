"""Jobs: the top, where training and probing meet.

    resolve      from a recipe to what each room is given: the one place that reads its keys
    run          one run: train, probe while training, report
    teaching     where the demonstrations of a supervised arm come from
    comparison   several arms from one base, measured alike, one report
    dry_run      what a recipe resolves to, and what it will cost
    doctor       whether a run's folder is whole, and its training that of its recipe

Owns: joining `rlvr.training` and `probes`, which do not know each other.
Does not own: either.
"""
