"""The store: durable draws and verdicts, what they were sampled from, and which step of a run lies where.

    arm            identity of what was sampled from, by content
    draws          `Draw`: one completion, and its checksum
    store          `ProbeStore`: draws and verdicts of one arm
    drawn          what was drawn, by all writers, and which verdicts are of it
    claims         who may make which draws
    formats        the two formats of files: SQLite that is written, Parquet that it ends in
    writer_files   the files of each writer, read as one
    versions       the tables, their version, and the way from an older one
    sqlite         files that a stranger may have made, or a killed writer left
    index          which probe of a run lies in which store
    checkpoints    what a trainer leaves in its folder
    files          JSON with a checksum; errors of the disk in words

Owns: what measurement leaves on disk (docs/contracts.md), and reading it back.
Does not own: which draws are owed (`probes.statistics.plan`), making them (`probes.engines`), judging them
(`rlvr.verifiers`).
"""
