"""Sampling: the measurement itself, from what is owed to verdicts in a store.

    probe      one probe: owed draws, verdicts, storage; read it first
    judging    verdicts of delivered draws, beside the engine where the verifier allows it
    reasoning  verdicts on the reasoning of right answers
    sample     sampling a store from a model's name, alone or under a launcher
    callback   probing while a trainer trains
    watch      probing the checkpoints of a run as they appear

Owns: the order of things in a measurement.
Does not own: engines, stores, estimates; each has a room of its own.
"""
