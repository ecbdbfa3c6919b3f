"""Advantage functions: by hand, and by what must hold for any input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlvr.algorithms.advantages import group_centred, leave_one_out, return_to_go, token_rewards, whiten
from rlvr.algorithms.ppo import gae
from rlvr.algorithms.reinforce_plus_plus import Config as UngroupedConfig
from rlvr.algorithms.remax import Config as RemaxConfig

NAN = float("nan")
MASK_BT = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


def alone(value):
    """The sum over one process."""
    return value


def test_the_reward_stands_on_the_last_token_and_the_penalty_on_each():
    found = token_rewards(torch.tensor([1.0, NAN, 1.0]), torch.full((3, 4), 0.25), MASK_BT)
    assert found.tolist() == [[-0.25, -0.25, 0.75, 0.0], [-0.25, 0.0, 0.0, 0.0], [0.0] * 4]


def test_return_to_go_by_hand():
    assert return_to_go(torch.tensor([[1.0, 2.0, 4.0]])).tolist() == [[7.0, 6.0, 4.0]]


def test_leave_one_out_by_hand():
    """Of 1, 0, 0: 1 - 0, 0 - 1/2, 0 - 1/2; an unjudged rollout is no one's baseline; one alone has none."""
    found = leave_one_out(torch.tensor([1.0, 0.0, 0.0, NAN, 1.0, NAN, NAN, NAN]), 4)
    torch.testing.assert_close(found, torch.tensor([1.0, -0.5, -0.5, 0.0, 0.0, 0.0, 0.0, 0.0]))


def test_group_centred_keeps_what_could_not_be_judged():
    found = group_centred(torch.tensor([1.0, 0.0, NAN, 1.0]), 2)
    torch.testing.assert_close(found, torch.tensor([0.5, -0.5, NAN, 0.0]), equal_nan=True)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.floats(-3, 3), st.floats(0.1, 5))
def test_whitened_values_have_mean_0_and_variance_1_and_forget_shift_and_scale(seed, shift, scale):
    generator = torch.Generator().manual_seed(seed)
    values_BT = torch.randn(5, 7, generator=generator)
    mask_BT = torch.rand(5, 7, generator=generator) < 0.7
    mask_BT[0, :2] = True
    found = whiten(values_BT, mask_BT, alone)
    assert found[~mask_BT].abs().sum() == 0
    assert found[mask_BT].mean().abs() < 1e-5
    assert found[mask_BT].var(correction=0) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(whiten(values_BT * scale + shift, mask_BT, alone), found, rtol=1e-3, atol=1e-4)


def test_equal_or_absent_values_whiten_to_zero():
    assert whiten(torch.ones(2, 3), torch.ones(2, 3), alone).abs().max() == 0
    assert whiten(torch.ones(2, 3), torch.zeros(2, 3), alone).abs().max() == 0


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31))
def test_gae_with_lambda_1_is_the_return_less_the_value_and_with_0_one_step(seed):
    generator = torch.Generator().manual_seed(seed)
    rewards_BT, values_BT = torch.randn(2, 3, 6, generator=generator)
    lengths = torch.randint(1, 7, (3,), generator=generator)
    mask_BT = (torch.arange(6) < lengths[:, None]).float()
    rewards_BT = rewards_BT * mask_BT
    full = gae(rewards_BT, values_BT, mask_BT, gamma=1.0, lam=1.0)
    torch.testing.assert_close(full, (return_to_go(rewards_BT) - values_BT) * mask_BT)
    after_BT = torch.cat([(values_BT * mask_BT)[:, 1:], torch.zeros(3, 1)], dim=1)
    one = gae(rewards_BT, values_BT, mask_BT, gamma=0.9, lam=0.0)
    torch.testing.assert_close(one, (rewards_BT + 0.9 * after_BT - values_BT) * mask_BT)


def make(config, folder, **values):
    fixed = {"output_dir": str(folder), "use_cpu": True, "bf16": False, "report_to": "none"}
    return config(**fixed, **values)


@pytest.mark.parametrize("batch", [1, 7, 8])
def test_one_rollout_a_prompt_is_allowed_for_any_batch(batch, tmp_path):
    config = make(
        UngroupedConfig, tmp_path, per_device_train_batch_size=batch, num_generations=1, gradient_accumulation_steps=2
    )
    assert config.num_generations == 1


def test_trl_still_checks_larger_groups(tmp_path):
    with pytest.raises(ValueError, match="divisible by num_generations"):
        make(UngroupedConfig, tmp_path, per_device_train_batch_size=8, num_generations=3)


def test_remax_wants_whole_groups_on_each_process(tmp_path, monkeypatch):
    monkeypatch.setattr(RemaxConfig, "world_size", 2)
    with pytest.raises(ValueError, match="whole groups on each process"):
        make(RemaxConfig, tmp_path, per_device_train_batch_size=6, num_generations=4)
