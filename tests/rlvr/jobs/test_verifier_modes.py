"""A whole run with the math verifier: both of its modes are stored, summarised and reported."""

import json

import pytest
from click.testing import CliRunner

from probes.store.store import ProbeStore
from rlvr.cli import main


@pytest.mark.parametrize(("verifier", "shown"), [("math", "lenient"), ("math?mode=strict&format=stated", "strict")])
def test_both_modes_stand_in_store_summary_and_report(verifier, shown, small_recipe, tmp_path):
    folder = tmp_path / "run"
    flags = small_recipe(folder, verifier=verifier, max_steps=1, save_steps=1, probe_store=tmp_path / "stores")
    result = CliRunner().invoke(main, ["train", *flags])
    assert result.exit_code == 0, result.output
    summary = json.loads((folder / "summary.json").read_text())
    assert f"mode={shown}" in summary["verifier"]
    modes = summary["probes"][0]["modes"]
    assert modes["num_draws"] == summary["plan"]["looks"][0]
    assert 0 <= min(modes["shown"], modes["other"]) <= 1
    assert f"Verifier mode: {shown} is shown." in (folder / "report.html").read_text()
    for path in (tmp_path / "stores").iterdir():
        store = ProbeStore.open_existing(path)
        other = store.other_outcomes(summary["verifier"])
        assert other.num_draws == store.outcomes(summary["verifier"]).num_draws
        assert other.num_unjudged == 0
