"""PPO (Schulman et al. 2017, arXiv 1707.06347) with a critic, on TRL's GRPOTrainer.

Owns: the critic (its place, optimizer group, files), generalised advantage estimation (Schulman et al. 2016, arXiv
1506.02438, eq. 16) over token rewards, whitened over the global batch, and the clipped value loss. The policy's loss
is the clipped token mean (`loss_type: dapo`).

The critic has a backbone of its own, a copy of the policy's, and a scalar head that starts at zero. It is a submodule
of the policy, so that one engine and one optimizer (two learning rates) train both under DDP and ZeRO; a forward hook
runs it in the policy's forward. Whoever reads the policy's parameters (checkpoints, the sync to vLLM, a probe) does
so in `policy_only`. The critic is saved beside the policy in `critic/`, a checkpoint for token classification.
Clipping by `max_grad_norm` covers both gradients, so a large `vf_coef` shortens the policy's steps.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING
from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config
from trl.trainer.utils import disable_dropout_in_model

from rlvr.algorithms.advantages import scored_mask, token_rewards, whiten
from rlvr.algorithms.base import OBJECTIVE as BASE_OBJECTIVE
from rlvr.algorithms.base import RolloutTrainer, ScoredBatch, UngroupedConfig

__all__ = ["OBJECTIVE", "Config", "Trainer"]

OBJECTIVE = (*BASE_OBJECTIVE, "gamma", "lam", "vf_coef", "cliprange_value", "critic_learning_rate")
CRITIC = "critic"


@dataclass
class Config(UngroupedConfig):
    """GRPOConfig with a critic; names as in TRL's former PPOConfig."""

    gamma: float = field(default=1.0, metadata={"help": "Discount of later rewards."})
    lam: float = field(default=1.0, metadata={"help": "Lambda of generalised advantage estimation."})
    vf_coef: float = field(default=0.1, metadata={"help": "Weight of the value loss."})
    cliprange_value: float = field(default=0.2, metadata={"help": "How far a value may move per update."})
    critic_learning_rate: float = field(default=1e-5, metadata={"help": "Learning rate of the critic."})

    def __post_init__(self) -> None:
        """Raises `ValueError` for values outside their range."""
        super().__post_init__()
        # DDP would look for the critic in the policy's output, where it is not.
        if self.ddp_find_unused_parameters:  # type: ignore[has-type]
            raise ValueError(
                "ddp_find_unused_parameters is true; ppo uses all its parameters in every step, leave it out."
            )
        self.ddp_find_unused_parameters = False
        for name in ("gamma", "lam"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a number from 0 to 1.")
        for name in ("vf_coef", "cliprange_value", "critic_learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a number above 0.")


def gae(
    rewards_BT: torch.Tensor, values_BT: torch.Tensor, mask_BT: torch.Tensor, gamma: float, lam: float
) -> torch.Tensor:
    """Returns A_t = sum over l of (gamma lam)^l delta_{t+l}, delta_t = r_t + gamma V_{t+1} - V_t; 0 outside the mask.

    Nothing follows the last token of a completion: its V_{t+1} is 0.
    """
    num_tokens = rewards_BT.size(1)
    values_BT = values_BT * mask_BT
    advantages_BT = torch.zeros_like(values_BT)
    later_B = torch.zeros_like(values_BT[:, 0])
    for t in reversed(range(num_tokens)):
        next_value_B = values_BT[:, t + 1] if t + 1 < num_tokens else torch.zeros_like(later_B)
        delta_B = rewards_BT[:, t] + gamma * next_value_B - values_BT[:, t]
        later_B = (delta_B + gamma * lam * later_B) * mask_BT[:, t]
        advantages_BT[:, t] = later_B
    return advantages_BT


def value_loss(
    values_BT: torch.Tensor, old_values_BT: torch.Tensor, returns_BT: torch.Tensor, cliprange: float
) -> torch.Tensor:
    """Returns 0.5 max((V - R)^2, (clip(V, V_old - eps, V_old + eps) - R)^2) of each token, (B, T)."""
    clipped_BT = torch.clamp(values_BT, old_values_BT - cliprange, old_values_BT + cliprange)
    return 0.5 * torch.maximum((values_BT - returns_BT).square(), (clipped_BT - returns_BT).square())


class Trainer(RolloutTrainer):
    """PPO."""

    kl_in_reward = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model.add_module(CRITIC, self._make_critic())
        self.model.register_forward_hook(self._keep_values, with_kwargs=True)
        self._values_wanted = False
        self._values_BS: torch.Tensor | None = None
        if self.use_vllm:
            self._keep_critic_from_vllm()

    # -- the critic and its place ------------------------------------------------------------------------------------

    def _make_critic(self) -> nn.Module:
        """Returns a critic with the policy's weights and a head of zeros.

        Raises:
            ValueError: transformers has no such model for the policy's architecture, or its weights are quantised.
        """
        adapted = hasattr(self.model, "peft_config")
        policy = self.model.get_base_model() if adapted else self.model
        if getattr(policy, "is_quantized", False):
            raise ValueError("ppo: the critic cannot be copied from a quantised model; load the policy unquantised.")
        config = copy.deepcopy(policy.config)
        config.num_labels, config.classifier_dropout = 1, 0.0
        if type(config) not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING:
            raise ValueError(f"ppo: transformers has no token classification for {config.model_type}, so no critic.")
        with self._whole_weights():
            critic = MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING[type(config)](config).to(policy.dtype)
        with self._dist.gather_params(list(policy.parameters())):
            weights = {
                name.replace(".base_layer", ""): weight.detach().clone()
                for name, weight in policy.base_model.named_parameters()
                if not (adapted and self.model.prefix in name)
            }
        critic.base_model.load_state_dict(weights, strict=False)
        for weight in critic.score.parameters():
            nn.init.zeros_(weight)
        disable_dropout_in_model(critic)
        return critic.to(self.args.device).train(self.model.training)  # type: ignore[no-any-return]

    @contextmanager
    def _whole_weights(self) -> Iterator[None]:
        """Lets transformers make a model that ZeRO-3 has not partitioned yet, so that weights can be copied into it."""
        config = getattr(self.args, "hf_deepspeed_config", None)
        unset_hf_deepspeed_config()
        try:
            yield
        finally:
            if config is not None:
                set_hf_deepspeed_config(config)

    @contextmanager
    def policy_only(self) -> Iterator[None]:
        """Takes the critic out of the policy for as long as the block runs."""
        modules = self.model._modules
        critic = modules.pop(CRITIC, None)
        try:
            yield
        finally:
            if critic is not None:
                modules[CRITIC] = critic

    def _keep_critic_from_vllm(self) -> None:
        """Lets vLLM see the policy's parameters only."""
        sync_weights = self.vllm_generation.sync_weights

        def sync_policy_weights() -> None:
            with self.policy_only():
                sync_weights()

        self.vllm_generation.sync_weights = sync_policy_weights

    def create_optimizer(self, model: Any = None) -> Any:
        """Gives the critic's parameters groups of their own, with their own learning rate."""
        optimizer = super().create_optimizer(model)
        of_critic = {id(parameter) for parameter in self.model.critic.parameters()}
        for group in list(optimizer.param_groups):
            critics = [parameter for parameter in group["params"] if id(parameter) in of_critic]
            if not critics:
                continue
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in of_critic]
            optimizer.add_param_group({**group, "params": critics, "lr": self.args.critic_learning_rate})
        optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
        return optimizer

    # -- values and losses -------------------------------------------------------------------------------------------

    def _keep_values(self, model: Any, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        """Forward hook of the policy: where values are wanted, keeps the critic's, (B, S), for the loss."""
        if self._values_wanted:
            self._values_BS = self._run_critic(kwargs["input_ids"], kwargs["attention_mask"])

    def _run_critic(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Returns the value of the state after each token, (B, S)."""
        logits = self.model.critic(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
        return logits.squeeze(-1).float()  # type: ignore[no-any-return]

    def _old_values(self, out: dict[str, Any]) -> torch.Tensor:
        """Returns the values (B, T) before each token of the completions, in micro-batches, without gradients."""
        ids = torch.cat([out["prompt_ids"], out["completion_ids"]], dim=1)
        mask = torch.cat([out["prompt_mask"], out["completion_mask"]], dim=1)
        size = self.args.per_device_train_batch_size
        with torch.no_grad(), self.accelerator.autocast():
            parts = [
                self._run_critic(*part) for part in zip(torch.split(ids, size), torch.split(mask, size), strict=True)
            ]
        return before_each_token(torch.cat(parts), out["completion_ids"].size(1))

    def advantages(self, batch: ScoredBatch) -> torch.Tensor:
        """Returns whitened advantages (B, T), and leaves what the value loss needs in the batch."""
        mask_BT = scored_mask(batch.rewards_B, batch.mask_BT)
        values_BT = self._old_values(batch.out)
        rewards_BT = token_rewards(batch.rewards_B, self.kl_penalty(batch), batch.mask_BT)
        advantages_BT = gae(rewards_BT, values_BT, mask_BT, self.args.gamma, self.args.lam)
        batch.out["old_values"] = values_BT
        batch.out["returns"] = advantages_BT + values_BT
        batch.out["value_mask"] = mask_BT
        batch.out["num_value_tokens"] = self.sum_over_processes(mask_BT.sum())
        return whiten(advantages_BT, mask_BT, self.sum_over_processes)

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        """Returns the policy loss plus vf_coef times the value loss, both means over the global batch's tokens."""
        self._values_wanted = True
        try:
            policy_loss = super()._compute_loss(model, inputs)
        finally:
            self._values_wanted = False
        values_BS, self._values_BS = self._values_BS, None
        assert values_BS is not None
        values_BT = before_each_token(values_BS, inputs["completion_ids"].size(1))
        value_term = self.args.vf_coef * self._value_loss(values_BT, inputs)
        return policy_loss + value_term

    def _value_loss(self, values_BT: torch.Tensor, inputs: Any) -> torch.Tensor:
        """Returns this micro-batch's share of the mean value loss, and logs it."""
        mask_BT, returns_BT = inputs["value_mask"], inputs["returns"]
        loss_BT = value_loss(values_BT, inputs["old_values"], returns_BT, self.args.cliprange_value) * mask_BT
        num_tokens = inputs["num_value_tokens"].clamp(min=1) / self.accelerator.num_processes
        if self.model.training:
            num_tokens = num_tokens * self.current_gradient_accumulation_steps / self.args.steps_per_generation
        self._log_values(values_BT.detach(), loss_BT.detach(), returns_BT, mask_BT)
        mean: torch.Tensor = loss_BT.sum() / num_tokens
        return mean

    def _log_values(self, values_BT: Any, loss_BT: Any, returns_BT: Any, mask_BT: Any) -> None:
        """Logs means over this micro-batch of all processes, and the share of the returns' variance explained."""
        error_BT = (returns_BT - values_BT) * mask_BT
        returns_BT = returns_BT * mask_BT
        sums = [mask_BT.sum(), loss_BT.sum(), (values_BT * mask_BT).sum()]
        sums += [error_BT.sum(), error_BT.square().sum(), returns_BT.sum(), returns_BT.square().sum()]
        total = self.sum_over_processes(torch.stack([each.double() for each in sums]))
        num, loss, value, error, error_sq, ret, ret_sq = (total / total[0].clamp(min=1)).tolist()
        self.log_value("ppo/value_loss", loss)
        self.log_value("ppo/value_mean", value)
        variance = ret_sq - ret**2
        if num and variance > 1e-12:
            self.log_value("ppo/explained_variance", 1 - (error_sq - error**2) / variance)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Saves the policy as TRL does, and the critic in a folder of its own."""
        critic = self.model.critic
        prefix = f"{CRITIC}."
        weights = critic.state_dict()
        if state_dict:  # gathered by DeepSpeed or FSDP
            weights = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
            state_dict = {key: value for key, value in state_dict.items() if not key.startswith(prefix)}
        with self.policy_only():
            super()._save(output_dir, state_dict)
        if self.args.should_save:
            critic.save_pretrained(str(Path(output_dir or self.args.output_dir) / CRITIC), state_dict=weights)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Loads policy and critic; under DeepSpeed the engine has both."""
        with self.policy_only():
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        weights = load_file(str(Path(resume_from_checkpoint) / CRITIC / "model.safetensors"))
        self.model.critic.load_state_dict(weights)


def before_each_token(values_BS: torch.Tensor, num_tokens: int) -> torch.Tensor:
    """Returns V of the state in which each of the last `num_tokens` tokens was chosen, (B, T)."""
    return values_BS[:, -num_tokens - 1 : -1]
