"""A headless Chromium for tests, driven by the DevTools protocol: opens a page, waits until its figures are drawn."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.limits import HANG_S

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
    "--hide-scrollbars",
    "--remote-debugging-port=0",
]
DARK = "--blink-settings=preferredColorScheme=0"
IS_DONE = (
    "document.readyState === 'complete' && document.documentElement.classList.contains('all-drawn') && "
    "(!document.documentElement.dataset.wait || !!document.documentElement.dataset.done)"
)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; scripts/install_chromium.sh")


class Page:
    """One open page: commands, what its console said, and what it asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.console: list[str] = []
        self.requests: list[str] = []
        self.number = 0
        self.session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Returns the result of a command; notes what the console says meanwhile."""
        self.number += 1
        session = {"sessionId": self.session} if self.session else {}
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters, **session}))
        while True:
            message = json.loads(self.socket.recv(timeout=HANG_S))
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]  # type: ignore[no-any-return]
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


@contextmanager
def opened(folder: Path, *flags: str) -> Iterator[Page]:
    """Yields an empty page of a browser with a profile of its own, which is closed at the end."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            address = next(
                found[1] for line in process.stderr if (found := re.search(r"listening on (ws://\S+)", line))
            )
            with connect(address, max_size=None, compression=None) as socket:
                page = Page(socket)
                yield page
                page.session = None
                page.call("Browser.close")
        finally:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def browse(folder: Path, page: str, *flags: str, fragment: str = "") -> tuple[str, list[str]]:
    """Returns the document after its figures were drawn, and the lines of the console."""
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    with opened(folder, *flags) as tab:
        tab.open(file.as_uri() + fragment)
        return tab.evaluate("document.documentElement.outerHTML"), tab.console


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
