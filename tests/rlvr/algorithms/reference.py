"""Advantages and losses written from the formulas, in float64 and with loops: what the trainers are checked against.

Nothing here comes from rlvr, TRL or a tensor trick. Rewards are None where the verifier failed.
"""

import math

import numpy as np
import torch


def group_of(rewards, size, i):
    """The judged rewards of the group of rollout i."""
    start = i // size * size
    return [r for r in rewards[start : start + size] if r is not None]


def grpo(rewards, size, scale=True):
    found = []
    for i, reward in enumerate(rewards):
        group = group_of(rewards, size, i)
        if reward is None or not group:
            found.append(0.0)
            continue
        mean = sum(group) / len(group)
        variance = sum((r - mean) ** 2 for r in group) / (len(group) - 1) if len(group) > 1 else 0.0
        found.append((reward - mean) / (math.sqrt(variance) + 1e-4) if scale else reward - mean)
    return found


def rloo(rewards, size):
    found = []
    for i, reward in enumerate(rewards):
        group = group_of(rewards, size, i)
        if reward is None or len(group) < 2:
            found.append(0.0)
            continue
        others = (sum(group) - reward) / (len(group) - 1)
        found.append(reward - others)
    return found


def returns(rewards, penalties, lengths):
    """Reward-to-go of each token: everything that comes at or after it."""
    found = []
    for reward, penalty, length in zip(rewards, penalties, lengths, strict=True):
        found.append([(reward or 0.0) - sum(penalty[t:length]) for t in range(length)])
    return found


def whitened(rows, judged):
    """(x - mean) / std over the tokens of judged rollouts; zeros for the others."""
    tokens = [x for row, ok in zip(rows, judged, strict=True) if ok for x in row]
    mean, std = np.mean(tokens), np.std(tokens)
    return [
        [(x - mean) / (std + 1e-8) for x in row] if ok else [0.0] * len(row)
        for row, ok in zip(rows, judged, strict=True)
    ]


def reinforce_plus_plus(rewards, penalties, lengths):
    return whitened(returns(rewards, penalties, lengths), [r is not None for r in rewards])


def reinforce_plus_plus_baseline(rewards, penalties, lengths, size):
    centred = []
    for i, reward in enumerate(rewards):
        group = group_of(rewards, size, i)
        centred.append(None if reward is None else reward - sum(group) / len(group))
    return reinforce_plus_plus(centred, penalties, lengths)


def remax(rewards, greedy, penalties, lengths):
    found = []
    for reward, baseline, row in zip(rewards, greedy, returns(rewards, penalties, lengths), strict=True):
        judged = reward is not None and baseline is not None
        found.append([x - baseline if judged else 0.0 for x in row])
    return found


def ppo(rewards, penalties, lengths, values, gamma, lam):
    """(whitened advantages, returns): A_t as the explicit double sum over l of (gamma lam)^l delta_{t+l}."""
    advantages, targets = [], []
    for reward, penalty, length, value in zip(rewards, penalties, lengths, values, strict=True):
        token_reward = [-penalty[t] + ((reward or 0.0) if t == length - 1 else 0.0) for t in range(length)]
        after = [value[t + 1] if t + 1 < length else 0.0 for t in range(length)]
        delta = [token_reward[t] + gamma * after[t] - value[t] for t in range(length)]
        row = [sum((gamma * lam) ** j * delta[t + j] for j in range(length - t)) for t in range(length)]
        advantages.append(row)
        targets.append([a + v for a, v in zip(row, value[:length], strict=True)])
    return whitened(advantages, [r is not None for r in rewards]), targets


def overlong(length, longest, buffer):
    """DAPO eq. 13."""
    if length <= longest - buffer:
        return 0.0
    return max(-1.0, ((longest - buffer) - length) / buffer)


def clipped(ratio, advantage, low, high):
    """The clipped policy loss of one token."""
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)


def k3(logp, ref):
    return (ref - logp).exp() - (ref - logp) - 1


def mean_over_tokens(rows):
    return torch.cat(rows).sum() / sum(len(row) for row in rows)


def mean_over_rollouts(rows):
    return sum(row.mean() for row in rows) / len(rows)


def sum_over_longest(rows, longest):
    """Dr. GRPO: every rollout is divided by the same length."""
    return sum(row.sum() for row in rows) / (len(rows) * longest)
