"""Equality of answers by their notation, before any mathematics.

Owns: the rules, and what they stand on.
Does not own: mathematics (`rlvr.verifiers.answers.math_worker`).

    rules      the table of rules
    structure  lists, sets, tuples, relations and their parts
    units      values and units
    limits     what an answer may cost
"""
