"""Advantages, losses and gradients of every algorithm against a float64 reference, on ragged scripted batches."""

import copy
import gc

import pytest
import torch

from tests.rlvr.algorithms import reference
from tests.rlvr.algorithms.scripted import PROMPTS, completion_of, make_trainer, reward_of, rows_of

GROUPED = ["grpo", "rloo", "reinforce_plus_plus", "reinforce_plus_plus_baseline", "remax", "dapo", "ppo"]
UNGROUPED = ["reinforce_plus_plus", "remax", "ppo"]
IN_THE_REWARD = {"rloo", "reinforce_plus_plus", "reinforce_plus_plus_baseline", "remax", "ppo"}
CASES = [
    *[(name, {"beta": beta}) for name in GROUPED for beta in (0.0, 0.05)],
    *[(name, {"beta": 0.05, "num_generations": 1}) for name in UNGROUPED],
    ("grpo", {"beta": 0.0, "loss_type": "dr_grpo", "scale_rewards": "none"}),
]


class Case:
    """One algorithm's scored batch, after the policy has moved away from the reference model and from the rollouts."""

    def __init__(self, name: str, changes: dict, base, folder) -> None:
        self.name = name
        self.trainer = trainer = make_trainer(name, base, folder, **changes)
        self.args, self.size = trainer.args, trainer.num_generations
        trainer.current_gradient_accumulation_steps = 1
        self._disturb(trainer.model, 0.03, seed=0)
        rows = rows_of(trainer, 4 if self.size > 1 else 8)
        self.out = trainer._generate_and_score_completions(rows)
        self.prompts = [row["prompt"] for row in rows]
        self.lengths = self.out["completion_mask"].sum(1).tolist()
        self.completions = [ids[:n].tolist() for ids, n in zip(self.out["completion_ids"], self.lengths, strict=True)]
        self.sampler = copy.deepcopy(trainer.model).double()
        self._disturb(trainer.model, 0.01, seed=1)
        self.policy = copy.deepcopy(trainer.model).double()
        old_logps = self.logps(self.sampler)
        widest = self.out["completion_ids"].size(1)
        self.out["old_per_token_logps"] = torch.stack(
            [torch.nn.functional.pad(row.detach().float(), (0, widest - len(row))) for row in old_logps]
        )
        self.old_logps = [row.detach() for row in old_logps]

    @staticmethod
    def _disturb(model, scale: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn(weight.shape, generator=generator) * scale)

    def forward(self, model, run) -> list[torch.Tensor]:
        """One row at a time, without padding; returns what `run` makes of (ids, prompt length)."""
        found = []
        for i, completion in enumerate(self.completions):
            prompt = self.out["prompt_ids"][i][self.out["prompt_mask"][i].bool()].tolist()
            found.append(run(model, torch.tensor([prompt + completion]), len(prompt)))
        return found

    def logps(self, model) -> list[torch.Tensor]:
        def run(model, ids, start):
            logits = model.get_output_embeddings()(model.base_model(input_ids=ids).last_hidden_state)
            logps = logits.log_softmax(-1)[0, start - 1 : -1]
            return logps.gather(1, ids[0, start:, None])[:, 0]

        return self.forward(model, run)

    def values(self, model) -> list[torch.Tensor]:
        return self.forward(model, lambda m, ids, start: m.critic(input_ids=ids).logits[0, start - 1 : -1, 0])

    def rewards(self) -> list[float | None]:
        found = [reward_of(prompt, ids) for prompt, ids in zip(self.prompts, self.completions, strict=True)]
        if self.name == "dapo":
            longest, buffer = self.args.max_completion_length, self.args.overlong_buffer
            shaped = [reference.overlong(len(ids), longest, buffer) for ids in self.completions]
            found = [None if r is None else r + s for r, s in zip(found, shaped, strict=True)]
        return found

    def greedy_rewards(self) -> list[float | None]:
        tokenizer = self.trainer.processing_class
        return [reward_of(p, completion_of(tokenizer(p)["input_ids"], -1)) for p in self.prompts]

    def ref_logps(self) -> list[torch.Tensor]:
        return [row.detach() for row in self.logps(copy.deepcopy(self.trainer.ref_model).double())]

    def penalties(self) -> list[list[float]]:
        """beta x k1 of each token, where the algorithm has it in the reward."""
        if self.args.beta == 0 or self.name not in IN_THE_REWARD:
            return [[0.0] * n for n in self.lengths]
        pairs = zip(self.old_logps, self.ref_logps(), strict=True)
        return [(self.args.beta * (old - ref)).tolist() for old, ref in pairs]

    def advantages(self) -> list[list[float]]:
        rewards, penalties, lengths = self.rewards(), self.penalties(), self.lengths
        if self.name in ("grpo", "dapo"):
            flat = reference.grpo(rewards, self.size, self.args.scale_rewards == "group")
        elif self.name == "rloo":
            net = [None if r is None else r - sum(p) for r, p in zip(rewards, penalties, strict=True)]
            flat = reference.rloo(net, self.size)
        elif self.name == "reinforce_plus_plus":
            return reference.reinforce_plus_plus(rewards, penalties, lengths)
        elif self.name == "reinforce_plus_plus_baseline":
            return reference.reinforce_plus_plus_baseline(rewards, penalties, lengths, self.size)
        elif self.name == "remax":
            return reference.remax(rewards, self.greedy_rewards(), penalties, lengths)
        else:
            return self.ppo()[0]
        return [[a] * n for a, n in zip(flat, lengths, strict=True)]

    def ppo(self):
        values = [row.tolist() for row in self.values(self.sampler)]
        args = self.args
        return reference.ppo(self.rewards(), self.penalties(), self.lengths, values, args.gamma, args.lam)

    def loss(self) -> torch.Tensor:
        args, rows = self.args, []
        logps, refs = self.logps(self.policy), self.ref_logps() if args.beta else None
        for i, advantages in enumerate(self.advantages()):
            ratio = (logps[i] - self.old_logps[i]).exp()
            row = reference.clipped(
                ratio, torch.tensor(advantages, dtype=torch.float64), args.epsilon, args.epsilon_high or args.epsilon
            )
            if refs is not None and self.name not in IN_THE_REWARD:
                row = row + args.beta * reference.k3(logps[i], refs[i])
            rows.append(row)
        if args.loss_type == "grpo":
            return reference.mean_over_rollouts(rows)
        if args.loss_type == "dr_grpo":
            return reference.sum_over_longest(rows, args.max_completion_length)
        return reference.mean_over_tokens(rows) + (self.value_loss() if self.name == "ppo" else 0.0)

    def value_loss(self) -> torch.Tensor:
        rows, clip = [], self.args.cliprange_value
        _, targets = self.ppo()
        old_values, judged = self.values(self.sampler), [r is not None for r in self.rewards()]
        for value, old, target, ok in zip(self.values(self.policy), old_values, targets, judged, strict=True):
            if ok:
                near, target = old.detach() + (value - old.detach()).clamp(-clip, clip), torch.tensor(target)
                rows.append(0.5 * torch.maximum((value - target) ** 2, (near - target) ** 2))
        return self.args.vf_coef * reference.mean_over_tokens(rows)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join([case[0], *map(str, case[1].values())]))
