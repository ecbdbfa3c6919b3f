"""vLLM in the trainer's process: a probe samples the weights as they are, and training goes on as if unprobed."""

import json
import os
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.with_vllm.live_run import NUM_DRAWS

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def environment() -> dict[str, str]:
    """What a launcher tells the one process that it starts."""
    own = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    quick = {"VLLM_CPU_CI_ENV": "1", "PYTHONPATH": str(ROOT)}  # vLLM without compilation
    return {**os.environ, **{key: str(value) for key, value in own.items()}, **quick}


@pytest.fixture(scope="module")
def runs(small_recipe, tiny_base, tmp_path_factory):
    """The results of three trainings, made at the same time, by name."""
    folder = tmp_path_factory.mktemp("live")
    options = {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "probe_problems": "",
        "learning_rate": 5e-3,
        "max_completion_length": 12,
    }
    started = {}
    for name in ("grpo-probed", "grpo-bare", "rloo-probed"):
        algorithm, probed = name.split("-")
        flags = [str(folder / name)] if algorithm == "rloo" else small_recipe(folder / name, **options)
        command = [sys.executable, "-m", "tests.with_vllm.live_run", str(folder / f"{name}.json"), algorithm, probed]
        with (folder / f"{name}.log").open("w") as log:
            started[name] = subprocess.Popen(
                [*command, str(tiny_base), *flags], cwd=ROOT, env=environment(), stdout=log, stderr=subprocess.STDOUT
            )
    try:
        for name, process in started.items():
            assert process.wait(240) == 0, (folder / f"{name}.log").read_text()[-3000:]
    finally:
        for process in started.values():
            process.kill()
            process.wait()
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in started}


def test_a_probed_run_has_the_losses_of_an_unprobed_one(runs):
    assert runs["grpo-probed"]["losses"] == runs["grpo-bare"]["losses"]
    assert len(runs["grpo-bare"]["losses"]) == 4


def test_a_probes_sync_of_weights_serves_the_next_rollout(runs):
    assert runs["grpo-bare"]["syncs"] == [0, 1, 2, 3]
    assert runs["grpo-probed"]["syncs"] == [0, 1, 2, 3, 4], "only the probe after the last step needs one of its own"


@pytest.mark.parametrize(
    ("name", "steps", "dtype"), [("grpo-probed", [0, 2, 4], "float32"), ("rloo-probed", [0, 2], "bfloat16")]
)
def test_draws_come_from_vllm_with_the_weights_of_their_step(runs, name, steps, dtype):
    probes, num_draws = runs[name]["probes"], NUM_DRAWS[name.split("-")[0]]
    assert [probe["step"] for probe in probes] == steps
    assert len({probe["arm"] for probe in probes}) == len(steps)
    for probe in probes:
        assert (probe["engine"], probe["names"], probe["dtype"]) == ("VllmEngine", ["vllm"], dtype)
        assert probe["num_draws"] == len(probe["frequent"]) * num_draws
        for start, frequency, p, error in (row for rows in probe["frequent"] for row in rows):
            assert frequency == pytest.approx(p, abs=5 * error + 1 / num_draws), start
    for earlier, later in pairwise(probes):
        assert not fits(earlier, later, num_draws), "the weights of the probe before would pass for these"


def fits(earlier, later, num_draws: int) -> bool:
    """Whether the later draws could be of the earlier weights."""
    before = {(at, start): (p, error) for at, rows in enumerate(earlier["frequent"]) for start, _, p, error in rows}
    after = {(at, start): frequency for at, rows in enumerate(later["frequent"]) for start, frequency, _, _ in rows}
    return all(
        after.get(key, 0.0) == pytest.approx(p, abs=5 * error + 1 / num_draws) for key, (p, error) in before.items()
    )
