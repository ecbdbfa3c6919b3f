"""Rollouts: what a training generates and learns from, beside its model.

    order       in which rows of the data set are visited, and how often each has been after so many steps
    exposures   the count of rollouts by problem, kept in checkpoints
    shadow      what a second verifier says of them, which rewards none
    agreement   how often it and the reward part, with intervals
    kept        the rollouts themselves, on request, as Parquet

Owns: what is counted of rollouts, and the order that the count is held against.
Does not own: generating them (TRL), rewarding them (`rlvr.training.rewards`), learning from them (`rlvr.algorithms`).
"""
