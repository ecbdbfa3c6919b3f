"""Twenty rounds of `scripts/torture.py`: kills, bit flips, torn files, two writers, live copies."""

import subprocess
import sys
from pathlib import Path

from tests.limits import HANG_S

ROOT = Path(__file__).parent.parent


def test_twenty_rounds_lose_double_and_change_nothing():
    command = [sys.executable, "scripts/torture.py", "--rounds", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines()[1:]]
    assert [row[0].strip() for row in rows] == ["kill", "flip", "torn", "writers", "copy"]
    assert all(int(row[2]) > 0 for row in rows), "faults were made"
