"""An export has every draw with its verdict, in each format, and other programs read it."""

import json

import pandas
import pytest
from click.testing import CliRunner

import probes.store.writer_files as writer_files
from probes.cli import main
from probes.store.store import ProbeStore
from rlvr.verifiers.verdicts import Outcome, Verdict
from tests.probes.store.test_store import ARM, IDS, ODD, PROBLEMS, draw

FORMATS = ["parquet", "jsonl", "hf-dataset"]


@pytest.fixture(params=[1, 1 << 28], ids=["sealed", "journal"])
def store(request, tmp_path, monkeypatch):
    monkeypatch.setattr(writer_files, "SEAL_BYTES", request.param)
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    draws = [draw(key, index, text) for key in IDS for index, text in enumerate([*ODD, "2"])]
    store.add_draws(draws)
    judged = [each for each in draws if each.draw_index]
    store.add_verdicts("v", [(each, Verdict(Outcome.WRONG, each.completion, "why")) for each in judged])
    return store


def export(store, format_, output, *flags):
    command = ["export", str(store.path), "--format", format_, "--output", str(output), *flags]
    return CliRunner().invoke(main, command)


def read(format_, output, cache):
    """The rows as dicts, as another program reads them."""
    if format_ == "jsonl":
        return [json.loads(line) for line in output.read_text(encoding="ascii").splitlines()]
    if format_ == "parquet":
        frame = pandas.read_parquet(output)
        return frame.astype(object).where(frame.notna(), None).to_dict("records")
    from datasets import load_dataset

    return list(load_dataset(str(output), cache_dir=str(cache), split="train"))


@pytest.mark.parametrize("format_", FORMATS)
def test_all_draws_come_with_their_verdicts(store, format_, tmp_path):
    done = export(store, format_, tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["num_draws"] == 21
    rows = read(format_, tmp_path / "out", tmp_path / "cache")
    assert [(row["problem_id"], row["draw_index"]) for row in rows] == [
        (key, index) for key in sorted(IDS) for index in range(7)
    ]
    questions = {problem.problem_id: (problem.question, problem.answer) for problem in PROBLEMS}
    for row in rows:
        exact = json.loads(row.get("odd_text") or "{}")
        text = [*ODD, "2"][row["draw_index"]]
        assert exact.get("completion", row["completion"]) == text
        assert (row["question"], row["gold"]) == questions[row["problem_id"]]
        assert (row["num_tokens"], row["truncated"], row["engine"]) == (len(text) + 1, False, "scripted")
        said = (row["outcome"], exact.get("answer", row["answer"]), row["reason"])
        assert said == (("wrong", text, "why") if row["draw_index"] else (None, None, None))


def test_what_exists_is_not_written_over(store, tmp_path):
    (tmp_path / "out").write_text("mine")
    done = export(store, "jsonl", tmp_path / "out")
    assert done.exit_code == 2
    assert "exists already" in done.output
    assert (tmp_path / "out").read_text() == "mine"


def test_several_verifiers_ask_for_one(store, tmp_path):
    store.add_verdicts("w", [(each, Verdict(Outcome.CORRECT, "2", "")) for each in store.draws()])
    done = export(store, "jsonl", tmp_path / "out")
    assert done.exit_code == 2
    assert "name one of them" in done.output
    assert not (tmp_path / "out").exists()
    assert export(store, "jsonl", tmp_path / "out", "--verifier", "w").exit_code == 0
    assert {row["outcome"] for row in read("jsonl", tmp_path / "out", None)} == {"correct"}


@pytest.mark.parametrize("format_", FORMATS)
def test_a_damaged_store_leaves_nothing_half_made(format_, tmp_path):
    store = ProbeStore.create(tmp_path / "s", ARM, PROBLEMS)
    store.add_draws([draw(key, index) for key in IDS for index in range(3)])
    file = store.path / "draws-00000.sqlite"
    file.write_bytes(file.read_bytes().replace(b"scripted", b"scriptex", 1))
    done = export(store, format_, tmp_path / "out")
    assert done.exit_code == 2
    assert "does not match its checksum" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
