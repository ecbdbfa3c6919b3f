"""Choosing a problem and reading its draws, in a real browser."""

import time
from pathlib import Path
from typing import Any

import pytest

from probes.report import render_input
from probes.report.inputs import read_input
from tests.probes.report.browser import IS_DONE, browse, needs_chromium, opened, title, value, when_drawn, with_script
from tests.probes.report.conftest import HOSTILE
from tests.probes.report.stores import make_store

pytestmark = needs_chromium

BASE = [[True, False] * 8, [True] + [False] * 15, [False] * 16, [False] * 16, [True] * 2 + [False] * 14]
LATER = [[True] * 12 + [False] * 4, [False] * 16, [True] + [False] * 15, [False] * 16, [False] * 16]
STATE = (
    "const options = [...document.querySelectorAll('#evidence-list [role=option]')];"
    "const state = {"
    "rows: options.map((o) => o.querySelector('.untrusted').textContent),"
    "tags: options.map((o) => o.querySelector('.tag').textContent),"
    "shows: [...document.querySelector('#evidence-show').options].map((o) => o.textContent),"
    "open: document.querySelector('#evidence-problem').textContent,"
    "sides: [...document.querySelectorAll('.sides section')].map((s) =>"
    " [...s.querySelectorAll('.draws li')].map((d) => d.dataset.outcome)),"
    "count: document.querySelector('#evidence-count').textContent,"
    "hash: location.hash"
    "};"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of two stores."""
    folder = tmp_path_factory.mktemp("stores")
    make_store(folder / "base", "base", BASE)
    make_store(folder / "tuned", "tuned", LATER)
    return render_input(read_input([folder / "base", folder / "tuned"]))


def state_of(folder: Path, page: str, fragment: str = "", before: str = "") -> dict[str, Any]:
    document, console = browse(folder, when_drawn(page, f"{before} {STATE} return state;"), fragment=fragment)
    assert console == []
    return value(document)  # type: ignore[no-any-return]


def test_filters_show_the_problems_that_they_name(page: str, tmp_path: Path) -> None:
    found = state_of(tmp_path, page)
    assert found["shows"] == [
        "all problems (5)",
        "lost: solved by the base only (2)",
        "gained: solved by this arm only (1)",
        "solved by both (1)",
        "solved by neither (1)",
    ]
    assert sorted(found["rows"]) == [f"question {i}" for i in range(5)]
    lost = state_of(tmp_path, page, "#show=lost")
    assert sorted(lost["rows"]) == ["question 1", "question 4"]
    assert set(lost["tags"]) == {"lost"}
    assert lost["count"] == "2 of 5 problems."
    assert state_of(tmp_path, page, "#show=gained")["rows"] == ["question 2"]


def test_changing_a_filter_changes_list_and_link(page: str, tmp_path: Path) -> None:
    change = (
        "const select = document.querySelector('#evidence-show'); select.value = 'lost';"
        "select.dispatchEvent(new Event('change'));"
        "const search = document.querySelector('#evidence-search'); search.value = 'GOLD 4';"
        "search.dispatchEvent(new Event('input'));"
    )
    found = state_of(tmp_path, page, before=change)
    assert found["rows"] == ["question 4"]
    assert found["hash"] == "#show=lost&search=GOLD+4"


def test_a_link_opens_a_problem_with_draws_of_both_arms(page: str, tmp_path: Path) -> None:
    opened = "document.querySelector('#evidence-list [role=option]').click();"
    link = state_of(tmp_path, page, "#show=lost", before=opened)["hash"]
    found = state_of(tmp_path, page, link)
    assert found["sides"] == [["correct", *["wrong"] * 3], ["wrong"] * 3] or found["sides"] == [
        [*["correct"] * 2, *["wrong"] * 3],
        ["wrong"] * 3,
    ]
    assert "equal" in found["open"]
    assert "base (base)" in found["open"]


def test_arrow_keys_walk_through_the_list(page: str, tmp_path: Path) -> None:
    press = (
        "const list = document.querySelector('#evidence-list'); list.focus();"
        "const key = (key) => list.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));"
        "key('ArrowDown'); key('ArrowDown'); key('ArrowUp');"
    )
    found = state_of(tmp_path, page, "#sort=order", before=press)
    assert found["rows"] == [f"question {i}" for i in range(5)]
    assert "question 0" in found["open"]
    key = "const list = document.querySelector('#evidence-list');"
    end = key + "list.dispatchEvent(new KeyboardEvent('keydown', { key: 'End' }));"
    assert "question 4" in state_of(tmp_path, page, "#sort=order", before=end)["open"]


def test_values_in_a_link_that_the_page_does_not_know_are_ignored(page: str, tmp_path: Path) -> None:
    found = state_of(tmp_path, page, "#show=<img>&evidence=99&sort=x&problem=none")
    assert len(found["rows"]) == 5
    assert "Choose a problem" in found["open"]


def test_hostile_completions_are_text(tmp_path: Path) -> None:
    make_store(tmp_path / "base", "base", BASE, text=HOSTILE)
    make_store(tmp_path / "tuned", "tuned", LATER, text=HOSTILE)
    page = render_input(read_input([tmp_path / "base", tmp_path / "tuned"]))
    opened = "document.querySelector('#evidence-list [role=option]').click();"
    found = state_of(tmp_path, page, before=opened)
    assert "document.title='owned'" in found["open"]
    assert "<img src=x onerror=" in found["open"]
    assert "␀" in found["open"]
    count = "return document.querySelectorAll('#evidence-problem :is(script, img, b)').length;"
    document, console = browse(tmp_path, when_drawn(page, opened + count))
    assert (value(document), console) == (0, [])


def test_a_phone_does_not_scroll_sideways(page: str, tmp_path: Path) -> None:
    code = (
        "document.querySelector('#evidence-list [role=option]').click();"
        "return [document.documentElement.scrollWidth, window.innerWidth];"
    )
    document, _ = browse(tmp_path, when_drawn(page, code), width=500)
    content, window = value(document)
    assert content <= window <= 500


@pytest.mark.parametrize(("trace", "expected"), [(1, ["question 2"]), (2, ["question 1", "question 4"])])
def test_a_click_on_a_bar_opens_its_problems(trace: int, expected: list[str], tmp_path: Path) -> None:
    """By the mouse, on a store whose name is cut at the axis."""
    for name, correct in (("base", BASE), ("tuned-for-many-more-steps", LATER)):
        make_store(tmp_path / name, name, correct)
    page = render_input(read_input([tmp_path / "base", tmp_path / "tuned-for-many-more-steps"]))
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    bars = f"#plot-gained_and_lost .barlayer .trace:nth-child({trace}) .point:last-child path"
    with opened() as tab:
        tab.open((tmp_path / "page.html").as_uri(), IS_DONE)
        tab.evaluate("document.querySelector('#plot-gained_and_lost').scrollIntoView({ block: 'center' })")
        box = f"(({{ x, y, width, height }}) => [x + width / 2, y + height / 2])(document.querySelector('{bars}')"
        x, y = tab.evaluate(f"{box}.getBoundingClientRect())")
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        time.sleep(0.5)  # plotly looks at the mouse some times a second
        for kind in ("mousePressed", "mouseReleased"):
            tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        time.sleep(0.5)
        found = tab.evaluate(f"(() => {{ {STATE} return state; }})()")
    assert sorted(found["rows"]) == expected


def test_a_report_without_its_stores_says_so(tmp_path: Path, make_summary: Any) -> None:
    import json

    from probes.report import write_report

    (tmp_path / "summary.json").write_text(json.dumps(make_summary(steps=(0, 10))))
    report = write_report(tmp_path).read_text()
    document, console = browse(tmp_path, with_script(report, "document.title += '!'"))
    assert "The draws are not here: <bdi" in document
    assert (title(document)[-1], console) == ("!", [])
