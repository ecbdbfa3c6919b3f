"""The report in a real browser: figures are drawn, nothing hostile runs, nothing is asked of the network."""

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from probes.report import render
from tests.probes.report.browser import (
    IS_DONE,
    browse,
    needs_chromium,
    opened,
    rendered,
    title,
    value,
    when_drawn,
    with_script,
)

MakeSummary = Callable[..., dict[str, Any]]
Poison = Callable[..., Any]

pytestmark = needs_chromium


def test_all_figures_are_drawn_without_a_console_line(tmp_path: Path, make_summary: MakeSummary) -> None:
    document, console = browse(tmp_path, rendered(make_summary()))
    assert console == []
    drawn = re.findall(r'id="plot-(\w+)"[^>]*class="[^"]*drawn|class="[^"]*drawn[^"]*"[^>]*id="plot-(\w+)"', document)
    assert len(drawn) == 15
    assert document.count('<svg class="main-svg"') >= 15
    assert "step 0 (base)</text>" in document
    assert title(document) == "demo: pass@k report"


def test_hostile_text_does_not_run(tmp_path: Path, make_summary: MakeSummary, poison: Poison) -> None:
    document, console = browse(tmp_path, render(poison(make_summary())))
    assert console == []
    assert title(document).startswith("&lt;/script&gt;&lt;script&gt;")
    assert document.count('<svg class="main-svg"') >= 15


def test_the_policy_stops_a_script_that_got_in(tmp_path: Path, make_summary: MakeSummary) -> None:
    """Shows too that the console would be seen by the other tests."""
    hostile = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
    document, console = browse(tmp_path, rendered(make_summary(steps=(0,))).replace("<main>", f"<main>{hostile}"))
    assert title(document) == "demo: pass@k report"
    assert any("Content Security Policy" in line for line in console)


def test_dark_pages_have_light_figures(tmp_path: Path, make_summary: MakeSummary) -> None:
    page = rendered(make_summary(steps=(0, 10)))
    light, _ = browse(tmp_path, page)
    dark, console = browse(tmp_path, page, dark=True)
    assert console == []
    assert "fill: rgb(31, 35, 40)" in light
    assert "fill: rgb(31, 35, 40)" not in dark
    assert "fill: rgb(230, 237, 243)" in dark


def test_a_narrow_window_does_not_scroll_sideways(tmp_path: Path, make_summary: MakeSummary, poison: Poison) -> None:
    code = "document.title = document.documentElement.scrollWidth + ' ' + window.innerWidth;"
    page = with_script(render(poison(make_summary(), "m" * 3000)), code)
    document, _ = browse(tmp_path, page, width=500)
    content, window = map(int, title(document).split())
    assert window <= 500
    assert content <= window


def test_details_open_by_key(tmp_path: Path, make_summary: MakeSummary) -> None:
    code = (
        "const all = [...document.querySelectorAll('main details > summary')];"
        "const reached = all.filter(s => { s.focus(); return document.activeElement === s; });"
        "all.forEach(s => s.click());"
        "document.title = [all.length, reached.length, document.querySelectorAll('details[open]').length].join(' ');"
    )
    document, _ = browse(tmp_path, with_script(rendered(make_summary()), code))
    num, reached, opened = map(int, title(document).split())
    assert num == reached == opened >= 2


def test_nothing_is_asked_of_the_network(tmp_path: Path, make_summary: MakeSummary, poison: Poison) -> None:
    page = render(poison(make_summary())).replace("img-src data:", "img-src https: data:")
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    with opened() as tab:
        tab.open((tmp_path / "report.html").as_uri())
        asked = {url.split(":")[0] for url in tab.requests}
        assert asked <= {"file", "data", "blob"}
        assert (tmp_path / "report.html").as_uri() in tab.requests
        tab.evaluate("new Image().src = 'https://example.invalid/x.png'; 1")
        tab.open((tmp_path / "report.html").as_uri())
        assert "https://example.invalid/x.png" in tab.requests  # it would have been seen


def test_prints(tmp_path: Path, make_summary: MakeSummary) -> None:
    (tmp_path / "report.html").write_text(rendered(make_summary(steps=(0, 10))), encoding="utf-8")
    with opened(dark=True) as tab:
        tab.open((tmp_path / "report.html").as_uri())
        printed = base64.b64decode(tab.call("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF")
    assert len(printed) > 50_000


def test_the_flow_is_whole_when_the_page_is_printed(tmp_path: Path, make_summary: MakeSummary) -> None:
    """A browser takes the picture at once: what plotly moves slowly would be half on its way."""
    (tmp_path / "report.html").write_text(rendered(make_summary()), encoding="utf-8")
    ends = "[...document.querySelectorAll('#plot-flow_of_problems .node-rect')].map((n) => n.getBoundingClientRect().x)"
    with opened() as tab:
        tab.open((tmp_path / "report.html").as_uri(), IS_DONE)
        assert max(tab.evaluate(ends)) > 700
        found = tab.evaluate(f"window.dispatchEvent(new Event('beforeprint')), {ends}")
    assert len(found) == 8
    assert 500 < max(found) < 700


def test_figures_are_saved_as_svg_png_and_csv(tmp_path: Path, make_summary: MakeSummary) -> None:
    code = (
        "const found = {};"
        "const save = async (format) => (await report.figures.save('pass_at_k_curves', format)).slice(0, 5000);"
        "for (const format of ['svg', 'png', 'csv']) found[format] = await save(format);"
        "found.buttons = document.querySelectorAll('.save button').length;"
        "return found;"
    )
    document, console = browse(tmp_path, when_drawn(rendered(make_summary()), code))
    found = value(document)
    assert console == []
    assert found["svg"].startswith("data:image/svg+xml,%3Csvg")
    assert found["png"].startswith("data:image/png;base64,iVBOR")
    assert found["csv"].startswith("data:text/csv;charset=utf-8,series%2Cx%2Cy%2Cz%2Cnote")
    assert "step%20200%2C1%2C0.45" in found["csv"]
    assert found["buttons"] == 3 * 15


def test_the_flow_as_csv_names_both_ends(tmp_path: Path, make_summary: MakeSummary) -> None:
    code = "return decodeURIComponent(await report.figures.save('flow_of_problems', 'csv')).split('\\r\\n');"
    document, _ = browse(tmp_path, when_drawn(rendered(make_summary(steps=(0, 10))), code))
    rows = [row.split(",") for row in value(document)[1:]]
    assert {tuple(row[1:3]) for row in rows} <= {
        (f"0: {a}", f"10: {b}") for a in ("solved", "not solved") for b in ("solved", "not solved")
    }
    assert sum(int(row[3]) for row in rows if row[3]) == 60


def test_the_words_are_painted_before_the_figures_are_made(tmp_path: Path, make_summary: MakeSummary) -> None:
    """The library starts after a frame: until then the page has words and tables, and no figure."""
    code = "document.title = typeof Plotly + ' ' + document.querySelectorAll('table').length;"
    document, _ = browse(tmp_path, with_script(rendered(make_summary()), code))
    assert re.match(r"undefined [4-9]", title(document))
