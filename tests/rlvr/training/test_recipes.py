"""Every shipped recipe: it parses, its dry run passes, and what decides its objective stands in it."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from rlvr.cli import main
from rlvr.jobs.dry_run import cost_of
from rlvr.jobs.resolve import resolve
from rlvr.training.recipe import read_recipe

ROOT = Path(__file__).parents[3]
RECIPES = sorted(
    path
    for path in (ROOT / "recipes").rglob("*.yaml")
    if path.parent.name != "accelerate" and path.name != "compare.yaml"
)


def test_the_recipes_are_found():
    assert {path.parent.name for path in RECIPES} >= {"countdown-tiny", "smollm2-135m", "qwen2.5-7b"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recipe_parses_writes_its_objective_and_dry_runs(path):
    recipe = read_recipe(str(path))
    missing = set(recipe.algorithm.objective) - recipe.given
    assert not missing, f"{path} leaves {missing} to TRL's defaults"
    result = CliRunner().invoke(main, ["train", "--config", str(path), "--dry-run", "--num-processes", "8", "--json"])
    assert result.exit_code == 0, result.output
    cost = json.loads(result.stdout)["cost"]
    assert cost["rollouts_per_step"] > 0 or recipe.algorithm.is_supervised


@pytest.mark.parametrize("path", sorted((ROOT / "recipes/accelerate").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_accelerate_file_loads(path):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert config.num_processes == yaml.safe_load(path.read_text())["num_processes"]


def test_the_published_set_up_costs_what_the_paper_says():
    """256 prompts x 8 rollouts a step, 150 steps."""
    recipe = read_recipe(str(ROOT / "recipes/qwen2.5-7b/grpo.yaml"))
    cost = cost_of(resolve(recipe), num_processes=8, num_train=None, num_probe=500)
    assert (cost.steps, cost.rollouts_per_step, cost.rollouts) == (150, 2048, 150 * 2048)
    assert (cost.probes, cost.draws) == (4, 4 * 500 * 512)


@pytest.mark.parametrize(("name", "per_step"), [("grpo", 256), ("remax", 256 + 16), ("dapo", 2560), ("rft", 0)])
def test_the_cost_counts_greedy_rollouts_and_rounds_of_resampling(name, per_step):
    recipe = read_recipe(str(ROOT / f"recipes/countdown-tiny/{name}.yaml"))
    cost = cost_of(resolve(recipe), num_processes=1, num_train=4000, num_probe=100)
    assert cost.rollouts_per_step == per_step
    assert cost.rollouts == (40_000 if name == "rft" else 150 * per_step)


@pytest.mark.parametrize(("every", "probes"), [(0, 2), (50, 4), (40, 5), (150, 2), (1000, 2)])
def test_the_number_of_probes(every, probes):
    recipe = read_recipe(str(ROOT / "recipes/countdown-tiny/grpo.yaml"), ["--probe_steps", str(every)])
    assert cost_of(resolve(recipe), 1, 4000, 100).probes == probes


def test_flags_override_and_are_recorded_as_given():
    path = str(ROOT / "recipes/countdown-tiny/grpo.yaml")
    recipe = read_recipe(path, ["--learning_rate", "1e-5", "--bf16", "false", "--no_shuffle_dataset"])
    assert recipe.values["learning_rate"] == 1e-5
    assert "learning_rate" in recipe.given
    assert "vllm_mode" not in recipe.given


def test_a_dry_run_prints_the_recipe_and_its_cost_and_writes_nothing(tmp_path):
    path = str(ROOT / "recipes/countdown-tiny/grpo.yaml")
    flags = ["--dry-run", "--output_dir", str(tmp_path / "out")]
    result = CliRunner().invoke(main, ["train", "--config", path, *flags])
    assert result.exit_code == 0
    for text in ("learning_rate: 0.0001", "rollouts: 38,400", "draws: 204,800", "4,000 to train on, 100 to probe"):
        assert text in result.stdout
    assert not (tmp_path / "out").exists()
