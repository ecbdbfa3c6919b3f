"""vLLM loads what we save. Runs in the environment made by scripts/make_vllm_env.sh."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-vllm/bin/python"
CODE = """
import json, sys
from vllm import LLM, SamplingParams
model = LLM(sys.argv[1], dtype="float32", max_model_len=64, enforce_eager=True)
output = model.generate(["3 5 7=22:"], SamplingParams(n=1, temperature=0, max_tokens=12))[0]
print("RESULT", json.dumps([list(output.prompt_token_ids), list(output.outputs[0].token_ids)]))
"""


@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_loads_a_testbed_checkpoint_and_decodes_the_same(tmp_path):
    """Greedy decoding in vLLM equals greedy decoding in transformers, prompt tokens included; the testbed's shape."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rlvr.testbed import Pretraining, pretrain

    if not PYTHON.exists():
        pytest.skip("environment absent: scripts/make_vllm_env.sh makes it")
    pretrain(Pretraining(num_steps=10), tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    command = [str(PYTHON), "-c", CODE, str(tmp_path / "base")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr[-3000:]
    line = next(line for line in result.stdout.splitlines() if line.startswith("RESULT "))
    prompt, completion = json.loads(line.removeprefix("RESULT "))
    ids = torch.tensor([tokenizer("3 5 7=22:")["input_ids"]])
    assert prompt == ids[0].tolist()
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12)
    assert completion == expected[0, ids.shape[1] :].tolist()
