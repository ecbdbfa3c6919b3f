import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from probes.cli import main
from probes.store.arm import Arm, Sampling
from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.problems import Problem, ProblemSet
from rlvr.verifiers.verdicts import Outcome, Verdict


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def run_json(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def run_process(*arguments, **more):
    command = [sys.executable, "-m", "probes", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


@pytest.fixture
def write(tmp_path):
    """Writes a table of counts and returns its path."""

    def write(name, *rows, header="problem_id,n,c"):
        path = tmp_path / name
        path.write_text("\n".join([header, *rows, ""]))
        return path

    return write


@pytest.fixture
def one(write):
    return write("one.csv", "a,4,1", "b,4,1")


@pytest.fixture
def arms(write):
    """A base that solves everything sometimes, and an arm that solves half of it always."""
    base = write("base.csv", *[f"p{row},256,8" for row in range(100)])
    other = write("rl.csv", *[f"p{row},256,{256 * (row % 2)}" for row in range(100)])
    return base, other


@pytest.fixture
def store(tmp_path):
    """A store of two problems with four judged draws each, 1 and 2 correct."""
    problems = ProblemSet.of("p", [Problem("1+1", "2"), Problem("2+2", "4")])
    arm = Arm("weights", "tokenizer", {"template": "{question}"}, Sampling(), (1,), "float32")
    store = ProbeStore.create(tmp_path / "store", arm, problems)
    for correct, problem in enumerate(problems, start=1):
        draws = [Draw(problem.problem_id, index, "2", 1, False, "scripted") for index in range(4)]
        store.add_draws(draws)
        outcomes = [Outcome.CORRECT if index < correct else Outcome.WRONG for index in range(4)]
        store.add_verdicts("math", zip(draws, map(Verdict, outcomes), strict=True))
    return tmp_path / "store"


# estimate


def test_estimate_prints_json_of_this_form(one):
    value = run_json("estimate", "--counts", one, "--k", 1, 2, 4)
    assert list(value) == ["num_problems", "pass@k"]
    assert value["num_problems"] == 2
    assert list(value["pass@k"]) == ["1", "2", "4"]
    assert all(list(entry) == ["estimate", "se_draws", "lo", "hi"] for entry in value["pass@k"].values())
    assert [entry["estimate"] for entry in value["pass@k"].values()] == [0.25, 0.5, 1.0]
    assert value["pass@k"]["2"]["se_draws"] == pytest.approx((0.5**2 / 2) ** 0.5)
    assert value["pass@k"]["4"]["se_draws"] is None
    assert all(entry["lo"] < entry["estimate"] <= entry["hi"] for entry in value["pass@k"].values())


@pytest.mark.parametrize(
    "flags",
    [
        ("--k", "1", "2", "4"),
        ("--k", "1", "--k", "2", "--k", "4"),
        ("--k", "1,2,4"),
        ("--k=1,2", "4"),
        ("--k=4", "--k", "2", "1", "2"),
    ],
)
def test_k_takes_several_values_in_every_usual_way(one, flags):
    expected = run_json("estimate", "--counts", one, "--k", "1,2,4")
    assert run_json("estimate", *flags, "--counts", one) == expected
    assert run_json("estimate", "--counts", one, *flags) == expected


def test_a_folder_may_follow_the_values_of_k(store):
    assert run_json("estimate", "--k", 1, 2, store) == run_json("estimate", store, "--k", "1,2")


def test_estimate_reads_a_store(store):
    value = run_json("estimate", store, "--k", 1)
    assert value["num_problems"] == 2
    assert value["pass@k"]["1"]["estimate"] == pytest.approx(3 / 8)


def test_k_defaults_to_powers_of_two_up_to_a_quarter_of_the_draws(arms):
    assert list(run_json("estimate", "--counts", arms[0])["pass@k"]) == ["1", "2", "4", "8", "16", "32", "64"]


def test_one_problem_has_no_interval(write):
    value = run_json("estimate", "--counts", write("c.csv", "a,4,1"), "--k", 1)
    assert value["pass@k"]["1"]["lo"] is None
    assert value["pass@k"]["1"]["hi"] is None


def test_draws_that_could_not_be_judged_are_shown_with_both_bounds(write):
    path = write("c.csv", "a,4,1,2", "b,4,1,0", header="problem_id,n,c,errors")
    value = run_json("estimate", "--counts", path, "--k", 1)
    assert value["if_errors"]["num_draws"] == 2
    assert value["if_errors"]["pass@k"]["1"] == pytest.approx({"all_wrong": (1 / 6 + 1 / 4) / 2, "all_correct": 3 / 8})
    assert "2 draws could not be judged" in run("estimate", "--counts", path).output


def test_estimate_prints_a_table(one):
    output = run("estimate", "--counts", one, "--k", 1, 4).output
    assert "0.2500" in output
    assert "cannot tell" in output
    assert "2 problems, 4 draws judged per problem" in output


def test_seed_and_confidence_reach_the_interval(one):
    plain, seeded, wide = (
        run_json("estimate", "--counts", one, "--k", 1, *more)["pass@k"]["1"]
        for more in ([], ["--seed", 1], ["--confidence", 0.99])
    )
    assert plain["lo"] != seeded["lo"]
    assert wide["lo"] < plain["lo"]


def test_k_above_n_names_the_problem_and_exits_with_two(write):
    path = write("c.csv", "a,16,1", "b,4,1")
    result = run("estimate", "--counts", path, "--k", 8, "--json")
    assert result.exit_code == 2
    assert result.stderr == "error: k = 8 exceeds n = 4 of problem 'b'; ask for k <= 4 or draw more.\n"
    assert result.stdout == ""


@pytest.mark.parametrize("k", ["0", "-1", "x", "1,", "1.5", "9" * 5000])
def test_nonsense_for_k_is_a_usage_error(one, k):
    assert run("estimate", "--counts", one, "--k", k).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--k",),
        ("--unknown",),
        ("--counts", "nowhere.csv"),
        ("nowhere",),
        ("--confidence", "1"),
        ("--seed", "-1"),
    ],
)
def test_usage_errors_exit_with_two(arguments):
    assert run("estimate", *arguments).exit_code == 2


