"""`rlvr compare`: what it refuses, that it goes on where it stopped, and what it writes."""

import base64
import gzip
import json
import os
import signal
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from probes.results.summary import training_costs
from rlvr.cli import main
from rlvr.jobs.comparison import make_runs, read_config
from rlvr.training.run_folder import RunFolder
from tests import forked
from tests.limits import HANG_S

ROOT = Path(__file__).parents[3]
ARMS = {name: f"recipes/countdown-tiny/{name}.yaml" for name in ("grpo", "ppo", "rft")}


def write(folder: Path, **changes) -> str:
    path = folder / "compare.yaml"
    config = {"output_dir": str(folder / "out"), "arms": ARMS} | changes
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
    return str(path)


def refused(*command: str) -> str:
    result = CliRunner().invoke(main, ["compare", *command])
    assert result.exit_code == 2, result.output
    assert len(result.output.strip().splitlines()) == 1
    return result.output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": None}, "arms: saw None"),
        ({"arms": {}}, "arms: saw {}"),
        ({"output_dir": None}, "output_dir: saw None"),
        ({"seeds": ["a"]}, "seeds: saw ['a']"),
        ({"seed": 1}, "saw ['seed']; expected the keys arms"),
        ({"arms": {"grpo": "recipes/none.yaml"}}, "recipes/none.yaml: no such recipe"),
        ({"overrides": {"lerning_rate": 1}}, "lerning_rate: no arm knows such a key"),
        ({"overrides": {"probe_problems": ""}}, "probe_problems: missing"),
    ],
)
def test_what_cannot_be_compared_is_one_clear_error_and_writes_nothing(changes, message, tmp_path):
    assert message in refused("--config", write(tmp_path, **changes))
    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    assert "none.yaml: cannot be read" in refused("--config", str(tmp_path / "none.yaml"))


def test_arms_that_differ_in_what_must_be_the_same_are_refused(tmp_path):
    recipe = (ROOT / "recipes/countdown-tiny/ppo.yaml").read_text().replace("max_steps: 150", "max_steps: 15")
    (tmp_path / "short.yaml").write_text(recipe)
    output = refused("--config", write(tmp_path, arms={**ARMS, "short": str(tmp_path / "short.yaml")}))
    assert "max_steps: grpo has 150, short has 15" in output


def test_every_arm_is_trained_with_every_seed_and_overrides_go_to_those_that_know_them(tmp_path):
    config = read_config(write(tmp_path, seeds=[1, 2], overrides={"num_generations": 8, "max_steps": 7}))
    runs = make_runs(config)
    assert [(run.arm, run.seed) for run in runs] == [(arm, seed) for seed in (1, 2) for arm in ARMS]
    assert {run.job.training.max_steps for run in runs} == {7}
    assert {run.job.training.values["seed"] for run in runs} == {1, 2}


def test_the_shipped_comparison_is_of_eight_comparable_arms():
    runs = make_runs(read_config(str(ROOT / "recipes/countdown-tiny/compare.yaml")))
    names = [run.job.training.algorithm.name for run in runs]
    assert sorted(names) == sorted(["grpo", "ppo", "rloo", "reinforce_plus_plus", "remax", "dapo", "distill", "rft"])


def test_costs_by_step_by_hand():
    log = [
        {"step": 1, "loss": 0.1, "reward": 0.5, "rollouts": 16, "num_tokens": 300.0, "step_time": 2.0},
        {"step": 1, "probe/pass@1": 0.2},
        {"step": 2, "loss": 0.1, "rollouts": 40, "rollout_tokens": 900, "num_tokens": 77.0},
        {"step": 3, "loss": 0.1, "num_tokens": 77.0},
    ]
    found = {step: tuple(cost.values()) for step, cost in training_costs(log).items()}
    assert found == {1: (16, 300, 2.0), 2: (40, 900, None), 3: (None, None, None)}


def test_time_of_training_is_the_sum_over_steps_of_the_logged_means():
    log = [{"step": 1, "loss": 0.1, "step_time": 2.0}, {"step": 5, "loss": 0.1, "step_time": 0.5}]
    assert [cost["train_seconds"] for cost in training_costs(log).values()] == [2.0, 4.0]


