"""Training: from settings and inputs to a trained model in a run folder.

    settings         what a run is given: task, settings, teacher
    train            the order of things; read it first
    data             what a trainer learns from
    rewards          from a verifier to TRL's reward functions, and their alarms
    demonstrations   what supervised arms learn from
    guards           a run that cannot learn stops by itself
    progress         the progress bar
    run_folder       one recipe, its manifest, one training at a time
    checkpoints      which are whole, which may go
    recipe           reading and checking recipes
    recipe_fields    the fields that rlvr adds to TRL's

Owns: a training run.
Does not own: the algorithms (`rlvr.algorithms`), what a recipe means to each room (`rlvr.jobs.resolve`), measuring:
nothing here imports `probes`.
"""
