"""`probes watch` on a run of our own and on the folder of another trainer."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from probes.cli import main
from probes.store.index import ProbeIndex
from rlvr.cli import main as rlvr_main
from tests import forked
from tests.limits import HANG_S
from tests.rlvr.verifiers.remote.servers import chat, serving

ROOT = Path(__file__).parents[3]
VERIFIER = ("--verifier", "tests.length_verifier:even_length")


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(small_recipe, tmp_path_factory):
    """A run that was trained without a probe, with two checkpoints."""
    folder = tmp_path_factory.mktemp("run") / "demo"
    flags = small_recipe(folder)
    at = flags.index("--probe_problems")
    result = CliRunner().invoke(rlvr_main, ["train", *flags[:at], *flags[at + 2 :], "--probe_problems", ""])
    assert result.exit_code == 0, result.output
    return folder


@pytest.mark.slow
def test_a_finished_run_is_probed_from_its_manifest(trained):
    result = run("watch", trained, "--problems", "countdown:probe?num=6", *VERIFIER, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["steps"] == [0, 2, 4]
    summary = json.loads((trained / "summary.json").read_text())
    assert [probe["step"] for probe in summary["probes"]] == [0, 2, 4]
    assert summary["k"][-1] == 8
    assert summary["training"]["step"] == [1, 2, 3, 4]
    assert (trained / "report.html").exists()
    weights = trained / "checkpoint-2" / "model.safetensors"
    weights.rename(hidden := weights.with_suffix(".hidden"))
    assert run("watch", trained, "--problems", "countdown:probe?num=6", *VERIFIER).exit_code == 0, "no model is loaded"
    hidden.rename(weights)


@pytest.mark.slow
def test_checkpoints_are_probed_while_the_run_goes_on(trained, tmp_path):
    """Checkpoints of another trainer appear one by one; the watcher is stopped by FINISHED."""
    folder = tmp_path / "other"
    folder.mkdir()
    flags = ["--problems", "countdown:probe?num=4", "--verifier", "tests.length_verifier:even_length", "--k-max", "8"]
    words = ["probes", "watch", str(folder), *flags, "--max-new-tokens", "8", "--poll", "0.2"]
    watcher = forked.start(words, tmp_path / "log")
    for step in (2, 4):
        (folder / f"checkpoint-{step}").symlink_to(trained / f"checkpoint-{step}")
        deadline = time.monotonic() + HANG_S
        while step not in [entry.step for entry in ProbeIndex(folder).entries()]:
            assert watcher.returncode is None, watcher.output()
            assert time.monotonic() < deadline
            time.sleep(0.2)
    (folder / "FINISHED").touch()
    assert watcher.wait() == 0, watcher.output()
    out = watcher.output()
    assert out.count("step ") == 2
    assert "report: " in out


def test_a_folder_without_manifest_needs_problems_and_verifier(tmp_path):
    result = run("watch", tmp_path)
    assert result.exit_code == 2
    assert "Give --problems" in result.output


def test_a_folder_without_checkpoints_says_so(tmp_path):
    result = run("watch", tmp_path, "--problems", "countdown:probe?num=2", "--verifier", "countdown", "--once")
    assert result.exit_code == 0
    assert "no whole checkpoint to probe" in result.output


EVIL = """
from pathlib import Path
(Path(__file__).parent / "ran").touch()
def judge(problem, completion):
    return True
"""


@pytest.mark.parametrize("verifier", ["evil_judge:judge", "code?isolation=none", "code?isolation=process"])
def test_what_runs_code_is_never_taken_from_a_manifest(verifier, tmp_path, monkeypatch):
    """A stranger's folder, in which the reader stands: the module of its manifest is not imported."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil_judge.py").write_text(EVIL)
    recipe = {"verifier": verifier, "probe_problems": "countdown:probe?num=2", "trust_remote_code": True}
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "rlvr.run/1", "recipe": recipe}))
    result = run("watch", tmp_path, "--once")
    assert result.exit_code == 2
    assert f"wishes for the verifier {verifier!r}" in result.output
    assert f"give --verifier {verifier!r}" in result.output
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "verifier", ["judge?model=m", "http?url=URL", "fault?of=http&url=URL", "fault?of=judge&model=m"]
)
def test_a_server_is_never_taken_from_a_manifest(verifier, tmp_path, monkeypatch):
    with serving(lambda *_: chat('{"verdict": "correct"}')) as server:
        monkeypatch.setenv("RLVR_JUDGE_BASE_URL", server.url)
        recipe = {"verifier": verifier.replace("URL", server.url), "probe_problems": "countdown:probe?num=2"}
        (tmp_path / "manifest.json").write_text(json.dumps({"format": "rlvr.run/1", "recipe": recipe}))
        result = run("watch", tmp_path, "--once")
        assert result.exit_code == 2
        assert "or sends answers to a server" in result.output
        assert server.paths == []


def test_trust_in_a_models_code_is_never_taken_from_a_manifest(tmp_path):
    recipe = {"verifier": "countdown", "probe_problems": "countdown:probe?num=2", "trust_remote_code": True}
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "rlvr.run/1", "recipe": recipe}))
    (tmp_path / "model").mkdir()
    code = f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n"
    (tmp_path / "model/configuration_evil.py").write_text(code)
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "configuration_evil.Config"}}
    (tmp_path / "model/config.json").write_text(json.dumps(config))
    result = run("watch", tmp_path, "--once", "--base", tmp_path / "model")
    assert "wishes for trust_remote_code; it stays off" in result.output
    assert result.exit_code == 2
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "recipe",
    [[1], "text", {"probe_k_max": "many"}, {"probe_temperature": [1]}, {"probe_max_draws": {}}, {"verifier": 3}],
)
def test_a_manifest_of_odd_values_is_one_clear_error(recipe, tmp_path):
    usual = {"verifier": "countdown", "probe_problems": "countdown:probe?num=2"}
    content = {"recipe": usual | recipe if isinstance(recipe, dict) else recipe}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    result = run("watch", tmp_path, "--once")
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output


def test_a_verifier_in_a_manifests_location_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil_judge.py").write_text(EVIL)
    recipe = {"verifier": "countdown", "probe_problems": "countdown:probe?num=2&verifier=evil_judge:judge"}
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "rlvr.run/1", "recipe": recipe}))
    result = run("watch", tmp_path, "--once")
    assert result.exit_code == 2
    assert "wishes for problems that name the verifier 'evil_judge:judge'" in result.output
    assert not (tmp_path / "ran").exists()