@pytest.fixture(scope="module")
def small(tiny_base, tmp_path_factory) -> tuple[str, Path]:
    """A comparison of three arms that takes seconds."""
    folder = tmp_path_factory.mktemp("compare")
    overrides = {
        "model_name_or_path": str(tiny_base),
        "verifier": "tests.length_verifier:even_length",
        "train_problems": "countdown:train?num=64",
        "probe_problems": "countdown:probe?num=12",
        "probe_steps": 2,
        "save_steps": 2,
        "probe_k_max": 4,
        "probe_max_draws": 32,
        "probe_first_look": 8,
        "num_generations": 4,
        "per_device_train_batch_size": 16,
        "teacher_draws": 4,
        "max_steps": 4,
        "warmup_steps": 0,
        "report_to": "none",
        "disable_tqdm": True,
    }
    config = write(folder, overrides=overrides, problem_sets={"longer": "countdown:probe?num=12&num_numbers=4"})
    return config, folder / "out"


def start(config: str, log: Path) -> forked.Process:
    return forked.start(["rlvr", "compare", "--config", config, "--json"], log)


@pytest.fixture(scope="module")
def result(small):
    """The comparison's JSON, after the command was killed in its second arm and started again."""
    config, folder = small
    process = start(config, folder.with_suffix(".first.log"))
    limit = time.monotonic() + HANG_S
    while not (folder / "ppo-42" / "manifest.json").exists():
        assert process.returncode is None, process.output()
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)  # the command alone: what it had started ends with it
    process.wait()
    while RunFolder(folder / "ppo-42").is_training():
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert not RunFolder(folder / "ppo-42").finished
    first = (folder / "grpo-42" / "trainer_state.json").stat().st_mtime_ns
    process = start(config, folder.with_suffix(".second.log"))
    assert process.wait() == 0, process.output()
    assert (folder / "grpo-42" / "trainer_state.json").stat().st_mtime_ns == first  # not trained again
    return json.loads(process.output().splitlines()[-1])


def test_a_killed_comparison_goes_on_and_has_every_arm_on_every_set(result, small):
    assert list(result["sets"]) == ["countdown:probe?num=12", "countdown:probe?num=12&num_numbers=4"]
    for states in result["sets"].values():
        assert list(states) == ["steps", "rollouts", "tokens"]
        for part in states.values():
            assert list(part["arms"]) == list(ARMS)
    assert json.loads((small[1] / "comparison.json").read_text()) == result


def test_the_base_is_probed_once_for_all_arms(result, small):
    arms = [json.loads((small[1] / f"{arm}-42/probes/index.json").read_text())["entries"][0]["store"] for arm in ARMS]
    assert len({Path(store).name for store in arms}) == 1


def test_costs_stand_beside_the_numbers(result):
    part = result["sets"]["countdown:probe?num=12"]["steps"]["arms"]
    assert part["grpo"]["runs"][0]["rollouts"] == 4 * 16
    assert part["rft"]["runs"][0]["rollouts"] == 64 * 4
    assert all(arm["runs"][0]["tokens"] > 0 for arm in part.values())


def test_the_report_opens_offline_and_names_every_arm(result, small):
    page = (small[1] / "report.html").read_text()
    assert all(f">{arm}<" in page for arm in ARMS)
    assert "One seed per arm" in page
    assert "http://" not in page.split("<script>")[0]


def test_the_report_has_a_part_for_each_run_and_its_draws(result, small):
    page = (small[1] / "report.html").read_text()
    assert all(f'data-name="{arm}-42"' in page for arm in ARMS)
    evidence = json.loads(gzip.decompress(base64.b64decode(page.split('id="evidence-data">')[1].split("<")[0])))
    assert [arm["arm"] for arm in evidence["arms"]] == ["", *(f"{arm}-42" for arm in ARMS)]
    assert all(problem["draws"][0] for problem in evidence["problems"])


def test_hostile_names_are_text_on_the_page(result):
    from probes.report.comparison import render_comparison

    hostile = json.loads(json.dumps(result).replace("grpo", "<script>alert(1)</script>"))
    page = render_comparison(hostile, {}, "no draws here")
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
