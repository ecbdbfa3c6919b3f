"""What a sandboxed process does: modules whose sources are sent to the driver with its task.

Owns: the roles of the code verifier's processes.
Does not own: the driver that takes them (`rlvr.sandbox.inside`), who talks to whom (`rlvr.verifiers.code.verifier`).

They import the standard library, the driver, and each other.

    pairs    runs a script several times, in a fork for each
    plain    the codec of plain data
    objects  serves a program's functions and objects
    proxies  what stands for those in tests
    tester   runs tests, which ask for them
"""
