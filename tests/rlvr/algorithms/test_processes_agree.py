"""The same global batch gives the same update on one process, on two, and with gradient accumulation."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import forked
from tests.rlvr.algorithms.scripted import ALGORITHMS

ROOT = Path(__file__).parents[3]
ONE = ["tests.rlvr.algorithms.scripted"]
SCRIPT = "tests/rlvr/algorithms/scripted.py"
TWO = ["accelerate.commands.launch", "--config_file", "recipes/accelerate/ddp-cpu.yaml", SCRIPT]


def run(command: list[str], base: Path, output: Path, batch: int, accumulation: int) -> Path:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [*command, str(base), str(output), str(batch), str(accumulation)]
    process = forked.start(words, output.with_suffix(".log"), env=environment)
    assert process.wait() == 0, process.output()[-3000:]
    return output


@pytest.fixture(scope="module")
def whole(tiny_base, tmp_path_factory):
    return run(ONE, tiny_base, tmp_path_factory.mktemp("whole"), 16, 1)


@pytest.fixture(scope="module")
def accumulated(tiny_base, tmp_path_factory):
    return run(ONE, tiny_base, tmp_path_factory.mktemp("accumulated"), 8, 2)


@pytest.fixture(scope="module")
def two_processes(tiny_base, tmp_path_factory):
    return run(TWO, tiny_base, tmp_path_factory.mktemp("two"), 8, 1)


def change(folder: Path, base: Path) -> dict[str, torch.Tensor]:
    """What training did to each weight."""
    before = load_file(base / "model.safetensors")
    return {key: value - before[key] for key, value in load_file(folder / "model.safetensors").items()}


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("beta", [0.0, 0.05])
@pytest.mark.parametrize("other", ["accumulated", "two_processes"])
def test_the_update_is_the_same(name, beta, other, whole, tiny_base, request):
    folder = request.getfixturevalue(other) / f"{name}-{beta}"
    expected = change(whole / f"{name}-{beta}", tiny_base)
    for key, value in change(folder, tiny_base).items():
        assert (value - expected[key]).norm() <= 1e-3 * expected[key].norm() + 1e-7, key
    assert sum(value.norm() for value in expected.values()) > 1e-3


@pytest.mark.parametrize("beta", [0.0, 0.05])
@pytest.mark.parametrize("other", ["accumulated", "two_processes"])
def test_the_critic_is_the_same(beta, other, whole, request):
    expected = load_file(whole / f"ppo-{beta}" / "critic" / "model.safetensors")
    for key, value in load_file(
        request.getfixturevalue(other) / f"ppo-{beta}" / "critic" / "model.safetensors"
    ).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-6, msg=key)
    assert expected["score.weight"].abs().max() > 1e-4
