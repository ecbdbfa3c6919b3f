"""Advantages that several algorithms build on, as functions of tensors.

Owns: token rewards, returns, whitening over the global batch, baselines of a group.
Does not own: which algorithm uses which (one file each). Nothing here knows a trainer.

Shapes: B rollouts, T tokens of a completion, N rollouts of all processes, G rollouts of a prompt. Masks are 1 on
tokens of the completion, its last token (end of text included) being the last 1. NaN is the reward of a rollout that
the verifier could not judge.
"""

from collections.abc import Callable

import torch

SumOverProcesses = Callable[[torch.Tensor], torch.Tensor]


def token_rewards(rewards_B: torch.Tensor, penalty_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """Returns (B, T): minus the penalty on each token, and the reward on the last token of the completion.

    Args:
        rewards_B: NaN counts as 0 here; what such a rollout is worth in training is for `scored_mask` to say.
        penalty_BT: for example beta times k1.
        mask_BT: rows without any 1 get zeros.
    """
    is_last_BT = (mask_BT.cumsum(1) == mask_BT.sum(1, keepdim=True)) & (mask_BT > 0)
    return rewards_B.nan_to_num(0.0)[:, None] * is_last_BT - penalty_BT * mask_BT


def scored_mask(rewards_B: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """Returns the mask without the rollouts that have no reward."""
    return mask_BT * (~rewards_B.isnan())[:, None]


def return_to_go(rewards_BT: torch.Tensor) -> torch.Tensor:
    """Returns the undiscounted sum of rewards from each token on (gamma = 1)."""
    return rewards_BT.flip(1).cumsum(1).flip(1)


def whiten(values_BT: torch.Tensor, mask_BT: torch.Tensor, sum_over_processes: SumOverProcesses) -> torch.Tensor:
    """Returns (x - mean) / (std + 1e-8) over all masked tokens of all processes; 0 outside the mask.

    The standard deviation is the population's. Long completions have more tokens, so they weigh more in both moments.
    """
    x_BT, mask_BT = values_BT.double(), mask_BT.double()
    total, num = sum_over_processes(torch.stack([(x_BT * mask_BT).sum(), mask_BT.sum()])).unbind()
    centred_BT = (x_BT - total / num.clamp(min=1)) * mask_BT
    variance = sum_over_processes(centred_BT.square().sum()) / num.clamp(min=1)
    return (centred_BT / (variance.sqrt() + 1e-8)).to(values_BT.dtype)


def group_centred(rewards_N: torch.Tensor, group_size: int) -> torch.Tensor:
    """Returns r - mean of its group, over the group's judged rollouts; NaN stays NaN."""
    rewards_PG = rewards_N.view(-1, group_size)
    return (rewards_PG - rewards_PG.nanmean(1, keepdim=True)).view(-1)


def leave_one_out(rewards_N: torch.Tensor, group_size: int) -> torch.Tensor:
    """Returns r - mean of the others of its group: n / (n - 1) (r - mean), n its judged rollouts (RLOO, section 2.3).

    A rollout that has no reward, or nothing to be compared with, gets 0.
    """
    rewards_PG = rewards_N.view(-1, group_size)
    num_P1 = (~rewards_PG.isnan()).sum(1, keepdim=True)
    factor_P1 = num_P1 / (num_P1 - 1).clamp(min=1)
    return (factor_P1 * group_centred(rewards_N, group_size).view_as(rewards_PG)).view(-1).nan_to_num(0.0)
