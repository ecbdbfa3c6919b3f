"""A whole run whose problems name their verifiers: it trains, and probe and report are split by verifier."""

import json

import pytest
from click.testing import CliRunner

import probes.cli
from rlvr.cli import main
from rlvr.jobs.resolve import resolve
from rlvr.training.recipe import read_recipe

EVEN, VARIED = "tests.length_verifier:even_length", "tests.length_verifier:varied"


def test_a_run_with_two_verifiers_is_split_by_them(small_recipe, tmp_path):
    folder, stores = tmp_path / "run", tmp_path / "stores"
    held_out = f"countdown:probe?num=4&verifier={VARIED} + countdown:probe?num=6&seed=1"
    flags = small_recipe(
        folder,
        verifier=EVEN,
        train_problems=f"countdown:train?num=32 + countdown:train?num=32&seed=1&verifier={VARIED}",
        probe_problems=held_out,
        max_steps=2,
        probe_store=stores,
    )
    result = CliRunner().invoke(main, ["train", *flags])
    assert result.exit_code == 0, result.output
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["verifier"].startswith("mixture@1(of=tests.length_verifier:even_length@")
    for probe in summary["probes"]:
        parts = probe["by_verifier"]
        assert {name: part["num_problems"] for name, part in parts.items()} == {"default": 6, VARIED: 4}
        for k in map(str, summary["k"]):
            whole = sum(part["num_problems"] * part["pass@k"][k]["estimate"] for part in parts.values()) / 10
            assert whole == pytest.approx(probe["pass@k"][k]["estimate"])
    state = json.loads((folder / "trainer_state.json").read_text())
    logged = next(row for row in state["log_history"] if "probe/pass@1" in row)
    assert logged[f"probe/{VARIED}/pass@1"] == summary["probes"][0]["by_verifier"][VARIED]["pass@k"]["1"]["estimate"]
    page = (folder / "report.html").read_text()
    assert "pass@k of the problems of each verifier" in page
    assert f"{VARIED}</" in page
    check_other_commands(stores, held_out)


def check_other_commands(stores, held_out):
    """`analyze` splits too, and `verify` finds the run's verdicts, where the verifiers of rows are trusted."""
    store = min(stores.iterdir())
    analyzed = CliRunner().invoke(probes.cli.main, ["analyze", str(store), "--json"])
    assert analyzed.exit_code == 0, analyzed.output
    assert json.loads(analyzed.stdout)["by_verifier"][VARIED]["num_problems"] == 4
    refused = CliRunner().invoke(probes.cli.main, ["verify", str(store), "--verifier", EVEN])
    assert refused.exit_code == 2
    assert f"rows name the verifier {VARIED!r}, which runs code" in refused.output
    named = f"mixture?of={EVEN}&with={VARIED}"
    judged = CliRunner().invoke(probes.cli.main, ["verify", str(store), "--verifier", named, "--json"])
    assert judged.exit_code == 0, judged.output
    assert json.loads(judged.stdout)["num_judged"] == 0


def test_a_dry_run_says_which_name_in_a_row_runs_code(small_recipe, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"question": "a", "answer": "b", "meta": {"verifier": "code?isolation=none"}}))
    result = CliRunner().invoke(main, ["train", *small_recipe(tmp_path / "run", probe_problems=file), "--dry-run"])
    assert result.exit_code == 2
    assert "rows name the verifier 'code?isolation=none'" in result.output


def test_rows_that_are_probed_may_name_what_the_training_problems_location_names(small_recipe, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"question": "a", "answer": "b", "meta": {"verifier": VARIED}}))
    trained = f"countdown:train?num=32&verifier={VARIED}"
    flags = small_recipe(tmp_path / "run", verifier="exact", train_problems=trained, probe_problems=file)
    result = CliRunner().invoke(main, ["train", *flags, "--dry-run"])
    assert result.exit_code == 0, result.output
    job = resolve(read_recipe(flags[1], flags[2:]))
    inputs = job.task.load()
    problems, verifier = job.probing.load(inputs)
    assert verifier.parts[VARIED] is inputs.verifier.parts[VARIED]
    assert len(problems) == 1
    verifier.close()
