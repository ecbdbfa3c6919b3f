"""Screenshots against references, for gross breakage: a missing figure, lost style, columns on top of each other.

References are small and grey, so that another font or browser version still fits. To make them anew after a wanted
change: RLVR_NEW_SCREENSHOTS=1 python -m pytest tests/probes/report/test_screenshots.py, then look at the images.
"""

import base64
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.probes.report.browser import IS_DONE, needs_chromium, opened, rendered

pytestmark = needs_chromium
REFERENCES = Path(__file__).parent / "screenshots"
SMALL = (48, 240)
MAX_DIFFERENCE = 4.0  # mean of 0 to 255
SIZES = {"desktop": (1280, 6400), "phone": (390, 8000)}


def screenshot(
    folder: Path, page: str, size: tuple[int, int], dark: bool = False, is_done: str = IS_DONE
) -> Image.Image:
    """Returns the page as a small grey image."""
    width, height = size
    (folder / "page.html").write_text(page, encoding="utf-8")
    with opened(dark) as tab:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        tab.call("Emulation.setDeviceMetricsOverride", **metrics)
        tab.open((folder / "page.html").as_uri(), is_done)
        taken = base64.b64decode(tab.call("Page.captureScreenshot", format="png")["data"])
    return Image.open(io.BytesIO(taken)).convert("L").resize(SMALL, Image.Resampling.BOX)


def difference(first: Image.Image, second: Image.Image) -> float:
    """Returns the mean absolute difference of two images, 0 to 255."""
    return float(np.abs(np.asarray(first, dtype=float) - np.asarray(second, dtype=float)).mean())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_the_page_looks_as_it_did(width: str, dark: bool, make_summary: Callable[..., Any], tmp_path: Path) -> None:
    found = screenshot(tmp_path, rendered(make_summary()), SIZES[width], dark)
    file = REFERENCES / f"{width}-{'dark' if dark else 'light'}.png"
    if os.environ.get("RLVR_NEW_SCREENSHOTS"):
        file.parent.mkdir(exist_ok=True)
        found.save(file, optimize=True)
    found.save(tmp_path / file.name)
    assert difference(found, Image.open(file)) < MAX_DIFFERENCE, f"compare {tmp_path / file.name} with {file}"


@pytest.mark.parametrize("broken", ["style", "figures"])
def test_a_broken_page_is_seen(broken: str, make_summary: Callable[..., Any], tmp_path: Path) -> None:
    page = rendered(make_summary())
    page = page.replace("<style>", "<style>/*") if broken == "style" else page.replace('id="library"', 'id="gone"')
    found = screenshot(tmp_path, page, SIZES["desktop"], is_done="document.readyState === 'complete'")
    assert difference(found, Image.open(REFERENCES / "desktop-light.png")) > MAX_DIFFERENCE
