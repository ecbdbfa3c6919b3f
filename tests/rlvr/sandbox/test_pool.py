"""The pool of workers: groups, faults that are really made, and neighbours that do not notice."""

import shutil
import sys
from pathlib import Path

import pytest

from rlvr.sandbox.pool import TaskFailure, WorkerPool, as_text
from rlvr.text import visible


def as_int(value):
    if type(value) is not int:
        raise ValueError("no int")
    return value


FAULTS = {
    "spin": TaskFailure(over_limit=True, reason="exceeded the deadline of 0.3 s"),
    "sleep": TaskFailure(over_limit=True, reason="exceeded the deadline of 0.3 s"),
    "fill": TaskFailure(over_limit=True, reason="exceeded the memory limit"),
    "die": TaskFailure(over_limit=False, reason="the verifier's worker died (exit code 3)"),
    "raise": TaskFailure(over_limit=False, reason="ValueError: no"),
    "exit": TaskFailure(over_limit=False, reason="SystemExit: 0"),
}


@pytest.fixture(scope="module", params=["namespace", "process"])
def pool(request):
    if request.param == "namespace" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed (scripts/install_sandbox.sh)")
    made = WorkerPool("tests.pool_tasks", "act", num_workers=2, deadline_s=0.3, isolation=request.param)
    yield made
    made.close()


@pytest.mark.parametrize("num", [0, 1, 3, 64, 1000])
def test_results_come_in_the_order_of_the_tasks(pool, num):
    assert pool.run([("return", number) for number in range(num)], as_int) == list(range(num))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_and_its_neighbours_do_not_notice(pool, fault):
    tasks = [("return", number) for number in range(40)]
    tasks[20] = (fault, 20)
    results = pool.run(tasks, as_int)
    assert results[20] == FAULTS[fault]
    assert results[:20] + results[21:] == [number for number in range(40) if number != 20]


def test_every_fault_at_once(pool):
    tasks = [(kind, number) for number in range(6) for kind in ("return", "die", "return", "spin", "raise")]
    results = pool.run(tasks, as_int)
    for (kind, number), result in zip(tasks, results, strict=True):
        expected = number if kind == "return" else FAULTS[kind]
        assert result == expected


def test_a_closed_pool_starts_again(pool):
    assert pool.run([("return", 1)], as_int) == [1]
    pool.close()
    assert not pool.running
    assert pool.run([("return", 2)], as_int) == [2]


def test_a_package_that_is_on_nobodys_path_is_found(pool, monkeypatch):
    """An editable installation is found by a hook of its own, which a worker's interpreter does not have."""
    root = Path(__file__).parents[3]
    monkeypatch.setattr(sys, "path", [each for each in sys.path if Path(each).resolve() != root])
    made = WorkerPool("rlvr.text", "visible", num_workers=1, deadline_s=10.0, isolation=pool.isolation)
    try:
        assert made.run([("a\x07",)], as_text) == [visible("a\x07")]
    finally:
        made.close()
