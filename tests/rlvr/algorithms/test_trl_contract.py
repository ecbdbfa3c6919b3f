"""What we lean on in TRL. A failure here names the method that changed."""

import inspect

import pytest
import torch
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer, RLOOTrainer
from trl.generation.vllm_generation import VLLMGeneration
from trl.models import unwrap_model_for_generation
from trl.rewards import get_soft_overlong_punishment

SIGNATURES = [
    (GRPOTrainer, "log", ["self", "logs", "start_time"]),
    (GRPOTrainer, "_calculate_rewards", ["self", "inputs", "prompts", "completions", "completion_ids_list"]),
    (GRPOTrainer, "_generate", ["self", "prompts"]),
    (GRPOTrainer, "_generate_and_score_completions", ["self", "inputs"]),
    (GRPOTrainer, "_compute_loss", ["self", "model", "inputs"]),
    (RLOOTrainer, "_generate_and_score_completions", ["self", "inputs"]),
    (RLOOTrainer, "log", ["self", "logs", "start_time"]),
    (Trainer, "log", ["self", "logs", "start_time"]),
    (Trainer, "create_optimizer", ["self", "model"]),
    (Trainer, "_save", ["self", "output_dir", "state_dict"]),
    (Trainer, "_load_from_checkpoint", ["self", "resume_from_checkpoint", "model"]),
    (VLLMGeneration, "sync_weights", ["self"]),
]


@pytest.mark.parametrize(("owner", "method", "parameters"), SIGNATURES)
def test_a_method_has_the_signature_that_we_use(owner, method, parameters):
    assert list(inspect.signature(getattr(owner, method)).parameters) == parameters, (
        f"{owner.__name__}.{method} changed"
    )


def test_the_log_probabilities_are_asked_for_as_we_do():
    method = GRPOTrainer._get_per_token_logps_and_entropies
    names = ["self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"]
    assert list(inspect.signature(method).parameters)[:6] == names, f"{method.__qualname__} changed"


def test_generate_returns_eight_things_with_prompts_and_completions_where_we_read_them():
    source = inspect.getsource(GRPOTrainer._generate)
    returned = "return prompt_ids, completion_ids, tool_mask, completions, logprobs, extra_fields, images, tool_images"
    assert returned in source, "GRPOTrainer._generate returns something else"


def test_the_punishment_of_long_completions_is_the_one_of_dapo():
    """Equation 13, by hand: 10 tokens allowed, the last 4 of them punished."""
    punish = get_soft_overlong_punishment(10, 4)
    assert punish(completion_ids=[[0] * n for n in (6, 7, 10, 11)]) == [0.0, -0.25, -1.0, -1.0]


def test_a_checkpoint_keeps_the_state_of_callbacks():
    """RolloutCount reads its number from there when a run goes on."""
    source = inspect.getsource(Trainer._save_checkpoint)
    assert "stateful_callbacks" in source, "Trainer._save_checkpoint does not keep callbacks' state"


def test_unwrap_model_for_generation_takes_what_the_probe_passes():
    parameters = inspect.signature(unwrap_model_for_generation).parameters
    assert {"model", "accelerator", "gradient_checkpointing_kwargs"} <= set(parameters)


@pytest.fixture(scope="module")
def scored_trainer(tiny_base, tmp_path_factory):
    """TRL's GRPOTrainer with scripted rewards."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rewards = [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, None]
    return GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(tiny_base),
        reward_funcs=lambda completions, **_: rewards[: len(completions)],
        args=GRPOConfig(
            output_dir=str(tmp_path_factory.mktemp("contract")),
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=6,
            loss_type="grpo",
            scale_rewards="group",
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            report_to="none",
        ),
        train_dataset=Dataset.from_list([{"prompt": "1 2 3=6:"}, {"prompt": "2 3 4=9:"}]),
        processing_class=AutoTokenizer.from_pretrained(tiny_base, padding_side="left"),
    )


@pytest.fixture(scope="module")
def scored(scored_trainer):
    """One scored batch of GRPOTrainer: two groups of four; in the second, one reward is None."""
    rows = [{"prompt": "1 2 3=6:"}] * 4 + [{"prompt": "2 3 4=9:"}] * 4
    return scored_trainer._generate_and_score_completions(rows)


def test_the_dict_of_scored_completions_has_its_keys_and_shapes(scored):
    assert {"prompt_ids", "completion_ids", "completion_mask", "advantages", "num_items_in_batch"} <= set(scored)
    assert scored["advantages"].shape == (8,)
    assert scored["completion_ids"].shape == scored["completion_mask"].shape


def test_attributes_that_we_read_and_set_exist(scored_trainer):
    """ReMax makes TRL generate greedily, DAPO and PPO read the step and the accumulation."""
    names = ("num_generations", "generation_config", "generation_kwargs", "reward_weights", "beta", "use_vllm")
    names += ("_metrics", "_pending_metrics", "_pending_extra_logs", "_logs", "_step", "_tokenizer", "_dist")
    for name in names:
        assert hasattr(scored_trainer, name), f"GRPOTrainer.{name} is gone"


def test_advantages_are_the_groups_own(scored):
    """(r - mean) / (std + 1e-4) with the sample standard deviation, by hand."""
    torch.testing.assert_close(
        scored["advantages"][:4].cpu(), torch.tensor([-0.5, -0.5, 0.5, 0.5]) / (torch.tensor(1 / 3).sqrt() + 1e-4)
    )


def test_a_reward_of_none_gets_no_advantage_and_stays_out_of_the_mean(scored):
    group = scored["advantages"][4:].cpu()
    rewards = torch.tensor([1.0, 0.0, 0.0])
    expected = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    torch.testing.assert_close(group[:3], expected)
    assert group[3] == 0
