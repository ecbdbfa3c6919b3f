"""The store: durable draws and verdicts, what they were sampled from, and which step of a run lies where.

    arm            identity of what was sampled from, by content
    store          `ProbeStore`: draws and verdicts of one arm
    writer_files   the files of one writer, and its lock
    index          which probe of a run lies in which store
    checkpoints    what a trainer leaves in its folder
    files          writing a file whole or not at all

Owns: what measurement leaves on disk (docs/contracts.md), and reading it back.
Does not own: which draws are owed (`probes.statistics.plan`), making them (`probes.engines`), judging them
(`rlvr.verifiers`).
"""
