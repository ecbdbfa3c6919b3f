"""Train language models with verifiable rewards.

Owns: problems, prompts, verifiers, rewards, algorithms, training runs.
Does not own: measurement. That is the package `probes`; only `rlvr.cli` joins the two.

Importing this package loads neither torch nor trl.
"""

__version__ = "0.1.0"
