"""Programs: does the code of a completion pass the tests of its problem?

Owns: what is taken for the program, formats of tests, and the verdict.
Does not own: the sandbox that programs run in (`rlvr.sandbox`).

    verifier    runs programs in a sandbox, relays calls, and judges
    tests       formats of tests and programs
"""