def test_a_store_and_a_table_together_are_refused(one, store):
    assert run("estimate", store, "--counts", one).exit_code == 2


def test_a_folder_without_draws_is_refused(tmp_path):
    result = run("estimate", tmp_path)
    assert result.exit_code == 2
    assert "not a store of draws" in result.stderr


# compare


def test_compare_of_one_draw_a_problem_has_no_null(write):
    tables = write("a.csv", "p,1,1", "q,1,0"), write("b.csv", "p,1,0", "q,1,0")
    value = run_json("compare", "--counts", *tables, "--k", 1)
    assert value["cells"]["base_only"] == 1
    assert value["same_model_null"] is None


def test_compare_prints_json_of_this_form(arms):
    value = run_json("compare", "--counts", *arms, "--k", 1, 256)
    assert list(value) == ["k", "cells", "same_model_null", "expected_cells"]
    assert list(value["k"]) == ["1", "256"]
    assert all(list(entry) == ["difference", "lo", "hi", "verdict"] for entry in value["k"].values())
    assert value["k"]["1"]["verdict"] == "gain"
    assert value["k"]["1"]["difference"] == pytest.approx(0.5 - 8 / 256)
    assert value["k"]["256"]["verdict"] == "loss"
    assert value["k"]["256"]["difference"] == -0.5
    cells = {"both": 50, "base_only": 50, "rl_only": 0, "neither": 0, "mcnemar_p": pytest.approx(2**-49)}
    assert value["cells"] == cells
    assert list(value["cells"]) == list(cells)


def test_an_arm_against_itself_cannot_tell(arms):
    value = run_json("compare", "--counts", arms[0], arms[0], "--k", 1, 256)
    assert {entry["verdict"] for entry in value["k"].values()} == {"cannot tell"}
    assert value["cells"]["mcnemar_p"] == 1.0


def test_compare_reads_stores(store):
    value = run_json("compare", store, store, "--k", 1, 4)
    assert value["k"]["4"]["difference"] == 0.0
    assert value["cells"]["both"] == 2


def test_compare_prints_a_table(arms):
    output = run("compare", "--counts", *arms, "--k", "1,256").output
    assert "gain" in output
    assert "loss" in output
    assert "base only 50" in output


def test_compare_warns_where_one_arm_has_more_draws(one, write):
    more = write("more.csv", "a,8,1", "b,8,1")
    assert "note: 4 and 8 draws per problem" in run("compare", "--counts", one, more).output


def test_different_problems_are_named(one, write):
    result = run("compare", "--counts", one, write("other.csv", "b,4,1", "c,4,1"), "--k", 1)
    assert result.exit_code == 2
    assert "only in the first: a; only in the second: c" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [(), ("STORE",), ("STORE", "STORE", "STORE"), ("STORE", "--counts", "ONE", "ONE")]
)
def test_compare_wants_two_arms(one, store, arguments):
    known = {"STORE": store, "ONE": one}
    assert run("compare", *[known.get(argument, argument) for argument in arguments]).exit_code == 2


# report


def test_report_of_a_folder_without_summary_says_so(tmp_path):
    result = run("report", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "summary.json" in result.stderr


# as a process


def test_the_command_runs_as_a_process(one):
    result = run_process("estimate", "--counts", one, "--k", 1, 4, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["pass@k"]["4"]["estimate"] == 1.0


def test_an_error_is_one_line_on_stderr(write):
    result = run_process("estimate", "--counts", write("c.csv", "a,4,5"))
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "c.csv:2: c = 5 exceeds n = 4 for problem 'a'" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_reader_that_goes_away_leaves_no_traceback(one, flags):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "probes", "estimate", "--counts", str(one), *flags]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["estimate", "--help"], ["compare", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys, rlvr, probes, probes.cli\n"
        f"try: probes.cli.main({arguments})\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = ('torch', 'trl', 'transformers', 'numpy', 'scipy', 'pandas', 'datasets', 'plotly', 'rich')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]"


def test_estimate_from_a_table_loads_no_torch(one):
    code = (
        "import sys, probes.cli\n"
        f"try: probes.cli.main(['estimate', '--counts', {str(one)!r}])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print([name for name in ('torch', 'trl', 'transformers') if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]"
