"""Scores of reasoning-gym's own task families.

Owns: finding the answer, scoring it, and which families' scorers evaluate text.
Does not own: entries as problems (`rlvr.problems.reasoning_gym`), processes (`rlvr.sandbox.pool`).

    verifier   the verifier
    families   which scorers evaluate an answer
    worker     the worker's side
    guard      what may be evaluated there
"""
