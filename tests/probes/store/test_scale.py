"""300,000 draws in one store, most of them sealed: memory stays bounded, counts are right.

`scripts/bench_store.py` has ten million.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.limits import HANG_S

ROOT = Path(__file__).parents[3]
CODE = """
import json, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from scripts.bench import count_store, fill_store
from probes.store import writer_files
writer_files.SEAL_BYTES = 1 << 24
path = Path(sys.argv[1])
correct = fill_store(path, num_problems=300, num_draws=1000)
counts = count_store(path)
from probes.statistics.intervals import compare_counts
from tests.limits import HANG_S
band = compare_counts(counts, counts, [1, 16, 256]).at()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"right": counts.c_P.tolist() == correct, "memory": memory, "words": band.verdict_K,
                  "num_draws": int(counts.n_P.sum())}))
"""


@pytest.mark.slow
def test_many_draws_are_written_counted_and_compared_within_two_gigabytes(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CODE, str(tmp_path / "s"), str(ROOT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["num_draws"] == 300_000
    assert found["right"]
    assert found["words"] == ["cannot tell"] * 3
    assert found["memory"] < 2 * 2**30
