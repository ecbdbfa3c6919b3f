"""vLLM in the trainer's process.

Owns: what must hold before TRL starts vLLM there.
Does not own: starting it and giving it weights (TRL), sampling from it (`probes.engines.vllm`).
"""

from typing import Any


def keep_weights_in_place() -> None:
    """Lets the vLLM that starts next in this process take a trainer's weights on a CPU; elsewhere it does nothing.

    On CPUs with AVX-512 or AMX, vLLM packs each weight for its kernels when it starts, and drops the original or no
    longer reads it. What a trainer loads later would then fail, or would not reach the forward pass. Here the layers
    multiply with torch, as vLLM's own do on other CPUs.
    """
    try:
        from vllm.model_executor.layers import utils
        from vllm.platforms import current_platform
    except ImportError:
        return  # the trainer says what is missing
    if current_platform.is_cpu():
        utils.dispatch_cpu_unquantized_gemm = _multiply_with_torch


def _multiply_with_torch(layer: Any, remove_weight: bool) -> None:
    """Stands for vLLM's choice of a kernel for one layer: none that needs a packed weight."""
    import torch

    del remove_weight
    layer.cpu_linear = torch.nn.functional.linear
