"""The store: durable draws and verdicts, what they were sampled from, and which step of a run lies where.

    arm            identity of what was sampled from, by content
    draws          `Draw`: one completion, and its checksum
    store          `ProbeStore`: draws and verdicts of one arm
    drawn          what was drawn of one problem, by all writers, and which verdicts are of it
    cells          outcomes of all draws as a matrix; which of several verdicts counts
    claims         who may make which draws
    formats        the two formats of files: SQLite that is written, Parquet that it ends in; opening either with care
    writer_files   the files of each writer, read as one
    versions       the tables, their version, and the way from an older one
    index          which probe of a run lies in which store
    checkpoints    what a trainer leaves in its folder
    files          JSON with a checksum; errors of the disk in words

Owns: what measurement leaves on disk (docs/contracts.md), and reading it back.
Does not own: which draws are owed (`probes.statistics.plan`), making them (`probes.engines`), judging them
(`rlvr.verifiers`).
"""
