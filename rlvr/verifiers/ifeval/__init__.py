"""`ifeval`: does a text follow the instructions that can be checked, as IFEval has them?

Owns: the 25 kinds of instructions of google/IFEval, what they take, and strict and loose accuracy.
Does not own: rows in the published form (`rlvr.problems.ifeval`).

    verifier       all instructions of a problem, strictly and loosely
    instructions   the kinds of instructions, each with its check
    counting       words, sentences, paragraphs, lines
    language       which language a text has, by py3langid

Source: Zhou et al., Instruction-Following Evaluation for Large Language Models, 2311.07911.
"""
