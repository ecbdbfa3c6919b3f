"""The tests that start vLLM: `scripts/make_vllm_env.sh`, then `.venv-vllm/bin/python -m pytest tests/with_vllm`."""

import os
from importlib.util import find_spec

import pytest

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips the tests of this folder where they cannot run."""
    if find_spec("vllm") is None:
        pytest.skip("no vllm here: scripts/make_vllm_env.sh, then .venv-vllm/bin/python -m pytest tests/with_vllm")
