"""The recipe fields that rlvr adds to TRL's, and what recipe keys are for.

Owns: names, defaults and one-line descriptions; which keys may change in a run, must agree in a comparison, are shown.
Does not own: reading and checking (`rlvr.training.recipe`). Light, because `--help` shows it.
"""

from dataclasses import dataclass, field, fields
from typing import Any

# Keys that may change between two starts of one run: they decide neither what is trained nor what is measured.
FREE_KEYS = frozenset(
    {
        "output_dir",
        "logging_dir",
        "logging_steps",
        "logging_first_step",
        "log_level",
        "log_completions",
        "disable_tqdm",
        "report_to",
        "run_name",
        "save_total_limit",
        "probe_store",
        "dataloader_num_workers",
        "guard_patience",
        "keep_rollouts",
        "probe_on_narrowing",
    }
)
SEED_KEYS = ("seed", "data_seed", "probe_seed")
# The arms of a comparison must agree on these: they decide what is learned from, where training starts, and how it is
# measured.
SHARED_KEYS = (
    "model_name_or_path",
    "dtype",
    "verifier",
    "train_problems",
    "prompt_template",
    "prompt_system",
    "prompt_chat",
    "prompt_think",
    "probe_problems",
    "probe_steps",
    "probe_k_max",
    "probe_max_draws",
    "probe_first_look",
    "probe_stop_at",
    "probe_give_up_at",
    "probe_temperature",
    "probe_top_p",
    "probe_top_k",
    "max_steps",
)
# What a run's report says of its recipe.
SHOWN_KEYS = (
    "train_problems",
    "verifier",
    "shadow_verifier",
    "num_generations",
    "learning_rate",
    "beta",
    "loss_type",
    "scale_rewards",
    "format_reward",
    "max_steps",
    "max_completion_length",
    "teacher",
    "teacher_draws",
    "temperature",
    "seed",
    "use_peft",
    "probe_temperature",
    "probe_top_p",
)


@dataclass
class RunArguments:
    """The fields that rlvr adds to TRL's."""

    algorithm: str = field(
        default="grpo",
        metadata={
            "help": "What to train with: grpo, ppo, rloo, rloo_sequence, reinforce_plus_plus, "
            "reinforce_plus_plus_baseline, remax, dapo, distill or rft."
        },
    )
    verifier: str | None = field(
        default=None,
        metadata={
            "help": "choice, code, countdown, exact, fault, http, ifeval, judge, math, mixture, numeric, "
            "reasoning_gym, or package.module:function(problem, completion); options as ?key=value&..."
        },
    )
    shadow_verifier: str | None = field(
        default=None,
        metadata={"help": "A second verifier, which judges rollouts and rewards none; an alarm says where they part."},
    )
    train_problems: str | None = field(
        default=None,
        metadata={
            "help": "JSONL file, Hub data set, countdown:SPLIT, humaneval or reasoning_gym:FAMILY; options as "
            "?key=value&..., with verifier=NAME also what judges them; several are joined with ' + '"
        },
    )
    format_reward: float = field(
        default=0.0, metadata={"help": "Added to the reward of a completion with an answer in \\boxed{}; 0 is off."}
    )
    keep_rollouts: bool = field(
        default=False, metadata={"help": "Keep all rollouts with rewards and advantages, in output_dir/rollouts."}
    )
    prompt_template: str = field(default="{question}", metadata={"help": "Text with one {question}."})
    prompt_system: str | None = field(default=None, metadata={"help": "System message of a chat prompt."})
    prompt_chat: str = field(default="auto", metadata={"help": "Use the chat template: auto, chat or plain."})
    prompt_think: str = field(
        default="on",
        metadata={
            "help": "Where reasoning stands, for the verifier: on (between think tags), open (the prompt opens) or off."
        },
    )
    teacher: str | None = field(
        default=None, metadata={"help": "Of distill: a model, a JSONL file of completions, or solver (Countdown)."}
    )
    teacher_engine: str = field(
        default="transformers", metadata={"help": "What samples a teacher: transformers, vllm, openai or ray."}
    )
    teacher_endpoint: str | None = field(
        default=None, metadata={"help": "Base URL of the teacher's server, for teacher_engine: openai."}
    )
    teacher_draws: int = field(default=16, metadata={"help": "Completions per problem that a teacher model makes."})
    teacher_max_kept: int = field(default=4, metadata={"help": "Distinct correct completions kept per problem."})
    teacher_temperature: float = field(default=1.0, metadata={"help": "Sampling temperature of a teacher model."})
    teacher_max_new_tokens: int = field(default=1024, metadata={"help": "Token limit of a teacher's completion."})
    probe_problems: str | None = field(
        default=None, metadata={"help": "Held-out problems, as train_problems; without it nothing is probed."}
    )
    probe_steps: int = field(default=0, metadata={"help": "Probe every so many steps; 0: at start and end only."})
    probe_k_max: int = field(default=256, metadata={"help": "Largest k of pass@k."})
    probe_max_draws: int = field(default=512, metadata={"help": "Draws per problem; at least 2 * probe_k_max."})
    probe_first_look: int = field(default=32, metadata={"help": "Draws before the first decision to stop."})
    probe_stop_at: int = field(
        default=16, metadata={"help": "Successes that end a problem's draws; 0 draws probe_max_draws for all."}
    )
    probe_give_up_at: int = field(
        default=0, metadata={"help": "Draws after which a problem without success ends; 0: probe_max_draws."}
    )
    probe_temperature: float = field(default=1.0, metadata={"help": "Sampling temperature of a draw."})
    probe_top_p: float = field(default=1.0, metadata={"help": "Nucleus filter of a draw; 1 is off."})
    probe_top_k: int = field(default=0, metadata={"help": "Top-k filter of a draw; 0 is off."})
    probe_max_new_tokens: int | None = field(
        default=None, metadata={"help": "Token limit of a draw; by default max_completion_length."}
    )
    probe_num_scored: int = field(
        default=8, metadata={"help": "Draws per problem read again for token entropy and perplexity; 0: none."}
    )
    probe_store: str | None = field(
        default=None, metadata={"help": "Folder of the stores, one per arm; runs may share it. Default: in output_dir."}
    )
    probe_on_narrowing: str = field(
        default="log",
        metadata={"help": "When a probe shows a loss at probe_k_max against step 0: log, save or stop."},
    )
    guard_patience: int = field(
        default=50,
        metadata={"help": "Logged steps with equal rewards, or cut rollouts only, that stop a run; 0: never."},
    )
    probe_seed: int = field(default=0, metadata={"help": "Seed of the resampling in intervals."})


def describe_fields() -> list[tuple[str, str]]:
    """Returns (flag, description with default) of every field."""
    return [(f"--{item.name}", f"{item.metadata['help']} [{item.default}]") for item in fields(RunArguments)]


def defaults() -> dict[str, Any]:
    """Returns the default of every field, by name."""
    return {item.name: item.default for item in fields(RunArguments)}
