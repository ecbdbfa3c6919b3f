"""Forked commands end as those of a new interpreter do: output, exit code, signal, folder and environment."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forked

WORDS = [["rlvr", "--version"], ["rlvr", "train", "--config", "none.yaml"], ["probes", "nothing"], ["no_such_module"]]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_output_and_exit_code_are_those_of_a_new_interpreter(words: list[str], tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(forked.ROOT)}
    process = forked.start(words, tmp_path / "log", cwd=tmp_path, env=env)
    new = subprocess.run(
        [sys.executable, "-m", *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert process.wait() == new.returncode
    last = (new.stdout + new.stderr).strip().splitlines()[-1].rpartition(": ")[2]
    assert last in process.output()


def test_folder_variables_and_a_signal(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(
        "import os, time\nprint(os.getcwd(), os.environ['A'], flush=True)\ntime.sleep(600)"
    )
    process = forked.start(["sleeper"], tmp_path / "log", cwd=tmp_path, env={"A": "1"})
    while not (tmp_path / "log").exists() or not process.output().endswith("\n"):
        assert process.returncode is None
    assert process.output() == f"{tmp_path} 1\n"
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
