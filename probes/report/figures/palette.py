"""Colours of the figures, light and dark.

Owns: every colour that a figure may use, and for each its twin on a dark page.
Does not own: the colours of the page around the figures (`page.css`).

Figures are built with the light colours. The page's script exchanges each by its twin in `DARK`, so a figure must take
its colours from here. Steps get a ramp whose lightness changes monotonically; outcomes differ in hatching too, and
verdicts in the shape of their mark. None rests on hue alone.
"""

INK = "#1f2328"
MUTED = "#59636e"
GRID = "#d8dee4"
NEUTRAL = "#f4f4f4"
SURFACE = "#ffffff"

GAIN = "#0066b3"
LOSS = "#c2500a"
CANNOT_TELL = "#6e7781"

FIRST = "#00796b"
SECOND = "#7b3fa0"

OUTCOMES = {
    "correct": GAIN,
    "wrong": LOSS,
    "unparsed": "#e8c547",
    "truncated": "#7a3b74",
    "timeout": "#86c9bc",
    "error": "#24292f",
}
"""Colour by outcome, in the order of the stack; neighbours differ in lightness."""

_PAIRS = {
    INK: "#e6edf3",
    MUTED: "#9da7b1",
    GRID: "#343a42",
    NEUTRAL: "#2b2f35",
    SURFACE: "#16191d",
    GAIN: "#5cb3ff",
    LOSS: "#ff9a57",
    CANNOT_TELL: "#a3adb8",
    FIRST: "#4fc7b5",
    SECOND: "#c99bf0",
    "#e8c547": "#8a6d1c",
    "#7a3b74": "#e6b3d6",
    "#86c9bc": "#3f8579",
    "#24292f": "#f0f3f6",
}

_RAMP_SIZE = 33
_LIGHT_ANCHORS = ("#3fa796", "#2b7bb0", "#4b3fa0", "#3a0b63")
_DARK_ANCHORS = ("#3b8577", "#3f92c9", "#9d8df2", "#e6a6ff")


def band(colour: str) -> str:
    """Returns the colour made translucent, for an interval's band."""
    red, green, blue = _channels(colour)
    return f"rgba({red}, {green}, {blue}, 0.16)"


def step_colours(num_steps: int) -> list[str]:
    """Returns one light colour for each trained step, early to late; a single step gets the last one."""
    last = _RAMP_SIZE - 1
    return [_LIGHT_RAMP[last if num_steps == 1 else round(i * last / (num_steps - 1))] for i in range(num_steps)]


def _channels(colour: str) -> tuple[int, int, int]:
    """Returns red, green and blue of `#rrggbb`."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _ramp(anchors: tuple[str, ...]) -> list[str]:
    """Returns `_RAMP_SIZE` colours that run straight from anchor to anchor."""
    colours = []
    for i in range(_RAMP_SIZE):
        place = i * (len(anchors) - 1) / (_RAMP_SIZE - 1)
        start = min(int(place), len(anchors) - 2)
        ends = zip(_channels(anchors[start]), _channels(anchors[start + 1]), strict=True)
        mixed = [round(a + (b - a) * (place - start)) for a, b in ends]
        colours.append("#{:02x}{:02x}{:02x}".format(*mixed))
    return colours


_LIGHT_RAMP = _ramp(_LIGHT_ANCHORS)
_SOLID = {**dict(zip(_LIGHT_RAMP, _ramp(_DARK_ANCHORS), strict=True)), **_PAIRS}

DARK = {**_SOLID, **{band(light): band(dark) for light, dark in _SOLID.items()}}
"""The colour on a dark page, by the colour on a light one."""
