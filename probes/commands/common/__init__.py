"""What the subcommands share.

    options       flags, their checks and help texts
    measurement   from flags to a measurement
    output        tables, JSON, numbers as text, and reading counts

Owns: one meaning for a flag that several commands have.
Does not own: the commands (`probes.commands`).
"""
