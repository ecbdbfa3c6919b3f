"""The subcommands of `probes`, a file each.

    plan, sample, watch, verify     making draws and verdicts
    estimate, compare, analyze      numbers from them
    report, schema                  how they are shown
    upkeep, importing               damage, repair, copies; logs of other tools
    common                          what several of these share

Owns: flags, progress, and what is printed.
Does not own: the work. Modules are light: torch, numpy and scipy are loaded when a command runs, not for --help.
"""
