"""Screenshots against references, for gross breakage: a missing figure, lost style, columns on top of each other.

References are small and grey, so that another font or browser version still fits. To make them anew after a wanted
change: RLVR_NEW_SCREENSHOTS=1 python -m pytest tests/probes/report/test_screenshots.py, then look at the images.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from probes.report import render
from tests.probes.report.browser import CHROMIUM, DARK, FLAGS, needs_chromium

pytestmark = needs_chromium
REFERENCES = Path(__file__).parent / "screenshots"
SMALL = (48, 240)
MAX_DIFFERENCE = 10.0  # mean of 0 to 255; another font gives about 2, a page without style 25
SIZES = {"desktop": "1280,6400", "phone": "500,8000"}


def screenshot(page: str, size: str, *flags: str) -> Image.Image:
    """Returns the page as a small grey image."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "page.html").write_text(page, encoding="utf-8")
        own = [f"--user-data-dir={folder / 'profile'}", "--hide-scrollbars", "--virtual-time-budget=60000"]
        image = [f"--window-size={size}", f"--screenshot={folder / 'page.png'}", (folder / "page.html").as_uri()]
        subprocess.run([str(CHROMIUM), *FLAGS, *own, *flags, *image], capture_output=True, timeout=120, check=True)
        return Image.open(folder / "page.png").convert("L").resize(SMALL, Image.Resampling.BOX)


def difference(first: Image.Image, second: Image.Image) -> float:
    """Returns the mean absolute difference of two images, 0 to 255."""
    return float(np.abs(np.asarray(first, dtype=float) - np.asarray(second, dtype=float)).mean())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_the_page_looks_as_it_did(width: str, dark: bool, make_summary: Callable[..., Any], tmp_path: Path) -> None:
    found = screenshot(render(make_summary()), SIZES[width], *([DARK] if dark else []))
    file = REFERENCES / f"{width}-{'dark' if dark else 'light'}.png"
    if os.environ.get("RLVR_NEW_SCREENSHOTS"):
        file.parent.mkdir(exist_ok=True)
        found.save(file, optimize=True)
    found.save(tmp_path / file.name)
    assert difference(found, Image.open(file)) < MAX_DIFFERENCE, f"compare {tmp_path / file.name} with {file}"


@pytest.mark.parametrize("broken", ["style", "figures"])
def test_a_broken_page_is_seen(broken: str, make_summary: Callable[..., Any]) -> None:
    page = render(make_summary())
    page = page.replace("<style>", "<style>/*") if broken == "style" else page.replace('id="library"', 'id="gone"')
    found = screenshot(page, SIZES["desktop"])
    assert difference(found, Image.open(REFERENCES / "desktop-light.png")) > MAX_DIFFERENCE
