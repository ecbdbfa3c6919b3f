"""`probes analyze` and `probes import` as a person runs them."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from probes.cli import main
from tests.rlvr.verifiers.remote.servers import chat, serving

DATA = Path(__file__).parents[1] / "importers" / "data"


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def run_json(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two scripted arms on the same problems."""
    folder = tmp_path_factory.mktemp("stores")
    problems = folder / "problems.jsonl"
    problems.write_text("".join(json.dumps({"question": f"{n}+1?", "answer": str(n + 1)}) + "\n" for n in range(15)))
    for name, rate in (("base", 0.1), ("rl", 0.6)):
        flags = ["--engine", "scripted", "--rate", rate, "--verifier", "math", "--k-max", 16]
        run_json("sample", "--problems", problems, *flags, "--output", folder / name)
    return folder / "base", folder / "rl"


def test_analyze_prints_every_study_of_an_arm_and_of_a_pair(stores):
    base, rl = stores
    value = run_json("analyze", rl, "--base", base)
    arm = value["arm"]
    assert arm["num_first_draws"] == 32
    assert sum(arm["histogram"]["num_problems"]) == 15
    assert sum(arm["rates"]["outcomes"].values()) == 15 * 32
    assert arm["reliability"]["pass^k"]["1"] == pytest.approx(0.6, abs=0.1)
    assert arm["distinct_correct"]["mean"] == pytest.approx(1.0, abs=0.01), "the scripted engine knows one answer"
    assert set(arm["extrapolation"]) == {"a", "b", "never", "fits", "fit_p", "pass@k"}
    pair = value["against_base"]
    assert pair["efficiency_gap"]["k"] == 16
    assert pair["support"]["retention"] == 1.0
    assert pair["same_model_null"]["k"] == 32
    text = run("analyze", rl, "--base", base).output
    assert "efficiency_gap" in text
    assert "same_model_null" in text
    assert all("scripted engine" in note for note in value["notes"])
    assert len(value["notes"]) == 2


def test_guessable_problems_another_prompt_and_a_judge_of_reasoning(stores, tmp_path):
    base, rl = stores
    rl = shutil.copytree(rl, tmp_path / "rl")
    value = run_json(
        "analyze", rl, "--guesses", base, "--reasoning-judge", "tests.length_verifier:even_length", "--other-prompt", rl
    )
    assert value["without_guessable"]["num_kept"] == 15, "pass@1 of the guesses is 0.1, below the threshold"
    assert value["without_guessable"]["pass@k"]["1"] == pytest.approx(0.6, abs=0.1)
    assert value["prompt"]["moves"] is False
    reasoning = value["reasoning"]
    assert reasoning["num_right"] <= reasoning["num_correct_answers"]
    assert list(reasoning["cot_pass@k"]) == ["1", "2", "4", "8"]
    assert reasoning["num_judged_now"] == reasoning["num_correct_answers"]
    result = run("analyze", rl, "--other-prompt", base)
    assert result.exit_code == 2
    assert "the arms differ in weights too" in result.stderr
    assert run("analyze", rl, "--reasoning-judge", "tests.length_verifier:nothing").exit_code == 2


def test_a_model_reads_the_reasoning_of_right_answers_once(stores, tmp_path, monkeypatch):
    """The server fails on some draws: they widen the interval, and the next run asks for them only."""
    store = shutil.copytree(stores[1], tmp_path / "rl")
    before = run_json("estimate", store)
    fails = True

    def behave(number, body):
        if fails and number % 5 == 4:
            return (400, b"no", {})
        return chat(json.dumps({"verdict": "correct" if number % 2 else "wrong"}))

    with serving(behave) as server:
        monkeypatch.setenv("RLVR_JUDGE_BASE_URL", server.url)
        command = ("analyze", store, "--reasoning-judge", "judge?rubric=reasoning&model=m", "--draws-judged", 8)
        found = run_json(*command)["reasoning"]
        assert found["judge"].startswith("reasoning(judge@1?rubric=")
        assert found["judge"].endswith("&think=off)")
        assert found["num_draws"] == 8
        assert 0 < found["num_judged_now"] == found["num_correct_answers"] <= 15 * 8
        assert 0 < found["num_unknown"] < found["num_correct_answers"]
        row, sure = found["cot_pass@k"]["1"], found["pass@k"]["1"]
        assert row["lo"] < row["unknown_wrong"] < row["unknown_right"] < sure["estimate"]
        fails = False
        again = run_json(*command)["reasoning"]
        assert (again["num_judged_now"], again["num_unknown"]) == (found["num_unknown"], 0)
        num_asked = len(server.bodies)
        assert run_json(*command)["reasoning"]["num_judged_now"] == 0
        assert len(server.bodies) == num_asked
    assert run_json("estimate", store) == before, "verdicts on reasoning are not verdicts on answers"
    assert run("doctor", store).output.count("owed") == run("doctor", stores[1]).output.count("owed")


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ("judge?model=m", "judges answers; add rubric=reasoning"),
        ("judge?model=m&rubric=answer", "judges answers; add rubric=reasoning"),
        ("judge?model=m&rubric=reasoning&think=on", "takes no think"),
        ("judge?model=m&rubric=reasoning", "set RLVR_JUDGE_BASE_URL"),
    ],
)
def test_a_judge_that_cannot_read_reasoning_is_refused(stores, judge, said, monkeypatch):
    for name in ("RLVR_JUDGE_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    result = run("analyze", stores[1], "--reasoning-judge", judge)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.slow
def test_analyze_scores_draws_with_a_real_model(tiny_base, tmp_path):
    flags = ["--model", tiny_base, "--problems", "countdown:probe?num=4", "--k-max", 8, "--max-new-tokens", 8]
    run_json("sample", *flags, "--verifier", "tests.length_verifier:even_length", "--output", tmp_path / "s")
    scored = run_json("analyze", tmp_path / "s", "--scored-by", tiny_base, "--draws-scored", 4)["scored"]
    assert scored["num_draws"] == 16
    assert scored["perplexity"]["estimate"] > 1
    entropy = scored["token_entropy"]
    assert 0 < entropy["lo"] <= entropy["estimate"] <= entropy["hi"]


def test_import_then_estimate(tmp_path):
    """A log that another tool wrote; the same file again adds nothing."""
    (log,) = DATA.glob("**/*results.jsonl")
    flags = ["import", "--format", "human-eval", log, "--model", "m", "--output", tmp_path / "s"]
    first = run_json(*flags)
    assert first["num_draws"] > 0
    assert run_json(*flags)["num_draws"] == 0
    assert "imported before" in run(*flags).output
    assert run_json("estimate", tmp_path / "s", "--k", 1)["num_problems"] == first["num_problems"]
    assert run_json("doctor", tmp_path / "s")["findings"][0]["check"] == "identity"


def test_an_unknown_format_names_the_known_ones(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text("{}\n")
    result = run("import", "--format", "lmeval", file, "--output", tmp_path / "s")
    assert result.exit_code == 2
    assert "Did you mean 'lm-eval'?" in result.stderr
    assert not (tmp_path / "s").exists()
