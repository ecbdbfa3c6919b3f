"""A headless Chromium for tests: opens a page and returns what became of it."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

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

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; scripts/install_chromium.sh")


def browse(folder: Path, page: str, *flags: str, fragment: str = "") -> tuple[str, list[str]]:
    """Returns the document after its scripts ran, and the lines of the console."""
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    own = [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=30000", "--dump-dom"]
    command = [str(CHROMIUM), *FLAGS, *own, *flags, file.as_uri() + fragment]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return result.stdout, [line for line in result.stderr.splitlines() if "CONSOLE" in line]


def with_script(page: str, code: str) -> str:
    """Returns the page with one more script that its policy allows."""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    allowed = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    return allowed.replace("</body>", f"<script>{code}</script></body>")


def when_drawn(page: str, code: str) -> str:
    """Returns the page with a script that runs once all figures are drawn; its value becomes the title, as JSON."""
    return with_script(
        page,
        "(function wait() {"
        "if (!document.documentElement.classList.contains('all-drawn')) return setTimeout(wait, 20);"
        f"(async () => {{ {code} }})().then((value) => (document.title = JSON.stringify(value)));"
        "})();",
    )


def value(document: str) -> Any:
    """Returns what the script of `when_drawn` returned."""
    return json.loads(html.unescape(title(document)))


def title(document: str) -> str:
    """Returns the title of a document."""
    found = re.search(r"<title>(.*?)</title>", document, re.DOTALL)
    return found[1] if found else ""
