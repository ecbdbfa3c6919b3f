"""Models: from the name in a recipe to something that trains, and decoding without a store, a plan or a draw.

    loading    testbed names, folders, GGUF files, Hub ids; models and tokenizers
    testbed    the small base that is pre-trained here
    decoder    prompts and random numbers in, finished rows out
    batch      the rows that are decoded together, and their caches of keys and values
    colocate   what must hold before vLLM starts in the trainer's process

Owns: models as transformers has them.
Does not own: draws (`probes.engines`), training (`rlvr.training`).
"""
