"""The callback in trainers that are not ours: transformers' Trainer, and TRL's GRPO, RLOO and SFT trainers."""

import pytest
from datasets import Dataset
from transformers import AutoModelForCausalLM, DataCollatorForLanguageModeling, Trainer, TrainingArguments
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer, SFTConfig, SFTTrainer

from probes.results.summary import RunFacts, write_summary
from probes.sampling.callback import ProbeCallback, ProbeSettings
from probes.statistics.plan import Plan
from probes.store.arm import Sampling
from probes.store.index import ProbeIndex
from probes.store.store import ProbeStore
from rlvr.problems import load_problems
from rlvr.verifiers import make_verifier

COMMON = {
    "max_steps": 4,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
    "seed": 3,
}
TEXTS = ["3 5 7=22:", "3 4 9=16:", "2 8 6=16:", "1 7 9=17:"] * 8


def plain_trainer(model, tokenizer, folder):
    rows = [tokenizer(text + "3+5+7") for text in TEXTS]
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    arguments = TrainingArguments(str(folder), **COMMON)
    return Trainer(model, arguments, collator, train_dataset=rows, processing_class=tokenizer)


def sft_trainer(model, tokenizer, folder):
    rows = Dataset.from_list([{"prompt": text, "completion": "3+5+7"} for text in TEXTS])
    return SFTTrainer(model, SFTConfig(str(folder), **COMMON), train_dataset=rows, processing_class=tokenizer)


def online_trainer(trainer_class, config_class):
    def make(model, tokenizer, folder):
        config = config_class(str(folder), num_generations=2, max_completion_length=8, **COMMON)
        rows = Dataset.from_list([{"prompt": text} for text in TEXTS])
        return trainer_class(model, reward_funcs=lengths, args=config, train_dataset=rows, processing_class=tokenizer)

    return make


def lengths(completions, **_):
    return [float(len(text) % 2) for text in completions]


TRAINERS = {
    "transformers": plain_trainer,
    "sft": sft_trainer,
    "grpo": online_trainer(GRPOTrainer, GRPOConfig),
    "rloo": online_trainer(RLOOTrainer, RLOOConfig),
}


def train(make, tiny_base, tiny_tokenizer, folder, probed: bool) -> list[float]:
    """Returns the losses of a short training."""
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    trainer = make(model, tiny_tokenizer, folder)
    if probed:
        settings = ProbeSettings(
            problems=load_problems("countdown:probe?num=4"),
            verifier=make_verifier("tests.length_verifier:even_length"),
            plan=Plan.sequential(32, stop_at=4, first_look=8),
            k_max=8,
            probe_steps=2,
            sampling=Sampling(max_new_tokens=8),
        )
        ProbeCallback(settings, folder).attach(trainer)
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINERS)
def test_it_probes_any_trainer_and_leaves_its_losses_alone(name, tiny_base, tiny_tokenizer, tmp_path):
    probed = train(TRAINERS[name], tiny_base, tiny_tokenizer, tmp_path / "probed", probed=True)
    bare = train(TRAINERS[name], tiny_base, tiny_tokenizer, tmp_path / "bare", probed=False)
    assert probed == bare
    assert len(bare) == 4
    index = ProbeIndex(tmp_path / "probed")
    entries = index.entries()
    assert [entry.step for entry in entries] == [0, 2, 4]
    stores = {index.store_path(entry) for entry in entries}
    assert len(stores) == 3, "the weights changed between probes"
    assert all(ProbeStore.open_existing(path).engines() == {"transformers"} for path in stores)
    summary = write_summary(tmp_path / "probed", 8, [], RunFacts("run", name, str(tiny_base)))
    assert [probe["step"] for probe in summary["probes"]] == [0, 2, 4]
