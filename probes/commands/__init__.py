"""The subcommands of `probes`, one file each.

Owns: flags, progress, and what is printed; `options` and `output` hold what they share.
Does not own: the work. Modules are light: torch, numpy and scipy are loaded when a command runs, not for --help.
"""
