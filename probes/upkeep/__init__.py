"""Upkeep of stores: what is wrong with one, mending it without losing a draw, and copying it while it is written.

    checks    reading a file that may be damaged, row by row
    doctor    what is wrong with a store, what it owes, what could mislead
    repair    mends what can be mended, and sets aside what cannot; deletes nothing
    backup    a consistent copy of a store that may be written meanwhile
    export    draws with their verdicts, as Parquet, JSON lines or a data set

Owns: the health of what is stored.
Does not own: reading and writing it as usual (`probes.store`), making draws that are owed (`probes.sampling`).
"""
