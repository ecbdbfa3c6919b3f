"""Colours that mean different things stay apart for eyes that see fewer colours, as Chromium simulates them."""

import base64
import io
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from probes.report.figures import palette
from tests.probes.report.browser import needs_chromium, opened

pytestmark = needs_chromium
SIDE = 20  # pixels of a swatch
MIN_DISTANCE = 20.0  # CIE 1976; about 2 can just be seen
DEFICIENCIES = ["none", "protanopia", "deuteranopia", "tritanopia"]

STEPS = palette.step_colours(2)
SIDE_BY_SIDE = {
    *combinations([palette.GAIN, palette.LOSS, palette.CANNOT_TELL], 2),
    (palette.FIRST, palette.SECOND),
    (palette.INK, STEPS[0]),
    (STEPS[0], STEPS[1]),
    *pairwise(palette.OUTCOMES.values()),
}


def seen(folder: Path, colours: list[str], deficiency: str) -> np.ndarray:
    """Returns the colours as they are seen, in L*a*b*, shape (colours, 3)."""
    swatches = "".join(f"<i style='float:left;width:{SIDE}px;height:{SIDE}px;background:{c}'></i>" for c in colours)
    (folder / "page.html").write_text(f"<!doctype html><body style='margin:0'>{swatches}", encoding="utf-8")
    with opened() as tab:
        size = {"width": SIDE * len(colours), "height": SIDE}
        tab.call("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=False)
        tab.call("Emulation.setEmulatedVisionDeficiency", type=deficiency)
        tab.open((folder / "page.html").as_uri(), "document.readyState === 'complete'")
        taken = Image.open(io.BytesIO(base64.b64decode(tab.call("Page.captureScreenshot", format="png")["data"])))
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    found = np.asarray(ImageCms.profileToProfile(taken.convert("RGB"), srgb, lab, outputMode="LAB"), dtype=np.int16)
    row = found[SIDE // 2, SIDE // 2 :: SIDE].astype(float)
    return np.column_stack([row[:, 0] * 100 / 255, row[:, 1:] - 256 * (row[:, 1:] > 127)])  # a and b are signed bytes


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colours_side_by_side_are_told_apart(deficiency: str, dark: bool, tmp_path: Path) -> None:
    pairs = sorted(SIDE_BY_SIDE)
    colours = [palette.DARK[c] if dark else c for pair in pairs for c in pair]
    lab = seen(tmp_path, colours, deficiency).reshape(len(pairs), 2, 3)
    distances = dict(zip(pairs, np.linalg.norm(lab[:, 0] - lab[:, 1], axis=1).round(1).tolist(), strict=True))
    assert {pair: d for pair, d in distances.items() if d < MIN_DISTANCE} == {}


def test_colours_that_rest_on_red_and_green_alone_are_seen(tmp_path: Path) -> None:
    red, green = seen(tmp_path, ["#b5442e", "#6e7a22"], "deuteranopia")
    assert np.linalg.norm(red - green) < MIN_DISTANCE
