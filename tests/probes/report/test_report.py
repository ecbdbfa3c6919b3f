"""The report's page: its words, the safety of its text, its size, and how it is written."""

import base64
import errno
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from probes.report import render, write_report
from probes.results.schema import require_summary
from rlvr.errors import InputError, RlvrError

Summary = dict[str, Any]
MakeSummary = Callable[..., Summary]
Poison = Callable[..., Any]


class Tags(HTMLParser):
    """Collects the start tags of a page, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self.text += " " if tag in {"td", "th", "li", "p", "pre", "h1", "h2", "h3", "h4", "title", "a"} else ""

    def count(self, name: str) -> int:
        return sum(tag == name for tag, _ in self.tags)


def words(page: str) -> str:
    """Returns the text of a page with single spaces."""
    return " ".join(Tags(page).text.split())


def packed(page: str, name: str) -> str:
    """Returns the packed text of a script element."""
    found = re.search(rf'id="{name}">(.*?)</script>', page)
    assert found
    return found[1]


def unpacked(page: str, name: str) -> str:
    """Returns the text that a script element holds."""
    return gzip.decompress(base64.b64decode(packed(page, name))).decode()


def written(folder: Path, summary: object) -> Path:
    """Returns a run's folder that holds a summary."""
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


def test_headline_names_both_ends_the_verdicts_and_the_crossing(make_summary: MakeSummary) -> None:
    text = words(render(make_summary()))
    assert "pass@1 0.27 → 0.45 (gain); pass@256 0.96 → 0.83 (loss); crosses between k = 4 and 16" in text
    assert "A single draw is correct more often than at step 0, but fewer of these problems" in text


def test_headline_does_not_round_to_a_false_one_or_to_equal_numbers(make_summary: MakeSummary) -> None:
    summary = make_summary()
    for probe, value in zip(summary["probes"], (0.998, 0.99, 0.99, 0.9962), strict=True):
        probe["pass@k"]["256"]["estimate"] = value
    assert "pass@256 0.998 → 0.996 (loss)" in words(render(summary))


def test_cannot_tell_is_said_in_words(make_summary: MakeSummary) -> None:
    summary = make_summary()
    for cell in summary["probes"][-1]["against_base"]["k"].values():
        cell["verdict"] = "cannot tell"
    summary["probes"][-1]["against_base"]["crossing"] = None
    text = words(render(summary))
    assert "(cannot tell); pass@256" in text
    assert "cannot be told, and whether more or fewer of these problems are solved within 256 draws cannot" in text
    assert "crosses" not in text


def test_table_has_a_row_a_step_with_interval_and_verdict(make_summary: MakeSummary) -> None:
    summary = make_summary()
    text = words(render(summary))
    estimate = summary["probes"][-1]["pass@k"]["16"]
    assert f"{estimate['estimate']:.3f} [{estimate['lo']:.3f}, {estimate['hi']:.3f}] loss" in text
    assert "step pass@1 pass@16 pass@256 0 (base) 0.273 [" in text


def test_table_takes_the_nearest_k_and_the_largest(make_summary: MakeSummary) -> None:
    from probes.report.words import table_columns

    assert table_columns([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]) == [1, 16, 256, 1024]
    assert table_columns([1, 2, 4, 8]) == [1, 8]
    assert table_columns([1]) == [1]
    assert table_columns([2, 10, 50]) == [2, 10, 50]


def test_confounds_are_printed(make_summary: MakeSummary) -> None:
    summary = make_summary()
    base, last = summary["probes"][0], summary["probes"][-1]
    base["all_outcomes"]["error"], last["all_outcomes"]["timeout"] = 3, 1200
    base["bounds_if_errors"] = {"256": [0.9511, 0.9711]}
    summary["problems"]["num_duplicates"] = 2
    text = words(render(summary))
    assert "Draws with outcome error: 3 at step 0: the verifier failed on them" in text
    assert "Draws with outcome timeout: 1,200 at step 200" in text
    assert "0 (base) 256 0.963 0.951 0.971" in text
    assert "2 problems of the source repeated another one." in text
    assert "Draws without an answer (unparsed or truncated): 10.0% at step 0, 0.8% at step 200. They count" in text
    assert "The base and step 200 share prompt and stop rule." in text


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"looks": [512], "stop_at": None, "give_up_at": None}, "512 draws for every problem"),
        (
            {"looks": [32, 1024], "stop_at": 16, "give_up_at": None},
            "at 32, 1,024 draws; a problem stops at 16 successes",
        ),
        ({"looks": [32, 64], "stop_at": 16, "give_up_at": 64}, "stops at 16 successes, or without any at 64"),
    ],
)
def test_the_plan_is_told_in_words(make_summary: MakeSummary, plan: dict, expected: str) -> None:
    summary = make_summary()
    summary["plan"] = plan
    assert expected in words(render(summary))


