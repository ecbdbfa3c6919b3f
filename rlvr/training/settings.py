"""What a training run is given: a task, the settings of the training, a teacher.

Owns: these types, reading a task's problems and verifier, and TRL's training config.
Does not own: recipes (`rlvr.training.recipe`), which `rlvr.jobs.resolve` turns into these; measurements (`probes`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr.algorithms import Algorithm
from rlvr.errors import RecipeError
from rlvr.problems import ProblemSet, load_problems
from rlvr.problems.prompts import PromptFormat
from rlvr.training.demonstrations import SOLVER, Demonstrations
from rlvr.verifiers import Verifier, make_verifier, verifier_for


@dataclass(frozen=True)
class Inputs:
    """What a run learns from, loaded and checked before anything is written.

    Attributes:
        problems: to train on.
        verifier: judges the rollouts.
        prompt_format: how problems are shown.
        format_reward: added for an answer in the format asked for; 0 is off.
        demonstrations: of a supervised algorithm, else None.
        shadow: judges the rollouts, too, and rewards none; None of most runs.
    """

    problems: ProblemSet
    verifier: Verifier
    prompt_format: PromptFormat
    format_reward: float = 0.0
    demonstrations: Demonstrations | None = None
    shadow: Verifier | None = None


@dataclass(frozen=True)
class Task:
    """What is asked and what is right, by the names that a recipe has for them.

    Attributes:
        problems: for `load_problems`.
        verifier: for `make_verifier`.
        prompt_format: how problems are shown.
        format_reward: see `Inputs`.
        shadow: for `make_verifier`, or None.
    """

    problems: str
    verifier: str
    prompt_format: PromptFormat
    format_reward: float = 0.0
    shadow: str | None = None

    def load(self) -> Inputs:
        """Returns the training problems, read, and their verifier, which can judge them.

        Raises:
            InputError: a file, row, gold answer or name is wrong.
        """
        think = self.prompt_format.think
        default = make_verifier(self.verifier, think)  # a wrong name is said before problems are read
        problems = load_problems(self.problems)
        verifier = verifier_for(problems, self.verifier, think, default)
        shadow = make_verifier(self.shadow, think) if self.shadow else None
        for each in filter(None, (verifier, shadow)):
            each.check_problems(list(problems))
        return Inputs(problems, verifier, self.prompt_format, self.format_reward, shadow=shadow)


@dataclass(frozen=True)
class TrainingSettings:
    """What is trained, and how.

    Attributes:
        algorithm: its config and trainer classes.
        values: of the config's fields, by name.
        model: TRL's ModelConfig.
        guard_patience: see `rlvr.training.guards`.
        keep_rollouts: keep all rollouts, see `rlvr.rollouts.kept`.
        source: the recipe's file, for messages; None where flags alone made it.
    """

    algorithm: Algorithm
    values: Mapping[str, Any]
    model: Any
    guard_patience: int
    keep_rollouts: bool = False
    source: str | None = None

    @property
    def output_dir(self) -> Path:
        """The run's folder."""
        return Path(self.values["output_dir"])

    @property
    def max_steps(self) -> int:
        """Optimizer steps, or -1 where epochs decide."""
        return int(self.values["max_steps"])

    @property
    def per_device_batch(self) -> int:
        """Completions, or rows, of one process in one forward and backward pass."""
        return int(self.values["per_device_train_batch_size"])

    @property
    def model_name(self) -> str:
        """Hub id, folder, GGUF file or `testbed:NAME`."""
        return str(self.model.model_name_or_path)

    @property
    def trust_remote_code(self) -> bool:
        """Whether code that comes with the model is run."""
        return bool(self.values.get("trust_remote_code"))

    @property
    def dtype(self) -> str:
        """Of the computation; `auto` is the checkpoint's own."""
        return str(self.model.dtype or "auto")

    def arguments(self, **overrides: Any) -> Any:
        """Returns TRL's training config; building it checks the values against each other and sets up the devices.

        Raises:
            RecipeError: TRL or transformers refuse the values, or a tracker is not installed.
        """
        check_trackers(self.values.get("report_to"))
        try:
            return self.algorithm.config_class(**{**self.values, **overrides})
        except (ValueError, ImportError, TypeError) as error:
            raise RecipeError(f"{self.source or 'recipe'}: {' '.join(str(error).split())}") from error


@dataclass(frozen=True)
class Teacher:
    """Who makes the demonstrations of a supervised algorithm.

    Attributes:
        name: a model, a JSONL file of completions, or `solver`.
        engine: what samples a model.
        endpoint: base URL of its server, for the engine `openai`.
        draws: completions per problem that a model makes.
        max_kept: distinct correct completions kept per problem.
        temperature: of a model.
        max_new_tokens: of a completion.
    """

    name: str
    engine: str = "transformers"
    endpoint: str | None = None
    draws: int = 16
    max_kept: int = 4
    temperature: float = 1.0
    max_new_tokens: int = 1024

    @property
    def is_solver(self) -> bool:
        """Whether the testbed's exhaustive solver makes them."""
        return self.name == SOLVER

    @property
    def is_file(self) -> bool:
        """Whether a file has them."""
        return self.name.endswith((".jsonl", ".json"))

    @property
    def is_model(self) -> bool:
        """Whether a model makes them here, which costs rollouts."""
        return not self.is_solver and not self.is_file


def check_trackers(report_to: str | Sequence[str] | None) -> None:
    """Raises `RecipeError` where a tracker is unknown or not installed; transformers would find out after the setup."""
    from transformers.integrations import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

    wanted = [report_to] if isinstance(report_to, str) else report_to or []
    for name in set(wanted) - {"none", "all"} - set(get_available_reporting_integrations()):
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise RecipeError(f"report_to: {name!r} is not known; expected none, or some of {known}.")
        raise RecipeError(f"report_to: {name} is not installed; pip install {name}, or report_to: none.")
