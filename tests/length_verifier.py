"""A verifier for small runs: an untrained model meets it about half the time, so that there is something to learn."""


def even_length(problem, completion: str) -> bool:
    """Returns whether the completion has an even number of characters."""
    return len(completion) % 2 == 0


def always(problem, completion: str) -> bool:
    """Returns that everything is correct: there is nothing to learn."""
    return True


def varied(problem, completion: str) -> bool:
    """Returns whether the completion has six different characters; a spoilt model, which repeats itself, never does."""
    return len(set(completion)) >= 6
