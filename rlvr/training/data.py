"""What a trainer learns from: prompts and reward functions, or demonstrations.

Owns: the data set and the reward functions that TRL is given.
Does not own: rewards (`rlvr.training.rewards`), demonstrations (`rlvr.training.demonstrations`).
"""

from typing import Any

from rlvr.problems.prompts import eos_token_ids
from rlvr.training.demonstrations import count_rollouts, count_tokens, make_rows
from rlvr.training.rewards import make_format_reward, make_reward_function
from rlvr.training.settings import Inputs


def what_to_learn(inputs: Inputs, tokenizer: Any, model: Any) -> dict[str, Any]:
    """Returns a trainer's arguments for its data: prompts and a reward function, or demonstrations."""
    from datasets import Dataset

    if inputs.demonstrations is not None:
        rows = make_rows(inputs.demonstrations, inputs.prompt_format, tokenizer)
        lengths = {each.problem_id: len(inputs.prompt_format.token_ids(each, tokenizer)) for each in inputs.problems}
        return {
            "train_dataset": Dataset.from_list(rows),
            "num_rollouts": count_rollouts(inputs.demonstrations),
            "num_rollout_tokens": count_tokens(inputs.demonstrations, lengths),
        }
    stop = frozenset(eos_token_ids(tokenizer, model.generation_config))
    rewards: list[Any] = [make_reward_function(inputs.verifier, inputs.problems, stop, inputs.shadow)]
    if inputs.format_reward:
        rewards.append(make_format_reward(inputs.format_reward))
    return {"train_dataset": make_dataset(inputs, tokenizer), "reward_funcs": rewards}


def make_dataset(inputs: Inputs, tokenizer: Any) -> Any:
    """Returns TRL's data set: columns `prompt` (text or messages) and `problem_id`."""
    from datasets import Dataset

    rows = [
        {"prompt": inputs.prompt_format.render(problem, tokenizer), "problem_id": problem.problem_id}
        for problem in inputs.problems
    ]
    return Dataset.from_list(rows)
