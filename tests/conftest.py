"""Fixtures that several test files share: a tiny base model, small problem sets, and the order in which files run."""

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Tests run where no hub can be reached; nothing may try.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Two threads of torch that other programs disturb are ten times slower than one.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

ROOT = Path(__file__).parent.parent
DURATIONS = ROOT / "tests" / "durations.json"  # seconds by file; scripts/test_durations.py writes it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take longest first, so that the last process does not wait for one of them."""
    seconds: dict[str, float] = json.loads(DURATIONS.read_text())["files"] if DURATIONS.exists() else {}
    items.sort(key=lambda item: -seconds.get(str(item.path.relative_to(ROOT)), 0.0))


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Returns a folder that one process makes, whole or not at all; the others wait for it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            making = folder.with_suffix(f".making-{os.getpid()}")
            shutil.rmtree(making, ignore_errors=True)
            make(making)
            making.rename(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base() -> Path:
    """A real checkpoint of the testbed's kind, pre-trained for a few steps: it samples all sorts of text.

    Its head size of 32 is the smallest that vLLM runs on a CPU. It is kept in the cache under a name that follows from
    everything that decides it, kernels included. `RLVR_TEST_SEED` makes another one: no test may depend on which.
    """
    import torch
    import transformers

    from rlvr.models import testbed

    recipe = testbed.Pretraining(
        hidden_size=64,
        intermediate_size=64,
        num_layers=2,
        num_heads=2,
        num_steps=40,
        seed=int(os.environ.get("RLVR_TEST_SEED", "1")),
    )
    kernels = (torch.backends.cpu.get_cpu_capability(), os.environ.get("ONEDNN_MAX_CPU_ISA"))
    code = Path(testbed.__file__).read_text()
    decides = repr((recipe.model_id, torch.__version__, transformers.__version__, sys.version, *kernels, code))
    name = f"tiny-{hashlib.sha256(decides.encode()).hexdigest()[:12]}"
    return made_once(testbed.cache_root() / "tests" / name, lambda folder: testbed.pretrain(recipe, folder))


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
