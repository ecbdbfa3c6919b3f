"""Programs: does the code of a completion pass the tests of its problem?

Owns: what is taken for the program, formats of tests, and the verdict.
Does not own: the sandbox that programs run in (`rlvr.sandbox`).

    verifier      runs programs in a sandbox, relays calls, and judges
    tests         tests as typed parts; the sources of a program
    extraction    what is taken for the program in a completion
    imports       imports that published harnesses put before a program
    published     columns of published data sets
    modules       modules of tests in pytest's style
    beside_tests  what stands before the tests in their sandbox
    compare       outputs of scripts
    checker       a problem's own judge of outputs
"""
