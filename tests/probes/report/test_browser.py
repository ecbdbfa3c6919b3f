"""The report in a real browser: figures are drawn, nothing hostile runs, nothing is asked of the network."""

import base64
import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from probes.report import render

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
]
DARK = "--blink-settings=preferredColorScheme=0"
MakeSummary = Callable[..., dict[str, Any]]
Poison = Callable[..., Any]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; apt-get install chromium")


def browse(folder: Path, page: str, *flags: str) -> tuple[str, list[str]]:
    """Returns the document after its scripts ran, and the lines of the console."""
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    own = [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=10000", "--dump-dom"]
    command = [str(CHROMIUM), *FLAGS, *own, *flags, file.as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return result.stdout, [line for line in result.stderr.splitlines() if "CONSOLE" in line]


def with_script(page: str, code: str) -> str:
    """Returns the page with one more script that its policy allows."""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    allowed = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    return allowed.replace("</body>", f"<script>{code}</script></body>")


def title(document: str) -> str:
    found = re.search(r"<title>(.*?)</title>", document, re.DOTALL)
    return found[1] if found else ""


def test_all_figures_are_drawn_without_a_console_line(tmp_path: Path, make_summary: MakeSummary) -> None:
    document, console = browse(tmp_path, render(make_summary()))
    assert console == []
    drawn = re.findall(r'id="plot-(\w+)"[^>]*class="[^"]*drawn|class="[^"]*drawn[^"]*"[^>]*id="plot-(\w+)"', document)
    assert len(drawn) == 9
    assert document.count('<svg class="main-svg"') >= 9
    assert "step 0 (base)</text>" in document
    assert title(document) == "demo: pass@k report"


def test_hostile_text_does_not_run(tmp_path: Path, make_summary: MakeSummary, poison: Poison) -> None:
    document, console = browse(tmp_path, render(poison(make_summary())))
    assert console == []
    assert title(document).startswith("&lt;/script&gt;&lt;script&gt;")
    assert document.count('<svg class="main-svg"') >= 9


def test_the_policy_stops_a_script_that_got_in(tmp_path: Path, make_summary: MakeSummary) -> None:
    """Shows too that the console would be seen by the other tests."""
    hostile = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
    document, console = browse(tmp_path, render(make_summary(steps=(0,))).replace("<main>", f"<main>{hostile}"))
    assert title(document) == "demo: pass@k report"
    assert any("Content Security Policy" in line for line in console)


def test_dark_pages_have_light_figures(tmp_path: Path, make_summary: MakeSummary) -> None:
    page = render(make_summary(steps=(0, 10)))
    light, _ = browse(tmp_path, page)
    dark, console = browse(tmp_path, page, DARK)
    assert console == []
    assert "fill: rgb(31, 35, 40)" in light
    assert "fill: rgb(31, 35, 40)" not in dark
    assert "fill: rgb(230, 237, 243)" in dark


def test_a_narrow_window_does_not_scroll_sideways(tmp_path: Path, make_summary: MakeSummary, poison: Poison) -> None:
    code = "document.title = document.documentElement.scrollWidth + ' ' + window.innerWidth;"
    page = with_script(render(poison(make_summary(), "m" * 3000)), code)
    document, _ = browse(tmp_path, page, "--window-size=500,900")
    content, window = map(int, title(document).split())
    assert window <= 500
    assert content <= window


def test_details_open_by_key(tmp_path: Path, make_summary: MakeSummary) -> None:
    code = (
        "const all = [...document.querySelectorAll('details > summary')];"
        "const reached = all.filter(s => { s.focus(); return document.activeElement === s; });"
        "all.forEach(s => s.click());"
        "document.title = [all.length, reached.length, document.querySelectorAll('details[open]').length].join(' ');"
    )
    document, _ = browse(tmp_path, with_script(render(make_summary()), code))
    num, reached, opened = map(int, title(document).split())
    assert num == reached == opened >= 6


def test_nothing_is_asked_of_the_network(tmp_path: Path, make_summary: MakeSummary, poison: Poison) -> None:
    log = tmp_path / "net.json"
    browse(tmp_path, render(poison(make_summary())), f"--log-net-log={log}")
    asked = set(re.findall(r'"url":"((?:https?|wss?|ftp):[^"]*)"', log.read_text(encoding="utf-8")))
    own = re.compile(r"https?://[^/]*\.(google|googleapis|gvt1)\.com/")  # the browser's updates and clock
    assert "report.html" in log.read_text(encoding="utf-8")
    assert [url for url in asked if not own.match(url)] == []


def test_prints(tmp_path: Path, make_summary: MakeSummary) -> None:
    browse(tmp_path, render(make_summary(steps=(0, 10))), f"--print-to-pdf={tmp_path / 'report.pdf'}", DARK)
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
