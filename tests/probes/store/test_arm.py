"""Arms: identity by content, whatever the folder and the way the weights are held."""

import copy
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from probes.store.arm import Arm, Sampling, arm_of, hash_tokenizer, hash_weights
from rlvr.problems.prompts import PromptFormat


def with_lora(model):
    torch.manual_seed(0)
    return get_peft_model(copy.deepcopy(model), LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))


def test_saving_and_loading_keeps_the_identity(tiny_model, tiny_tokenizer, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny_model.save_pretrained(tmp_path / "copy")
    tiny_tokenizer.save_pretrained(tmp_path / "copy")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "copy")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "copy", padding_side="left")
    first = arm_of(tiny_model, tiny_tokenizer, PromptFormat(), Sampling())
    assert arm_of(loaded, tokenizer, PromptFormat(), Sampling()) == first


def test_padding_a_batch_does_not_change_the_tokenizers_identity(tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    before = hash_tokenizer(tokenizer)
    tokenizer(["1", "123"], padding=True, truncation=True, max_length=2)
    assert hash_tokenizer(tokenizer) == before


def test_one_bit_of_one_weight_makes_another_arm(tiny_model):
    model = copy.deepcopy(tiny_model)
    before = hash_weights(model)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] += 1e-4
    assert hash_weights(model) != before


def test_a_fresh_adapter_is_the_base_arm_and_a_trained_one_is_not(tiny_model):
    adapted = with_lora(tiny_model)
    assert hash_weights(adapted) == hash_weights(tiny_model)
    with torch.no_grad():
        adapted.base_model.model.model.layers[0].self_attn.q_proj.lora_B["default"].weight.fill_(0.01)
    trained = hash_weights(adapted)
    assert trained != hash_weights(tiny_model)
    assert hash_weights(adapted.merge_and_unload()) == trained


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"weights": "x"}, "weights"),
        ({"sampling": Sampling(temperature=0.5)}, "sampling"),
        ({"stop_token_ids": (1, 2)}, "stop_token_ids"),
        ({"dtype": "bfloat16"}, "dtype"),
        ({"prompt": {"template": "Q: {question}"}}, "prompt"),
    ],
)
def test_every_field_counts_and_is_named(change, field):
    arm = Arm("w", "t", {"template": "{question}"}, Sampling(), (1,), "float32")
    other = replace(arm, **change)
    assert other.arm_id != arm.arm_id
    assert arm.differences(other) == [field]
    assert Arm.from_json(other.to_json()) == other
