"""Train language models with verifiable rewards.

    problems     what is asked: problems, prompts, where they come from
    sandbox      where code runs that nobody has read; workers that can be killed
    verifiers    what is right: verdicts, a file a verifier
    models       what is asked: loading, decoding, the testbed
    rollouts     what a training generates: how often of which problem, in which order
    algorithms   what each adds to TRL, a file an algorithm
    training     recipe, rewards, trainer, run folder, guards; read `training/train.py` first
    jobs         one run with its probes, a comparison, a teacher, a dry run

Owns: problems, verifiers, models, algorithms, training runs.
Does not own: measurement. That is the package `probes`, which stands on problems, verifiers and models; training and
algorithms do not know it, and `jobs` joins the two.

Importing this package loads neither torch nor trl; its public names come when they are used.
"""

from typing import TYPE_CHECKING

from rlvr.lazy import lazy_names

if TYPE_CHECKING:
    from rlvr.problems import Problem, ProblemSet, load_problems
    from rlvr.verifiers import make_verifier

__version__ = "0.2.0"
__all__ = ["Problem", "ProblemSet", "load_problems", "make_verifier"]

_HOMES = {
    "Problem": "rlvr.problems",
    "ProblemSet": "rlvr.problems",
    "load_problems": "rlvr.problems",
    "make_verifier": "rlvr.verifiers",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