@pytest.mark.parametrize("steps", [(0,), (0, 200), tuple(range(0, 201, 10))])
def test_renders_any_number_of_steps(make_summary: MakeSummary, steps: tuple[int, ...]) -> None:
    page = render(make_summary(steps=steps))
    figures = [attrs["id"] for tag, attrs in Tags(page).tags if tag == "div" and attrs.get("class") == "plot"]
    assert "plot-pass_at_k_curves" in figures
    assert ("plot-difference_to_base" in figures) == (len(steps) > 1)
    assert ("plot-difference_heat_map" in figures) == (len(steps) > 2)


def test_renders_without_training_studies_notes_and_with_one_k(make_summary: MakeSummary) -> None:
    summary = make_summary()
    for key in ("training", "studies", "notes"):
        del summary[key]
    summary["k"] = [1]
    text = words(render(summary))
    assert "pass@1 0.27 → 0.45 (gain)" in text
    assert "What the trainer logged" not in text


def test_values_that_do_not_exist_are_dashes(make_summary: MakeSummary) -> None:
    summary = make_summary()
    summary["training"] = {"step": [1, 2], "reward": [None, None], "loss": [float("nan"), 0.5]}
    summary["probes"][1]["seconds"] = None
    summary["probes"][1]["against_base"]["cells"]["mcnemar_p"] = float("nan")
    page = render(summary)
    assert "–" in words(page)  # noqa: RUF001
    assert re.search(r"\bnan\b", words(page), re.IGNORECASE) is None
    assert "NaN" not in unpacked(page, "figure-data")


def test_intervals_that_are_not_identified_are_dashes(make_summary: MakeSummary) -> None:
    """One problem has no interval over problems; the summary then holds null."""
    from probes.report.figures.plots import make_plots

    summary = make_summary()
    for probe in summary["probes"]:
        for cell in [*probe["pass@k"].values(), *(probe["against_base"] or {"k": {}})["k"].values()]:
            cell.update(dict.fromkeys({"lo", "hi", "band_lo", "band_hi"} & cell.keys()))
    summary["probes"][-1]["pass@k"]["4"]["estimate"] = None
    summary["probes"][-1]["against_base"]["k"]["4"]["difference"] = None
    assert "0.273 [–, –]" in words(render(summary))  # noqa: RUF001
    assert "no interval" in make_plots(require_summary(summary))[0].figure.to_json()


def test_every_figure_has_a_label_in_words(make_summary: MakeSummary) -> None:
    plots = [attrs for tag, attrs in Tags(render(make_summary())).tags if tag == "div" and attrs.get("class") == "plot"]
    assert len(plots) == 15
    assert all(plot["role"] == "img" and len(plot["aria-label"] or "") > 40 for plot in plots)
    labels = " ".join(plot["aria-label"] or "" for plot in plots)
    assert "Step 0 (base): pass@1 0.273, pass@256 0.963. Step 200: pass@1 0.45" in labels


def test_every_figure_colour_has_a_dark_twin(make_summary: MakeSummary) -> None:
    from probes.report.figures import palette
    from probes.report.figures import plots as plots_of

    plots = plots_of.make_plots(require_summary(make_summary(steps=tuple(range(0, 201, 10)))))
    text = " ".join(str(plot.figure.to_dict()) for plot in plots)
    used = set(re.findall(r"#[0-9a-f]{6}|rgba\([^)]*\)", text)) - {"rgba(0, 0, 0, 0)"}
    assert len(used) > 20
    assert used <= palette.DARK.keys()
    assert len(set(palette.step_colours(12))) == 12


def test_hostile_text_is_text_everywhere(make_summary: MakeSummary, poison: Poison) -> None:
    plain, hostile = render(make_summary()), render(poison(make_summary()))
    names = {"script", "img", "b", "details", "pre", "style", "meta", "figure", "title"}
    assert {n: Tags(plain).count(n) for n in names} == {n: Tags(hostile).count(n) for n in names}
    assert "</script><script>document.title='owned'</script>" in Tags(hostile).text
    assert "{{ 7 * 7 }}" in Tags(hostile).text
    assert not any("onerror" in attrs for _, attrs in Tags(hostile).tags)
    hostile.encode("utf-8")


def test_figures_hold_no_markup_of_the_summary(make_summary: MakeSummary, poison: Poison) -> None:
    from probes.report.figures.plots import make_plots

    marked = poison(make_summary(), "<i>owned</i>")
    for probe in marked["probes"]:
        probe["label"] = "<i>owned</i>"
    drawn = " ".join(plot.figure.to_json() for plot in make_plots(marked))
    assert "<i>" not in drawn
    assert "\\u003ci" not in drawn
    assert "?i?owned" in drawn


def test_packed_data_hold_no_markup_and_the_figures(make_summary: MakeSummary) -> None:
    page = render(make_summary())
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed(page, "figure-data"))
    assert json.loads(unpacked(page, "figure-data"))["figures"]["pass_at_k_curves"]["data"]


def test_control_characters_are_made_visible(make_summary: MakeSummary) -> None:
    summary = make_summary()
    summary["notes"] = ["a\x00b\x1b[31m\x7f\x85c\n\td"]
    assert "a␀b␛[31m␡\ufffdc d" in words(render(summary))


