"""What we lean on in TRL. A failure here names the method that changed."""

import inspect

import pytest
import torch
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer
from trl.models import unwrap_model_for_generation


@pytest.mark.parametrize(
    ("owner", "method", "parameters"),
    [
        (GRPOTrainer, "log", ["self", "logs", "start_time"]),
        (GRPOTrainer, "_calculate_rewards", ["self", "inputs", "prompts", "completions", "completion_ids_list"]),
        (GRPOTrainer, "_generate_and_score_completions", ["self", "inputs"]),
        (GRPOTrainer, "_compute_loss", ["self", "model", "inputs"]),
        (Trainer, "log", ["self", "logs", "start_time"]),
    ],
)
def test_a_method_has_the_signature_that_we_use(owner, method, parameters):
    assert list(inspect.signature(getattr(owner, method)).parameters) == parameters, (
        f"{owner.__name__}.{method} changed"
    )


def test_unwrap_model_for_generation_takes_what_the_probe_passes():
    parameters = inspect.signature(unwrap_model_for_generation).parameters
    assert {"model", "accelerator", "gradient_checkpointing_kwargs"} <= set(parameters)


@pytest.fixture(scope="module")
def scored(tiny_base, tmp_path_factory):
    """One scored batch of GRPOTrainer: two groups of four; in the second, one reward is None."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rewards = [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, None]
    trainer = GRPOTrainer(
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
    rows = [{"prompt": "1 2 3=6:"}] * 4 + [{"prompt": "2 3 4=9:"}] * 4
    return trainer._generate_and_score_completions(rows)


def test_the_dict_of_scored_completions_has_its_keys_and_shapes(scored):
    assert {"prompt_ids", "completion_ids", "completion_mask", "advantages", "num_items_in_batch"} <= set(scored)
    assert scored["advantages"].shape == (8,)
    assert scored["completion_ids"].shape == scored["completion_mask"].shape


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
