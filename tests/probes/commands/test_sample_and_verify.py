"""`probes plan`, `sample`, `verify` and `doctor` as a person runs them: flags in, files and numbers out."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from probes.cli import main
from probes.store.store import ProbeStore
from tests import forked

ROOT = Path(__file__).parents[3]
SCRIPTED = ["--engine", "scripted", "--rate", "0.3", "--verifier", "math", "--k-max", "8"]


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def run_json(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps({"question": f"{n}+1?", "answer": str(n + 1)}) + "\n" for n in range(12)))
    return path


# plan


def test_plan_prices_a_probe_before_it_is_made(problems):
    value = run_json("plan", "--problems", problems, "--k-max", 256, "--max-new-tokens", 10)
    assert value["num_problems"] == 12
    assert value["plan"] == {"looks": [32, 64, 128, 256, 512, 1024], "stop_at": 16, "give_up_at": None}
    assert [cost["name"] for cost in value["costs"]] == ["math-like", "hard", "polarised"]
    assert all(12 * 32 <= cost["draws"] <= 12 * 1024 for cost in value["costs"])
    assert all(cost["tokens_at_most"] == pytest.approx(10 * cost["draws"], abs=10) for cost in value["costs"])
    assert "math-like" in run("plan", "--problems", problems).output


def test_plan_from_an_earlier_probe(tmp_path):
    table = tmp_path / "counts.csv"
    table.write_text("problem_id,n,c\na,64,64\nb,64,0\n")
    (cost,) = run_json("plan", "--counts", table, "--k-max", 64)["costs"]
    assert (cost["name"], cost["draws"]) == ("measured", 32 + 256)


def test_plan_needs_something_to_price():
    result = run("plan")
    assert result.exit_code == 2
    assert "Give --problems, or --counts or --store" in result.output


def test_a_plan_that_cannot_give_k_max_names_the_flags(problems):
    result = run("plan", "--problems", problems, "--k-max", 64, "--max-draws", 100)
    assert result.exit_code == 2
    assert "--k-max: 64 exceeds n_max / 2 = 50; raise --max-draws to 128 or lower --k-max." in result.stderr


# sample


def test_sample_makes_a_store_and_the_same_command_goes_on(problems, tmp_path):
    first = run_json("sample", "--problems", problems, *SCRIPTED, "--output", tmp_path / "s")
    assert list(first["pass@k"]) == ["1", "2", "4", "8"]
    assert first["pass@k"]["1"]["estimate"] == pytest.approx(0.3, abs=0.15)
    store = ProbeStore.open_existing(tmp_path / "s")
    num_draws = store.outcomes().num_draws
    assert run_json("sample", "--problems", problems, *SCRIPTED, "--output", tmp_path / "s") == first
    assert store.outcomes().num_draws == num_draws
    grown = run_json("sample", "--problems", problems, *SCRIPTED, "--k-max", 32, "--output", tmp_path / "s")
    assert list(grown["pass@k"])[-1] == "32"
    assert store.outcomes().num_draws > num_draws


def test_sample_then_estimate_and_compare(problems, tmp_path):
    for name, rate in (("base", 0.2), ("rl", 0.9)):
        flags = ["--engine", "scripted", "--rate", rate, "--verifier", "math", "--k-max", 8]
        run_json("sample", "--problems", problems, *flags, "--output", tmp_path / name)
    assert run_json("estimate", tmp_path / "rl", "--k", 1)["pass@k"]["1"]["estimate"] > 0.7
    value = run_json("compare", tmp_path / "base", tmp_path / "rl", "--k", 1, 8)
    assert value["k"]["1"]["difference"] > 0.5
    assert set(value["cells"]) >= {"both", "base_only", "rl_only", "neither", "mcnemar_p"}


@pytest.mark.slow
def test_a_real_model_alone_and_in_two_processes_makes_the_same_counts(tiny_base, tmp_path):
    """`torchrun` starts two processes; each takes every second problem and writes files of its own."""
    flags = ["--model", str(tiny_base), "--problems", "countdown:probe?num=6", "--k-max", "8", "--max-new-tokens", "12"]
    flags += ["--verifier", "tests.length_verifier:even_length"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, launch in (("one", []), ("two", TORCHRUN)):
        words = [*launch, "probes", "sample", *flags, "--output", str(tmp_path / name)]
        process = forked.start(words, tmp_path / f"{name}.log", env=environment)
        assert process.wait() == 0, process.output()
    one, two = (ProbeStore.open_existing(tmp_path / name) for name in ("one", "two"))
    assert one.arm == two.arm
    assert one.counts().c_P.tolist() == two.counts().c_P.tolist()
    assert len(list((tmp_path / "two").glob("draws-*.sqlite"))) == 2
    assert "pass@k" in process.output()


TORCHRUN = ["torch.distributed.run", "--nproc_per_node", "2", "-m"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--engine", "vlm"], "engine: 'vlm' is not known; did you mean 'vllm'?"),
        (["--engine", "transformers"], "model: missing; the engine 'transformers' needs one."),
        (["--engine", "openai", "--model", "m"], "endpoint: missing; give --endpoint http://HOST:PORT/v1"),
        (["--engine", "scripted", "--verifier", "mth"], "verifier: 'mth' is not known; did you mean 'math'?"),
        (["--model", "./nothing"], "./nothing: no such folder"),
    ],
)
def test_bad_flags_are_one_line_and_leave_nothing(problems, tmp_path, flags, message):
    given = ["--problems", problems, "--verifier", "math", "--k-max", "8", *flags, "--output", tmp_path / "s"]
    result = run("sample", *given)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_another_arm_in_the_same_folder_is_refused(problems, tmp_path):
    run_json("sample", "--problems", problems, *SCRIPTED, "--output", tmp_path / "s")
    result = run("sample", "--problems", problems, *SCRIPTED, "--temperature", 0.6, "--output", tmp_path / "s")
    assert result.exit_code == 2
    assert "they differ in sampling" in result.stderr


# verify


def test_verify_judges_again_and_says_what_changed(problems, tmp_path):
    run_json("sample", "--problems", problems, *SCRIPTED, "--output", tmp_path / "s")
    store = ProbeStore.open_existing(tmp_path / "s")
    value = run_json("verify", tmp_path / "s", "--verifier", "tests.length_verifier:even_length")
    assert value["num_judged"] == store.outcomes(value["verifier"]).num_draws
    assert sum(value["outcomes"].values()) == value["num_judged"]
    (name,) = value["changed"]
    assert name.startswith("math@")
    assert len(store.verifier_ids()) == 2
    assert run_json("verify", tmp_path / "s", "--verifier", "tests.length_verifier:even_length")["num_judged"] == 0
    result = run("estimate", tmp_path / "s")
    assert "name one of them" in result.stderr


def test_a_verifier_id_that_is_not_there_is_named(problems, tmp_path):
    run_json("sample", "--problems", problems, *SCRIPTED, "--output", tmp_path / "s")
    result = run("estimate", tmp_path / "s", "--verifier-id", "maths@1")
    assert result.exit_code == 2
    assert "no verdicts of 'maths@1'; it has those of ['math@" in result.stderr


# doctor


def test_the_doctor_finds_the_scripted_engine_and_nothing_worse(problems, tmp_path):
    run_json("sample", "--problems", problems, *SCRIPTED, "--output", tmp_path / "s")
    value = run_json("doctor", tmp_path / "s")
    assert value["worst"] == "confound"
    assert {finding["check"] for finding in value["findings"]} >= {"scripted", "identity"}


def test_the_doctor_ends_with_1_where_draws_are_owed(problems, tmp_path):
    run_json("sample", "--problems", problems, *SCRIPTED, "--output", tmp_path / "s")
    (tmp_path / "s" / "draws-00000.sqlite").unlink()
    result = run("doctor", tmp_path / "s")
    assert result.exit_code == 1
    assert "12 of 12 problems owe draws" in result.output


def test_verify_reads_reasoning_as_the_stores_verdicts_do(problems, tmp_path):
    """The prompt opens the reasoning: a completion that never closes it has no answer, whoever judges it again."""
    store = tmp_path / "store"
    run_json("sample", "--problems", problems, "--output", store, *SCRIPTED, "--prompt-think", "open")
    again = run_json("verify", store, "--verifier", "numeric")
    assert again["think"] == "open"
    assert again["verifier"].endswith("&think=open")
    assert again["outcomes"]["unparsed"] == sum(again["outcomes"].values())
    other = run_json("verify", store, "--verifier", "numeric", "--prompt-think", "on")
    assert (other["think"], other["outcomes"]["correct"] > 0) == ("on", True)
    unclear = run("verify", store, "--verifier", "exact")
    assert unclear.exit_code == 2
    assert "has verdicts with think on and open; say which with --prompt-think" in unclear.output
    assert run_json("verify", store, "--verifier", "exact?think=off")["think"] == "off"
    assert (
        "prompt_think: 'maybe' is not known"
        in run("verify", store, "--verifier", "exact", "--prompt-think", "maybe").output
    )
