"""Verifiers that ask a server: a language model that judges, and a service of one's own.

Owns: what is asked, what counts as a reply, and that a server which fails is an `error`, never a zero.
Does not own: the servers; what a prompt in a completion may talk a judge into (`docs/remote-verifiers.md`).

    client      requests that are bounded, retried and given up
    rubric      what a judge is told, and how text of others is quoted
    cache       judgements by content, on disk
    judge       a language model behind a server of the OpenAI protocol
    http        a service that speaks the protocol of `docs/remote-verifiers.md`
"""
