"""Whole runs on a tiny real model: what a run leaves behind, and that probing does not change it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rlvr.cli import main

ROOT = Path(__file__).parents[3]


def train(*flags: str):
    return CliRunner().invoke(main, ["train", *flags])


@pytest.fixture(scope="module")
def finished(small_recipe, tmp_path_factory):
    """One finished run with TensorBoard on: (folder, terminal output)."""
    folder = tmp_path_factory.mktemp("run") / "demo"
    result = train(*small_recipe(folder, report_to="tensorboard"))
    assert result.exit_code == 0, result.output
    return folder, result.output


def losses(folder: Path) -> list[tuple[int, float, float]]:
    state = json.loads((folder / "trainer_state.json").read_text())
    return [
        (row["step"], row["loss"], row["grad_norm"], row["entropy"]) for row in state["log_history"] if "reward" in row
    ]


def test_a_run_leaves_manifest_model_summary_and_report(finished):
    folder, _ = finished
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["recipe"]["num_generations"] == 4
    assert manifest["versions"]["trl"]
    assert set(manifest["contents"]) == {"train_problems", "probe_problems"}
    assert manifest["seeds"]["seed"] == 42
    summary = json.loads((folder / "summary.json").read_text())
    assert [probe["step"] for probe in summary["probes"]] == [0, 2, 4]
    assert all(probe["num_draws"] == 6 * 16 for probe in summary["probes"])
    assert summary["training"]["step"] == [1, 2, 3, 4]
    assert [len(summary["studies"][name]) for name in ("arms", "against_base")] == [3, 2]
    assert summary["studies"]["flow"]["steps"] == [0, 2, 4]
    scores = [probe["scores"] for probe in summary["probes"]]
    assert all(each["own"]["token_entropy"]["estimate"] > 0 for each in scores)
    assert ["base" in each for each in scores] == [False, True, True]
    assert scores[2]["base"]["perplexity"]["estimate"] > 1
    assert "<html" in (folder / "report.html").read_text()


def test_the_final_model_and_the_checkpoints_load_in_any_tool(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, _ = finished
    for place in (folder, folder / "checkpoint-2"):
        model = AutoModelForCausalLM.from_pretrained(place)
        tokenizer = AutoTokenizer.from_pretrained(place)
        assert model.config.vocab_size == len(tokenizer)
        assert not list(place.glob("pytorch_model*"))


def test_the_terminal_ends_with_table_verdicts_and_path(finished):
    folder, output = finished
    assert "pass@1" in output
    assert "verdict" in output
    assert output.strip().endswith(f"report: {folder}/report.html")


def test_tensorboard_has_training_and_probe_metrics(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = finished
    files = sorted(folder.rglob("events.out.tfevents.*"))
    accumulator = EventAccumulator(str(files[0].parent))
    accumulator.Reload()
    scalars = accumulator.Tags()["scalars"]
    assert {"train/reward", "train/rollouts"} <= set(scalars)
    probe = next(tag for tag in scalars if tag.endswith("probe/pass@8"))
    assert [event.step for event in accumulator.Scalars(probe)] == [0, 2, 4]
    assert [event.value for event in accumulator.Scalars("train/rollouts")] == [16, 32, 48, 64]


def test_the_same_command_again_trains_nothing_and_gives_the_same_summary(finished, small_recipe):
    folder, _ = finished
    before = json.loads((folder / "summary.json").read_text())
    model_time = (folder / "model.safetensors").stat().st_mtime_ns
    result = train(*small_recipe(folder, report_to="tensorboard"))
    assert result.exit_code == 0, result.output
    assert (folder / "model.safetensors").stat().st_mtime_ns == model_time
    assert json.loads((folder / "summary.json").read_text()) == before


def test_another_recipe_in_the_folder_is_refused_and_the_keys_are_named(finished, small_recipe):
    folder, _ = finished
    result = train(*small_recipe(folder, learning_rate=1e-5))
    assert result.exit_code == 2
    assert "learning_rate was 0.0001, now 1e-05" in result.output


def test_a_probed_and_an_unprobed_run_have_the_same_losses(finished, small_recipe, tmp_path):
    folder, _ = finished
    flags = small_recipe(tmp_path / "unprobed", probe_problems="")
    result = train(*flags)
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "unprobed" / "probes").exists()
    assert losses(tmp_path / "unprobed") == losses(folder)
    assert all(grad_norm > 0 for _, _, grad_norm, _ in losses(folder)), "there was something to learn"


def test_runs_that_share_a_store_probe_their_common_base_once(finished, small_recipe, tmp_path):
    shared = tmp_path / "stores"
    for seed in (1, 2):
        flags = small_recipe(tmp_path / f"seed{seed}", seed=seed, max_steps=1, probe_steps=0, probe_store=shared)
        result = train(*flags)
        assert result.exit_code == 0, result.output
    assert len(list(shared.iterdir())) == 3, "one base and two trained arms"
    first, second = (json.loads((tmp_path / f"seed{seed}" / "summary.json").read_text()) for seed in (1, 2))
    assert first["probes"][0]["pass@k"] == second["probes"][0]["pass@k"]
    assert first["probes"][0]["arm_id"] == second["probes"][0]["arm_id"]
    assert first["probes"][1]["arm_id"] != second["probes"][1]["arm_id"]


def test_lora_starts_from_the_base_arm(finished, small_recipe, tmp_path):
    folder, _ = finished
    flags = small_recipe(
        tmp_path / "lora", use_peft=True, lora_r=2, max_steps=1, probe_steps=0, lora_target_modules=["q_proj", "v_proj"]
    )
    result = train(*flags)
    assert result.exit_code == 0, result.output
    arms = [
        json.loads((place / "summary.json").read_text())["probes"][0]["arm_id"] for place in (folder, tmp_path / "lora")
    ]
    assert arms[0] == arms[1]
