"""Runs as arms of a comparison: what is compared, under which name, and what is refused."""

from pathlib import Path

import pytest

from probes.report.inputs import read_input
from probes.results.summary import RunFacts, read_summary, remake_summary, write_summary
from probes.statistics.plan import Plan
from probes.store.index import ProbeEntry, ProbeIndex
from rlvr.errors import InputError
from tests.probes.report.stores import VERIFIER, make_store

BASE = [[True] * 4 + [False] * 12, [False] * 16, [True] + [False] * 15, [True] * 8 + [False] * 8]
LATER = [[True] * 14 + [False] * 2, [False] * 16, [False] * 16, [True] * 12 + [False] * 4]


def make_run(folder: Path, base: str = "base", seed: int = 42, later: list[list[bool]] = LATER, **log: object) -> Path:
    """Returns a run with probes at steps 0 and 10, whose log has 100 rollouts a step."""
    folder.mkdir(parents=True)
    for step, name, correct in ((0, base, BASE), (10, f"{folder.name} trained", later)):
        path = make_store(folder / "probes" / f"store-{step}", name, correct)
        entry = ProbeEntry(step, str(path), Plan.fixed(16).to_json(), VERIFIER, 1.5)
        ProbeIndex(folder).add(entry)
    fixed = {"loss": 0.1, "reward": 0.5, "step_time": 0.5}
    rows = [{"step": s, "rollouts": 100 * s, "num_tokens": 900 * s, **fixed} for s in range(1, 11)]
    facts = RunFacts(folder.name, "grpo", "a-model", {"seed": str(seed), "train_problems": "some"})
    write_summary(folder, 4, [row | log for row in rows], facts)
    return folder


def test_runs_from_one_base_are_compared_at_equal_steps_rollouts_and_tokens(tmp_path: Path) -> None:
    worse = [[False] * 16] * 4
    given = read_input([make_run(tmp_path / "grpo-42"), make_run(tmp_path / "rloo-42", later=worse)])
    compared = given.comparison
    assert compared is not None
    assert list(given.arms) == ["grpo-42", "rloo-42"]
    assert compared["algorithms"] == {"grpo": "grpo", "rloo": "grpo"}
    (states,) = compared["sets"].values()
    assert list(states) == ["steps", "rollouts", "tokens"]
    for part in states.values():
        assert list(part["arms"]) == ["grpo", "rloo"]
        (run,) = part["arms"]["grpo"]["runs"]
        assert (run["step"], run["rollouts"], run["tokens"]) == (10, 1000, 9000)
    cells = states["steps"]["arms"]["rloo"]["runs"][0]["cells"]
    assert (cells["base_only"], cells["rl_only"]) == (3, 0)
    assert compared["facts"]["train_problems"] == "some"


def test_two_seeds_of_an_arm_are_one_arm(tmp_path: Path) -> None:
    given = read_input([make_run(tmp_path / "grpo-1", seed=1), make_run(tmp_path / "grpo-2", seed=2)])
    assert given.comparison is not None
    assert given.comparison["seeds"] == [1, 2]
    (states,) = given.comparison["sets"].values()
    assert [run["seed"] for run in states["steps"]["arms"]["grpo"]["runs"]] == [1, 2]


def test_the_cost_of_a_probe_is_that_of_its_draws_and_of_training_until_then(tmp_path: Path) -> None:
    first, last = read_summary(make_run(tmp_path / "grpo-42"))["probes"]
    probing = {"draws": 64, "fixed_draws": 64, "seconds": 1.5}
    assert first["cost"] == probing | {"rollouts": None, "tokens": None, "train_seconds": None}
    assert last["cost"] == probing | {"rollouts": 1000, "tokens": 9000, "train_seconds": 5.0}


def test_unequal_rollouts_are_said(tmp_path: Path) -> None:
    given = read_input([make_run(tmp_path / "grpo-42"), make_run(tmp_path / "dapo-42", rollouts=5000)])
    assert given.comparison is not None
    said = " ".join(given.comparison["notes"])
    assert "unequal numbers of rollouts: 1,000 (grpo) to 5,000 (dapo)" in said


def test_runs_from_different_bases_are_refused(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a"), make_run(tmp_path / "b", base="another")]
    with pytest.raises(InputError, match=r"differ in the base model: .* write a report of each"):
        read_input(runs)


def test_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "x" / "grpo-42"), make_run(tmp_path / "y" / "grpo-42")]
    with pytest.raises(InputError, match="two runs are called 'grpo' with seed 42; rename a folder"):
        read_input(runs)


def test_a_summary_is_made_anew_and_keeps_what_others_said(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "grpo-42")
    before = read_summary(folder)
    old = (folder / "summary.json").read_text().replace("rlvr.summary/2", "rlvr.summary/1")
    (folder / "summary.json").write_text(old.replace('"notes": [', '"notes": [\n  "The probe stopped it.",'))
    with pytest.raises(InputError, match=r"schema 'rlvr\.summary/1', expected .*probes report RUN --remake"):
        read_input([folder])
    remake_summary(folder)
    after = read_summary(folder)
    assert after["probes"][1]["pass@k"] == before["probes"][1]["pass@k"]
    assert after["notes"] == [*before["notes"], "The probe stopped it."]
