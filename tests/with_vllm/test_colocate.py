"""`rlvr.models.colocate` against the vLLM that is installed: what it leans on is there, and does what it says."""

import json
import subprocess
import sys

from tests.limits import HANG_S
from tests.with_vllm.test_live_colocate import ROOT, environment

# In a process of its own: the change holds for as long as a process lives.
LAYER = """
import json
import torch
from rlvr.models.colocate import keep_weights_in_place
from vllm.model_executor.layers.linear import UnquantizedLinearMethod
from vllm.model_executor.layers.vocab_parallel_embedding import UnquantizedEmbeddingMethod

keep_weights_in_place()
found = {}
for method in (UnquantizedLinearMethod(), UnquantizedEmbeddingMethod()):
    for dtype in (torch.float32, torch.bfloat16):
        layer = torch.nn.Linear(32, 32, bias=False, dtype=dtype)
        weight = layer.weight
        method.process_weights_after_loading(layer)
        with torch.no_grad():
            weight.fill_(0.5)
            product = layer.cpu_linear(torch.ones(1, 32, dtype=dtype), layer.weight, None)
        found[f"{type(method).__name__} {dtype}"] = [
            layer.weight is weight, layer.cpu_linear is torch.nn.functional.linear, product.unique().tolist()
        ]
print(json.dumps(found))
"""


def test_a_weight_that_comes_later_is_the_one_that_multiplies():
    ended = subprocess.run(
        [sys.executable, "-c", LAYER], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=HANG_S
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert len(found) == 4
    assert all(each == [True, True, [16.0]] for each in found.values()), found
