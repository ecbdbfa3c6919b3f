"""Dynamic sampling: which groups stay, what fills the batch, what is counted."""

import pytest
import torch

from rlvr.algorithms.dapo import Config, join, take_groups
from rlvr.training.rewards import make_format_reward
from tests.rlvr.algorithms.scripted import PROMPTS, make_trainer, rng_of


def rewards_by_prompt(dull):
    """1 and 0 in turns, except that these prompts' rollouts are all wrong."""

    def accuracy(prompts, **_):
        return [0.0 if prompt in dull else float(i % 2) for i, prompt in enumerate(prompts)]

    return accuracy


def batch(trainer, prompts=PROMPTS[:4]):
    rows = [{"prompt": prompt} for prompt in prompts for _ in range(trainer.num_generations)]
    return trainer._generate_and_score_completions(rows)


def prompts_of(trainer, out):
    texts = [trainer.processing_class.decode(ids, skip_special_tokens=True) for ids in out["prompt_ids"]]
    return [texts[i] for i in range(0, len(texts), trainer.num_generations)]


def in_the_loss(trainer, out):
    """For each group, whether any of its tokens is in the loss."""
    return out["completion_mask"].view(-1, trainer.num_generations, out["completion_mask"].size(1)).any(2).any(1)


def test_dull_groups_are_replaced_until_the_batch_is_full(tiny_base, tmp_path):
    trainer = make_trainer("dapo", tiny_base, tmp_path, reward=rewards_by_prompt(PROMPTS[:2]), max_resample_rounds=9)
    out = batch(trainer)
    assert out["completion_ids"].size(0) == 16
    assert in_the_loss(trainer, out).all()
    assert not set(prompts_of(trainer, out)) & set(PROMPTS[:2])
    assert out["num_items_in_batch"] == out["completion_mask"].sum()
    assert trainer.rollouts.num > 16
    assert trainer.rollouts.num % trainer.num_generations == 0
    assert trainer._metrics["train"]["dapo/batch_filled"] == [1.0]
    share = trainer._metrics["train"]["dapo/informative_share"][0]
    assert share == pytest.approx(4 / (trainer.rollouts.num / 4), abs=0.35)


def test_when_the_rounds_are_over_dropped_groups_stay_without_a_token_in_the_loss(tiny_base, tmp_path):
    trainer = make_trainer("dapo", tiny_base, tmp_path, reward=rewards_by_prompt(PROMPTS), max_resample_rounds=2)
    out = batch(trainer)
    assert out["completion_ids"].size(0) == 16
    assert not in_the_loss(trainer, out).any()
    assert out["advantages"].abs().max() == 0
    assert out["num_items_in_batch"] == 0
    assert trainer.rollouts.num == 3 * 16
    assert trainer._metrics["train"]["dapo/batch_filled"] == [0.0]
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer._compute_loss(trainer.model, out)
    loss.backward()
    assert loss == 0
    assert all(weight.grad.abs().max() == 0 for weight in trainer.model.parameters())


def test_raw_accuracy_decides_not_the_shaped_reward(tiny_base, tmp_path):
    """All wrong, of many lengths: the overlong punishment differs in the group, and it is dropped all the same."""
    trainer = make_trainer("dapo", tiny_base, tmp_path, reward=rewards_by_prompt(PROMPTS), max_resample_rounds=1)
    batch(trainer)
    assert trainer._rewards_NF.shape[1] == 2
    assert trainer._rewards_NF[:, 1].unique().numel() > 1
    assert trainer._metrics["train"]["dapo/informative_share"] == [0.0]


def test_a_bonus_for_the_format_does_not_make_a_group_informative(tiny_base, tmp_path):
    """All wrong, half of them in the format: the sums differ in the group, and it is dropped all the same."""
    bonus = make_format_reward(0.1)

    def boxed_in_turns(completions, **_):
        return bonus([r"\boxed{1}" if i % 2 else "1" for i in range(len(completions))])

    rewards = [rewards_by_prompt(PROMPTS), boxed_in_turns]
    trainer = make_trainer("dapo", tiny_base, tmp_path, reward=rewards, max_resample_rounds=1)
    out = batch(trainer)
    assert trainer._rewards_NF[:, 1].unique().numel() == 2
    assert trainer._metrics["train"]["dapo/informative_share"] == [0.0]
    assert not in_the_loss(trainer, out).any()


