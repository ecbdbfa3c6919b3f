"""Bad input: one clear error, exit code 2, nothing half-written."""

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from rlvr.cli import main
from rlvr.errors import RecipeError
from rlvr.training.recipe import read_recipe
from tests import forked

ROOT = Path(__file__).parent.parent.parent


def refused(flags: list[str], output_dir: Path) -> str:
    """Runs the command, checks exit code 2, one line of error, and that the output folder was not made."""
    result = CliRunner().invoke(main, ["train", *flags])
    assert result.exit_code == 2, result.output
    assert not output_dir.exists()
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_ratee": 1}, "unknown key 'learning_ratee'; did you mean 'learning_rate'?"),
        ({"max_steps": "abc"}, "max_steps: invalid int value: 'abc'"),
        ({"train_problems": "absent.jsonl"}, "absent.jsonl"),
        (
            {"probe_k_max": 128},
            "probe_k_max: 128 exceeds n_max / 2 = 8; raise probe_max_draws to 256 or lower probe_k_max.",
        ),
        ({"verifier": "countdwon"}, "verifier: 'countdwon' is not known; did you mean 'countdown'?"),
        ({"algorithm": "grop"}, "algorithm: 'grop' is not known; did you mean 'grpo'?"),
        ({"num_generations": 5}, "divisible by num_generations"),
        ({"model_name_or_path": "/no/such/folder"}, "no such folder"),
        ({"model_name_or_path": "testbed:countdown-huge"}, "the testbed has testbed:countdown-tiny"),
        ({"prompt_template": "no place"}, "must contain {question} exactly once"),
        ({"probe_top_p": 0}, "probe_top_p: 0.0 is outside (0, 1]"),
        ({"probe_steps": -1}, "probe_steps: -1 is negative"),
        ({"verifier": "numeric?tolerance=x"}, "tolerance is 'x'; expected a number of at least 0"),
        ({"format_reward": -0.1}, "format_reward: -0.1 is no bonus"),
    ],
)
def test_a_wrong_value_is_named(small_recipe, tmp_path, changes, message):
    assert message in refused(small_recipe(tmp_path / "out", **changes), tmp_path / "out")


def test_an_empty_problem_set(small_recipe, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    error = refused(small_recipe(tmp_path / "out", probe_problems=tmp_path / "empty.jsonl"), tmp_path / "out")
    assert "empty.jsonl" in error


def test_an_unknown_key_of_the_yaml_file(tmp_path):
    (tmp_path / "r.yaml").write_text("algorithm: grpo\nnum_generation: 8\n")
    error = refused(["--config", str(tmp_path / "r.yaml")], tmp_path / "out")
    assert "unknown key 'num_generation'; did you mean 'num_generations'?" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "expected a YAML mapping"),
        ("a: [", "not valid YAML"),
        ("max_steps: [1]\n", "max_steps: expected a number"),
    ],
)
def test_a_recipe_that_is_no_recipe(tmp_path, text, message):
    (tmp_path / "r.yaml").write_text(text)
    assert message in refused(["--config", str(tmp_path / "r.yaml")], tmp_path / "out")


def test_a_missing_recipe(tmp_path):
    assert "no such recipe" in refused(["--config", str(tmp_path / "none.yaml")], tmp_path / "out")


def test_a_model_folder_without_tokenizer(small_recipe, tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "bare")
    error = refused(small_recipe(tmp_path / "out", model_name_or_path=tmp_path / "bare"), tmp_path / "out")
    assert "no tokenizer" in error
    assert "save_pretrained" in error


def test_a_folder_with_checkpoints_of_someone_else(small_recipe, tmp_path):
    (tmp_path / "out" / "checkpoint-5").mkdir(parents=True)
    result = CliRunner().invoke(main, ["train", *small_recipe(tmp_path / "out")])
    assert result.exit_code == 2
    assert "has checkpoints and no manifest.json" in result.stderr


def test_a_full_disk_ends_the_run_with_one_error(small_recipe, tmp_path):
    """A file system of 600 kB: the checkpoint or the draws do not fit; the command says so and exits with 2."""
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(mount)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        flags = small_recipe(mount / "out", probe_max_draws=4096, probe_problems="countdown:probe?num=20")
        process = forked.start(["rlvr", "train", *flags], tmp_path / "log")
        assert process.wait() == 2, process.output()
        errors = [line for line in process.output().splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert "disk" in errors[0]
        assert "full" in errors[0]
        assert "Traceback" not in process.output()
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_bonus_for_the_format_is_refused_where_nothing_is_rewarded():
    recipe = str(ROOT / "recipes/countdown-tiny/rft.yaml")
    with pytest.raises(RecipeError, match="format_reward: rft cannot use it"):
        read_recipe(recipe, ["--format_reward", "0.1"])
