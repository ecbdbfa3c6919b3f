"""Fixtures that several test files share: a tiny base model made on the spot, small problem sets, a scratch cache."""

import os
from pathlib import Path

import pytest

# Tests run where no hub can be reached; nothing may try.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real checkpoint of the testbed's kind, pre-trained for a few steps: it samples all sorts of text.

    Its head size of 32 is the smallest that vLLM runs on a CPU.
    """
    from rlvr.models.testbed import Pretraining, pretrain

    folder = tmp_path_factory.mktemp("base") / "model"
    pretrain(Pretraining(hidden_size=64, intermediate_size=64, num_layers=2, num_heads=2, num_steps=40), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_base: Path):
    """The model of `tiny_base`, in evaluation mode."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_base).eval()


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_base: Path):
    """The tokenizer of `tiny_base`."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_base)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with GSM8K and MATH-500; the test skips where it is absent."""
    folder = Path(os.environ.get("RLVR_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"data folder absent: {folder}; set RLVR_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def small_recipe(tiny_base: Path):
    """Returns a function (output_dir, **changes) -> list of flags: the testbed's recipe, shrunk to seconds."""

    def flags(output_dir: Path, **changes: object) -> list[str]:
        values = {
            "model_name_or_path": tiny_base,
            "verifier": "tests.length_verifier:even_length",
            "warmup_steps": 0,
            "output_dir": output_dir,
            "train_problems": "countdown:train?num=64",
            "probe_problems": "countdown:probe?num=6",
            "num_generations": 4,
            "per_device_train_batch_size": 16,
            "max_steps": 4,
            "probe_steps": 2,
            "save_steps": 2,
            "probe_k_max": 8,
            "probe_max_draws": 16,
            "report_to": "none",
            "disable_tqdm": True,
        } | changes
        pairs = [
            [f"--{key}", *map(str, value if isinstance(value, list) else [value])] for key, value in values.items()
        ]
        return ["--config", str(ROOT / "recipes/countdown-tiny/grpo.yaml"), *(item for pair in pairs for item in pair)]

    return flags