def test_a_failed_verifier_makes_no_group_informative(tiny_base, tmp_path):
    def accuracy(prompts, **_):
        return [None if i % 2 else 1.0 for i in range(len(prompts))]

    trainer = make_trainer("dapo", tiny_base, tmp_path, reward=accuracy, max_resample_rounds=1)
    out = batch(trainer)
    assert not in_the_loss(trainer, out).any()


def test_the_extra_prompts_follow_from_seed_and_step(tiny_base, tmp_path):
    def extra(step, **changes):
        trainer = make_trainer("dapo", tiny_base, tmp_path, **changes)
        trainer.state.global_step = step
        return [row["row"] for row in trainer._more_rows(0, 3)]

    assert extra(5) == extra(5)
    assert extra(5) != extra(6)
    assert extra(5) != extra(5, seed=1)
    rows = extra(5)
    assert [rows[i] for i in (0, 4, 8)] == list(dict.fromkeys(rows))  # each four times, one after the other


def test_later_rounds_deal_other_prompts(tiny_base, tmp_path):
    trainer = make_trainer("dapo", tiny_base, tmp_path)
    first = {row["row"] for row in trainer._more_rows(0, 4)}
    second = {row["row"] for row in trainer._more_rows(4, 4)}
    assert not first & second


def test_without_rounds_it_is_grpo_on_the_shaped_reward(tiny_base, tmp_path):
    trainer = make_trainer("dapo", tiny_base, tmp_path, reward=rewards_by_prompt(PROMPTS[:1]))
    assert in_the_loss(trainer, batch(trainer)).all()
    assert trainer.rollouts.num == 16


def test_groups_are_taken_whole_and_joined_with_padding_on_the_right_sides():
    def part(width, value):
        shape = (4, width)
        return {
            "prompt_ids": torch.full(shape, value),
            "completion_ids": torch.full(shape, value),
            "completion_mask": torch.ones(shape, dtype=torch.long),
            "advantages": torch.arange(4.0),
            "num_items_in_batch": torch.tensor(4 * width),
        }

    first = take_groups(part(2, 7), torch.tensor([True, False]))
    assert first["advantages"].tolist() == [0.0, 1.0]
    assert "num_items_in_batch" not in first
    joined = join([first, take_groups(part(3, 8), torch.tensor([False, True]))], pad_token_id=0)
    assert joined["prompt_ids"].tolist() == [[0, 7, 7]] * 2 + [[8, 8, 8]] * 2
    assert joined["completion_ids"].tolist() == [[7, 7, 0]] * 2 + [[8, 8, 8]] * 2
    assert joined["completion_mask"].tolist() == [[1, 1, 0]] * 2 + [[1, 1, 1]] * 2
    assert joined["advantages"].tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_resample_rounds": -1}, "max_resample_rounds is -1"),
        ({"overlong_buffer": 3000}, "overlong_buffer is 3000"),
        ({"scale_rewards": "batch"}, "scale_rewards: batch"),
        ({"num_generations": 3, "generation_batch_size": 24}, None),
    ],
)
def test_values_that_cannot_work_are_refused(values, message, tmp_path):
    fixed = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "per_device_train_batch_size": 8}
    if message is None:
        assert Config(**fixed, **values).steps_per_generation == 3
        return
    with pytest.raises(ValueError, match=message):
        Config(**fixed, **values)


def test_any_mixture_of_groups_keeps_the_batch_size(tiny_base, tmp_path):
    def accuracy(prompts, completion_ids, **_):
        return [
            rng_of(p, i, list(ids)).choice([0.0, 1.0])
            for i, (p, ids) in enumerate(zip(prompts, completion_ids, strict=True))
        ]

    trainer = make_trainer("dapo", tiny_base, tmp_path, reward=accuracy, max_resample_rounds=3)
    for prompts in (PROMPTS[:4], PROMPTS[4:], PROMPTS[2:6]):
        out = batch(trainer, prompts)
        assert {len(value) for value in out.values() if value.dim() > 0} == {16}