def test_long_texts_are_cut_and_say_so(make_summary: MakeSummary) -> None:
    summary = make_summary()
    summary["notes"] = ["y" * 5231, "x" * 2000]
    text = words(render(summary))
    assert "y" * 2000 in text
    assert "y" * 2001 not in text
    assert "2,000 of 5,231 characters shown" in text
    assert "x (2,000 characters, perhaps cut there" in text


def test_one_plotly_small_and_nothing_to_fetch(make_summary: MakeSummary) -> None:
    page = render(make_summary(steps=tuple(range(0, 201, 10))))
    assert len(page.encode()) < 8_000_000
    assert unpacked(page, "library").count("plotly.js v") == 1
    assert page.count("plotly.js v") == 0
    fetched = [
        (tag, name, value)
        for tag, attrs in Tags(page).tags
        for name, value in attrs.items()
        if name in {"src", "srcset", "href", "action", "data", "poster", "background"}
    ]
    assert all((value or "").startswith("#") for _, _, value in fetched if value != "data:,")
    assert "@import" not in page.split("</style>")[0]
    assert "url(" not in page.split("</style>")[0]


def test_policy_stands_before_any_script_and_names_each(make_summary: MakeSummary) -> None:
    tags = Tags(render(make_summary())).tags
    first = next(attrs for tag, attrs in tags if tag == "meta" and "http-equiv" in attrs)
    policy = first["content"] or ""
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert "unsafe-eval" not in policy
    scripts = [attrs for tag, attrs in tags if tag == "script" and attrs.get("type") != "application/octet-stream"]
    assert policy.count("'sha256-") == len(scripts) + 1 == 5  # and the library, which is unpacked


def test_same_summary_gives_the_same_bytes(make_summary: MakeSummary) -> None:
    assert render(make_summary()) == render(make_summary())


def test_write_report_to_its_default_and_to_another_place(tmp_path: Path, make_summary: MakeSummary) -> None:
    run = written(tmp_path / "run", make_summary(steps=(0, 10)))
    assert write_report(run) == run / "report.html"
    assert write_report(run, tmp_path / "new" / "page.html").read_bytes() == (run / "report.html").read_bytes()
    assert sorted(path.name for path in run.iterdir()) == ["report.html", "summary.json"]


def test_missing_torn_and_foreign_summaries_say_what_to_do(tmp_path: Path, make_summary: MakeSummary) -> None:
    with pytest.raises(InputError, match=r"saw neither summary\.json, comparison\.json nor probe\.json; expected"):
        write_report(tmp_path)
    (tmp_path / "summary.json").write_text('{"schema": "rlvr.su')
    with pytest.raises(InputError, match="cannot be read"):
        write_report(tmp_path)
    for value, found in (({"schema": "rlvr.summary/9"}, "'rlvr.summary/9'"), ({}, "None")):
        with pytest.raises(InputError, match=f"schema {found}, expected 'rlvr.summary/2'"):
            write_report(written(tmp_path, value))
    with pytest.raises(InputError, match="no probe is stored"):
        write_report(written(tmp_path, {**make_summary(), "probes": [], "problems": {}}))
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("verifier",), None, "verifier is missing"),
        (("probes", 1, "outcomes"), None, r"probes\[1\]\.outcomes is missing"),
        (("probes", 1, "step"), "50", r"probes\[1\]\.step is str, expected int"),
        (("probes", 0, "pass@k", "1"), [], r"probes\[0\]\.pass@k\.1 is list, expected dict"),
        (
            ("probes", 1, "against_base", "k", "1", "verdict"),
            "<b>",
            "is '<b>', expected 'gain', 'loss' or 'cannot tell'",
        ),
        (("run", "facts", "trl"), 1.16, r"run\.facts\.trl is float, expected str"),
        (("k", 0), True, r"k\[0\] is bool, expected int"),
    ],
)
def test_a_wrong_part_is_named(make_summary: MakeSummary, path: tuple[Any, ...], value: Any, message: str) -> None:
    summary = make_summary(steps=(0, 10))
    place: Any = summary
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(InputError, match=message):
        render(summary)


def test_an_earlier_report_survives_a_failed_write(
    tmp_path: Path, make_summary: MakeSummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = written(tmp_path, make_summary(steps=(0, 10)))
    (run / "report.html").write_text("earlier")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RlvrError, match="the disk is full; an earlier report is kept"):
        write_report(run)
    assert (run / "report.html").read_text() == "earlier"
    assert sorted(path.name for path in run.iterdir()) == ["report.html", "summary.json"]


def test_an_output_that_cannot_be_written_is_an_input_error(tmp_path: Path, make_summary: MakeSummary) -> None:
    run = written(tmp_path, make_summary(steps=(0, 10)))
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_report(run, tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []
    assert not list(tmp_path.glob(".*.tmp"))


def test_importing_the_package_loads_no_heavy_dependency() -> None:
    code = "import sys, probes.report; print(*(m for m in ('plotly', 'jinja2', 'numpy') if m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