def case(request, tiny_base, tmp_path_factory):
    yield Case(*request.param, tiny_base, tmp_path_factory.mktemp("losses"))
    gc.collect()


def test_the_batch_is_ragged_and_has_equal_groups_cut_rollouts_and_verifier_failures(case):
    ends = [completion[-1] == 1 for completion in case.completions]
    assert len(set(case.lengths)) > 2
    assert any(ends)
    assert not all(ends)
    assert {None, 1.0} <= {reward_of(p, c) for p, c in zip(case.prompts, case.completions, strict=True)}
    assert PROMPTS[1] in case.prompts


def test_advantages_are_the_formulas(case):
    found = case.out["advantages"]
    for i, expected in enumerate(case.advantages()):
        got = found[i].expand(len(expected)) if found.dim() == 1 else found[i, : len(expected)]
        torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float32), rtol=2e-4, atol=2e-5)
    if found.dim() == 2:
        assert (found * (1 - case.out["completion_mask"])).abs().max() == 0


def test_the_loss_and_its_gradient_are_the_formulas(case):
    loss = case.trainer._compute_loss(case.trainer.model, case.out)
    expected = case.loss()
    torch.testing.assert_close(loss.double(), expected, rtol=2e-4, atol=2e-5)
    case.trainer.model.zero_grad()
    loss.backward()
    expected.backward()
    for (name, weight), twin in zip(case.trainer.model.named_parameters(), case.policy.parameters(), strict=True):
        difference = (weight.grad.double() - twin.grad).norm()
        assert difference <= 2e-3 * twin.grad.norm() + 1e-6, name


def test_the_gradient_is_the_slope_of_the_loss(case):
    """Central differences along the gradient itself, so close that clipping seldom begins or ends between them."""
    model = case.trainer.model
    model.zero_grad()
    case.trainer._compute_loss(model, case.out).backward()
    gradients = [weight.grad.clone() for weight in model.parameters()]
    norm = torch.stack([g.double().norm() for g in gradients]).norm().item()
    step = 1e-4 / norm

    def loss_at(t: float) -> float:
        with torch.no_grad():
            for weight, gradient in zip(model.parameters(), gradients, strict=True):
                weight.add_(gradient * t)
            loss = case.trainer._compute_loss(model, case.out).item()
            for weight, gradient in zip(model.parameters(), gradients, strict=True):
                weight.sub_(gradient * t)
        return loss

    slope = (loss_at(step / 2) - loss_at(-step / 2)) / step
    assert slope == pytest.approx(norm**2, rel=0.03)
