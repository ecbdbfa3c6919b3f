"""The report as Markdown, CSV, JSON and files of figures; and which folders it takes."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from probes.cli import main
from probes.report import render_as
from probes.report.inputs import read_input
from probes.report.markdown import run_markdown, safe
from probes.report.numbers import summary_rows, to_csv
from probes.results.schema import json_schema, require_summary
from rlvr.errors import InputError
from tests.probes.report.browser import needs_chromium
from tests.probes.report.stores import make_store

BASE = [[True] * 4 + [False] * 12, [False] * 16, [True] + [False] * 15]


@pytest.fixture
def stores(tmp_path: Path) -> list[Path]:
    """A base and two other stores."""
    better = [[True] * 12 + [False] * 4, [True] * 2 + [False] * 14, [False] * 16]
    rows = {"base": BASE, "tuned": better, "same": BASE}
    return [make_store(tmp_path / name, name, correct) for name, correct in rows.items()]


def run(*words: object) -> Any:
    return CliRunner().invoke(main, ["report", *map(str, words)])


def test_markdown_has_headline_table_and_cautions(make_summary: Any) -> None:
    text = run_markdown("demo", require_summary(make_summary()))
    assert "**pass@1 0.27 → 0.45 (gain); pass@256 0.96 → 0.83 (loss); crosses between k = 4 and 16" in text
    assert "| step | pass@1 | pass@16 | pass@256 |\n| --- | --- | --- | --- |\n| 0 (base) | 0.273 " in text
    assert "▲ gain" in text
    assert "- The base and step 200 share prompt and stop rule." in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("a | b", "a \\| b"),
        ("[x](http://y)", "\\[x\\](http:\u200b//y)"),
        ("@someone #12", "@\u200bsomeone #\u200b12"),
        ("pass@1", "pass@1"),
        ("line\n# title", "line # title"),
        ("**b** `c`", "\\*\\*b\\*\\* \\`c\\`"),
        ("x" * 400, "x" * 300 + " …"),
    ],
)
def test_no_name_is_markup(text: str, expected: str) -> None:
    assert safe(text) == expected


def test_hostile_names_leave_the_table_whole(make_summary: Any, poison: Any) -> None:
    text = run_markdown("@x <b>", require_summary(poison(make_summary())))
    assert "<script" not in text
    assert "<img" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert {line.count("|") - line.count("\\|") for line in rows} == {5}


def leaves(value: Any) -> list[float]:
    """Every number of a JSON value."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value] if isinstance(value, (int, float)) else []


def test_every_number_of_a_summary_is_in_the_table(make_summary: Any) -> None:
    summary = require_summary(make_summary())
    rows = list(csv.DictReader(io.StringIO(to_csv(summary_rows("demo", summary)))))
    found = sorted(float(row["value"]) for row in rows if row["metric"].rpartition(".")[2] != "verdict")
    training = {key: value for key, value in summary["training"].items() if key != "step"}
    wanted = sorted(map(float, leaves([summary["probes"], summary["studies"], training])))
    assert found == wanted
    one = [row for row in rows if (row["where"], row["k"], row["metric"]) == ("step 200", "16", "pass@k.estimate")]
    assert [float(row["value"]) for row in one] == [summary["probes"][-1]["pass@k"]["16"]["estimate"]]


def test_a_name_that_a_spreadsheet_would_run_is_harmless(make_summary: Any) -> None:
    rows = csv.reader(io.StringIO(to_csv(summary_rows("=1+1", require_summary(make_summary())))))
    assert {row[0] for row in rows} == {"arm", "'=1+1"}


def test_a_pair_of_stores_is_a_base_and_one_other(stores: list[Path]) -> None:
    given = read_input(stores[:2])
    assert given.comparison is None
    (summary,) = given.arms.values()
    assert [probe["label"] for probe in summary["probes"]] == ["base", "tuned"]
    assert summary["probes"][1]["against_base"]["cells"] == {
        "both": 1,
        "base_only": 1,
        "rl_only": 1,
        "neither": 0,
        "mcnemar_p": 1.0,
    }
    assert "tuned" in render_as("markdown", given)


def test_several_stores_are_compared_with_the_first_under_one_band(stores: list[Path]) -> None:
    given = read_input(stores)
    assert given.comparison is not None
    (states,) = given.comparison["sets"].values()
    assert list(states) == ["stores"]
    assert list(states["stores"]["arms"]) == ["tuned", "same"]
    for name, summary in given.arms.items():
        joint = states["stores"]["arms"][name]["against_base"]
        assert summary["probes"][1]["against_base"]["k"] == joint
        assert [probe["label"] for probe in summary["probes"]] == ["base", name]
    value = json.loads(render_as("json", given))
    assert set(value) == {"comparison", "summaries"}
    assert "tuned,probe,base" in render_as("csv", given)


def test_stores_that_differ_in_their_prompt_say_so(tmp_path: Path) -> None:
    paths = [make_store(tmp_path / name, name, BASE, template=name) for name in ("a", "b")]
    (summary,) = read_input(paths).arms.values()
    assert any("The arms differ in prompt, not in weights alone" in note for note in summary["notes"])


def test_folders_of_different_kinds_are_refused(stores: list[Path], tmp_path: Path, make_summary: Any) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/summary.json").write_text(json.dumps(make_summary(steps=(0, 10))))
    with pytest.raises(InputError, match=r"base \(store\), .*run \(run\); expected runs, or stores of draws"):
        read_input([stores[0], tmp_path / "run"])


def test_several_folders_need_an_output(stores: list[Path]) -> None:
    result = run(*stores)
    assert result.exit_code == 2
    assert "--output: missing; expected a file for the report of 3 folders" in result.output


def test_the_command_writes_each_format(stores: list[Path], tmp_path: Path) -> None:
    for form, start in (
        ("html", "<!doctype html>"),
        ("markdown", "## base and tuned"),
        ("csv", "arm,part"),
        ("json", "{"),
    ):
        output = tmp_path / f"report.{form}"
        result = run(*stores[:2], "--format", form, "--output", output)
        assert (result.exit_code, result.output.strip()) == (0, str(output))
        assert output.read_text().startswith(start)
    assert run(stores[0], "--format", "csv").output.startswith("arm,part,where,k,metric,value")


@needs_chromium
def test_figures_are_written_as_svg_and_png(stores: list[Path], tmp_path: Path) -> None:
    result = run(*stores[:2], "--format", "json", "--output", tmp_path / "x.json", "--figures", tmp_path / "figures")
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"pass_at_k_curves.svg", "pass_at_k_curves.png", "accuracy_histogram.svg"} <= names
    assert (tmp_path / "figures/pass_at_k_curves.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "figures/pass_at_k_curves.svg").read_text()[:200]


def test_the_schema_is_one_and_fits_what_is_written(make_summary: Any) -> None:
    import jsonschema

    for name in ("summary", "comparison"):
        jsonschema.Draft202012Validator.check_schema(json_schema(name))
    jsonschema.validate(make_summary(), json_schema("summary"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**make_summary(), "k": ["1"]}, json_schema("summary"))
