"""The exceptions that a user can meet.

    RlvrError             exit code 1: something went wrong that the input cannot explain
    └── InputError        exit code 2: what was seen, what was expected, what to do
        ├── RecipeError   a key or value of a recipe or flag
        ├── ProblemError  a problem file, a row of it, or a problem set
        ├── ModelError    a model or tokenizer that cannot be used
        ├── RunError      a run folder that belongs to another recipe
        │   └── GuardError    a training that was stopped because it cannot learn any more
        ├── StoreError    a store of draws that cannot be used as asked
        │   ├── StoreFullError    the disk refused a write; nothing half-written remains
        │   ├── StoreDamageError  what is stored is not as it was stored
        │   └── StoreNewerError   a newer program made it
        └── EngineError   an engine that cannot go on: a dead server, too little memory

Commands print the message on one line and exit with `exit_code`.
"""


class RlvrError(Exception):
    """Base of all errors that rlvr and probes raise on purpose."""

    exit_code = 1


class InputError(RlvrError):
    """The input cannot be used as it is; the message says what to do."""

    exit_code = 2


class RecipeError(InputError):
    """A recipe or flag is wrong."""


class ProblemError(InputError):
    """A problem file, row or set is wrong."""


class ModelError(InputError):
    """A model or tokenizer cannot be loaded as asked."""


class RunError(InputError):
    """A run folder cannot be used by this recipe."""


class GuardError(RunError):
    """A training was stopped because it cannot learn any more; its folder is not finished."""


class StoreError(InputError):
    """A store cannot be used as asked."""


class StoreFullError(StoreError):
    """The disk is full; what was durable before stays."""


class StoreDamageError(StoreError):
    """What is stored is not as it was stored; `probes doctor --repair` keeps what can be read."""


class StoreNewerError(StoreError):
    """A newer program made it; the message says which."""


class EngineError(InputError):
    """An engine cannot go on; draws that it delivered are stored."""
