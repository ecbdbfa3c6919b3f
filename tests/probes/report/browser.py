"""A headless Chromium for tests, driven by the DevTools protocol: opens a page, waits until its figures are drawn.

One browser serves all tests of a file; each page is a tab of its own, closed before the next one is opened.
"""

import base64
import contextlib
import hashlib
import html
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from probes.report import render
from tests.limits import HANG_S

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")  # the first draws fastest
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
]
IS_DONE = (
    "document.readyState === 'complete' && document.documentElement.classList.contains('all-drawn') && "
    "(!document.documentElement.dataset.wait || !!document.documentElement.dataset.done)"
)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; scripts/install_chromium.sh")


class Browser:
    """A running browser with a profile of its own."""

    def __init__(self) -> None:
        self.ends = contextlib.ExitStack()
        profile = self.ends.enter_context(tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True))
        command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = self.ends.enter_context(
            subprocess.Popen(
                command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
            )
        )
        self.ends.callback(os.killpg, process.pid, signal.SIGKILL)  # with the processes that it has started
        assert process.stderr is not None
        address = next(found[1] for line in process.stderr if (found := re.search(r"listening on (ws://\S+)", line)))
        threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop the browser
        connection = connect(address, max_size=None, compression=None, ping_interval=None)
        self.socket = self.ends.enter_context(connection)


@lru_cache(maxsize=1)
def browser() -> Browser:
    """Returns the browser that is open, started if there is none."""
    return Browser()


def close_browser() -> None:
    """Ends the browser, if one is open."""
    if browser.cache_info().currsize:
        browser().ends.close()
        browser.cache_clear()


class Page:
    """One open page: commands, what its console said, and what it asked for."""

    numbers = count(1)

    def __init__(self) -> None:
        self.socket = browser().socket
        self.console: list[str] = []
        self.requests: list[str] = []
        self.session: str | None = None
        self.target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Closes the tab."""
        self.session = None
        self.call("Target.closeTarget", targetId=self.target)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Returns the result of a command; notes what the console says meanwhile."""
        number = next(self.numbers)
        session = {"sessionId": self.session} if self.session else {}
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters, **session}))
        while True:
            message = json.loads(self.socket.recv(timeout=HANG_S))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]  # type: ignore[no-any-return]
            if message.get("sessionId") != self.session:
                continue  # of a page that is closed
            if message.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                self.console.append(json.dumps(message["params"]))
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])

    def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, url: str, is_done: str = IS_DONE) -> None:
        """Opens an address and waits until an expression is true."""
        self.call("Page.navigate", url=url)
        limit = time.monotonic() + HANG_S
        while not self.evaluate(is_done):
            assert time.monotonic() < limit, f"the page is not done after {HANG_S} s: {self.console}"
            time.sleep(0.05)


@contextlib.contextmanager
def opened(dark: bool = False, width: int | None = None) -> Iterator[Page]:
    """Yields an empty page, in dark colours and in a narrow window where asked for, which is closed at the end."""
    page = Page()
    try:
        if dark:
            page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        if width:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            page.call("Emulation.setDeviceMetricsOverride", **size)
        yield page
    finally:
        page.close()


def browse(
    folder: Path, page: str, dark: bool = False, width: int | None = None, fragment: str = ""
) -> tuple[str, list[str]]:
    """Returns the document after its figures were drawn, and the lines of the console."""
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    with opened(dark, width) as tab:
        tab.open(file.as_uri() + fragment)
        return tab.evaluate("document.documentElement.outerHTML"), tab.console


def rendered(summary: dict[str, Any]) -> str:
    """Returns the report of a summary, made once in a process."""
    return _rendered(json.dumps(summary))


@lru_cache(maxsize=4)
def _rendered(summary: str) -> str:
    return render(json.loads(summary))


def with_script(page: str, code: str) -> str:
    """Returns the page with one more script that its policy allows."""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    allowed = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    return allowed.replace("</body>", f"<script>{code}</script></body>")


def when_drawn(page: str, code: str) -> str:
    """Returns the page with a script that runs once all figures are drawn; its value becomes the title, as JSON."""
    return with_script(
        page,
        "document.documentElement.dataset.wait = '1';"
        "(function wait() {"
        "if (!document.documentElement.classList.contains('all-drawn')) return setTimeout(wait, 20);"
        f"(async () => {{ {code} }})().then((value) => {{"
        "document.title = JSON.stringify(value); document.documentElement.dataset.done = '1'; });"
        "})();",
    )


def value(document: str) -> Any:
    """Returns what the script of `when_drawn` returned."""
    return json.loads(html.unescape(title(document)))


def title(document: str) -> str:
    """Returns the title of a document."""
    found = re.search(r"<title>(.*?)</title>", document, re.DOTALL)
    return found[1] if found else ""
