"""The testbed: `countdown-tiny`, a base model of about one million parameters, pre-trained here in minutes.

Owns: the model's shape, its character tokenizer, its pre-training, and the cache of the result.
Does not own: Countdown itself (`rlvr.problems.countdown`).

The base is pre-trained on random expressions over three numbers, from the half of all number sets that no probe uses.
It is stopped early: it often misses the target and its samples are varied. So there is room on both sides, for pass@1
to rise and for pass@256 to fall. The result is an ordinary checkpoint.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rlvr.errors import ModelError
from rlvr.problems.countdown import worked_examples
from rlvr.problems.types import content_hash

PREFIX = "testbed:"
CHARACTERS = "0123456789+-*/()=: "
SPECIAL = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>"}


@dataclass(frozen=True)
class Pretraining:
    """Everything that decides the base model. A change of any value makes another model, in another cache folder."""

    hidden_size: int = 128
    intermediate_size: int = 512
    num_layers: int = 4
    num_heads: int = 4
    num_numbers: int = 3
    max_number: int = 20
    num_steps: int = 260
    batch_size: int = 128
    learning_rate: float = 3e-3
    warmup_steps: int = 50
    seed: int = 1

    @property
    def model_id(self) -> str:
        """12 hex digits over all fields."""
        return content_hash(asdict(self))[:12]


MODELS = {"countdown-tiny": Pretraining()}


def cache_root() -> Path:
    """Returns the folder for pre-trained bases: `$RLVR_CACHE`, or `~/.cache/rlvr`."""
    return Path(os.environ.get("RLVR_CACHE") or Path.home() / ".cache" / "rlvr")


def ensure_base(name: str) -> Path:
    """Returns the folder of a testbed model, pre-training it if the cache does not have it.

    Under `accelerate launch` the first process makes it and the others wait.

    Raises:
        ModelError: there is no testbed of that name.
    """
    if name not in MODELS:
        raise ModelError(f"{PREFIX}{name}: not known; the testbed has {', '.join(PREFIX + known for known in MODELS)}.")
    recipe = MODELS[name]
    folder = cache_root() / f"{name}-{recipe.model_id}"
    with _main_process_first():
        if not (folder / "config.json").exists():
            _make(recipe, folder)
    return folder


def _make(recipe: Pretraining, folder: Path) -> None:
    """Pre-trains into a temporary folder beside `folder`, then renames it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as temporary:
        pretrain(recipe, Path(temporary) / "model")
        shutil.rmtree(folder, ignore_errors=True)  # a torn folder without config.json
        (Path(temporary) / "model").rename(folder)


@contextmanager
def _main_process_first() -> Iterator[None]:
    """Lets the main process run the block before the others, where several were launched."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    from accelerate import PartialState

    with PartialState(cpu=_no_accelerator()).main_process_first():
        yield


def _no_accelerator() -> bool:
    import torch

    return not torch.cuda.is_available()


def make_tokenizer() -> Any:
    """Returns the character tokenizer: one token a character, `<bos>` before the prompt."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate([*SPECIAL.values(), *CHARACTERS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL["pad_token"]))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    backend.decoder = decoders.Fuse()
    bos = SPECIAL["bos_token"]
    backend.post_processor = processors.TemplateProcessing(f"{bos} $A", special_tokens=[(bos, vocabulary[bos])])
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **SPECIAL)


def make_model(recipe: Pretraining, tokenizer: Any) -> Any:
    """Returns the untrained Llama-shaped model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.num_layers,
        num_attention_heads=recipe.num_heads,
        num_key_value_heads=recipe.num_heads,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def make_rows(recipe: Pretraining, tokenizer: Any) -> list[dict[str, list[int]]]:
    """Returns one training row per example of the whole pre-training; the loss is taken on the solution only."""
    examples = worked_examples("train", recipe.num_numbers, recipe.max_number, recipe.seed)
    rows = []
    for problem, solution in islice(examples, recipe.num_steps * recipe.batch_size):
        prompt = tokenizer(text=problem.question)["input_ids"]
        target = [*tokenizer(text=solution, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        rows.append({"input_ids": prompt + target, "labels": [-100] * len(prompt) + target})
    return rows


def pretrain(recipe: Pretraining, folder: Path) -> None:
    """Pre-trains the base model and saves it, with its tokenizer, as an ordinary checkpoint in `folder`."""
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments, set_seed

    set_seed(recipe.seed)
    tokenizer = make_tokenizer()
    model = make_model(recipe, tokenizer)
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=recipe.num_steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=recipe.warmup_steps,
        adam_beta2=0.98,
        weight_decay=0.01,
        max_grad_norm=1.0,
        logging_steps=50,
        save_strategy="no",
        report_to="none",
        seed=recipe.seed,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    collator = DataCollatorForSeq2Seq(tokenizer, padding=True)
    trainer = Trainer(model, arguments, data_collator=collator, train_dataset=make_rows(recipe, tokenizer))
    trainer.train()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
