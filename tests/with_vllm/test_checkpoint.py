"""vLLM loads what we save, through the command, in two processes of one launcher."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from probes.engines import Request
from probes.engines.transformers import TransformersEngine
from probes.store.arm import Sampling, arm_of
from probes.store.store import ProbeStore
from rlvr.problems import load_problems
from rlvr.problems.prompts import PromptFormat
from tests.limits import HANG_S

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
PROBLEMS = "countdown:probe?num=6"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A checkpoint of the testbed's own shape."""
    from rlvr.models.testbed import Pretraining, pretrain

    folder = tmp_path_factory.mktemp("checkpoint") / "base"
    pretrain(Pretraining(num_steps=10), folder)
    return folder


def test_two_processes_share_a_probe_and_decode_as_transformers_does(checkpoint, tmp_path):
    """Greedy decoding. Each process has a vLLM of its own, which does not take the launcher's group for its own."""
    store = tmp_path / "store"
    launch = ["-m", "accelerate.commands.launch", "--config_file", "recipes/accelerate/ddp-cpu.yaml"]
    flags = {
        "--engine": "vllm",
        "--model": checkpoint,
        "--problems": PROBLEMS,
        "--verifier": "countdown",
        "--temperature": 0,
        "--max-new-tokens": 12,
        "--max-model-len": 64,
        "--k-max": 1,
        "--max-draws": 4,
        "--stop-at": 0,
        "--output": store,
    }
    command = [sys.executable, *launch, "-m", "probes", "sample"]
    command += [str(item) for pair in flags.items() for item in pair]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VLLM_CPU_CI_ENV": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG_S)
    assert result.returncode == 0, result.stderr[-3000:]
    opened = ProbeStore.open_existing(store)
    draws = list(opened.draws())
    assert {draw.engine for draw in draws} == {"vllm"}
    assert len(draws) == 6 * 4
    assert len(list(store.glob("draws-*.sqlite"))) == 2, "both processes drew"
    assert {(draw.problem_id, draw.completion, draw.num_tokens) for draw in draws} == greedy(checkpoint)


def greedy(checkpoint: Path) -> set[tuple[str, str, int]]:
    """What transformers decodes: one completion a problem."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(checkpoint).eval(),
        AutoTokenizer.from_pretrained(checkpoint),
    )
    arm = arm_of(model, tokenizer, PromptFormat(), Sampling(temperature=0, max_new_tokens=12))
    requests = [
        Request(problem.problem_id, PromptFormat().prompt(problem, tokenizer), (0,))
        for problem in load_problems(PROBLEMS)
    ]
    draws = [draw for batch in TransformersEngine(model, tokenizer, arm).sample(requests) for draw in batch]
    return {(draw.problem_id, draw.completion, draw.num_tokens) for draw in draws}
