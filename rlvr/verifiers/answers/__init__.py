"""Final answers: verifiers of what a completion says in the end.

Owns: where a final answer stands in a text, and whether it is the gold answer.
Does not own: texts that are judged as a whole, what all verifiers share, and names of verifiers (`rlvr.verifiers`).

    extraction   where an answer stands in a completion
    sentences    what a sentence says that nothing marks
    notation     an answer without its decoration, and its exact value
    equality/    when two notations are one answer
    exact        the same string
    choice       an option of a multiple choice
    numeric      a number within a tolerance
    math         mathematical equality
    math_worker  the worker's side of it, with math-verify
"""
