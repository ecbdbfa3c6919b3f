"""Text of strangers, shown to people: what would act on a screen, or hide what stands there, becomes visible.

Owns: which characters those are, and what is shown for them.
Does not own: escaping for HTML (`probes.report.page`).
"""

_BIDI = {
    0x061C: "ALM",
    0x200E: "LRM",
    0x200F: "RLM",
    0x202A: "LRE",
    0x202B: "RLE",
    0x202C: "PDF",
    0x202D: "LRO",
    0x202E: "RLO",
    0x2066: "LRI",
    0x2067: "RLI",
    0x2068: "FSI",
    0x2069: "PDI",
}
_VISIBLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"},
    0x7F: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
    **{code: f"[{name}]" for code, name in _BIDI.items()},
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}


def visible(text: str) -> str:
    """Returns text whose control characters are symbols and whose marks of direction are names, `[RLO]` for U+202E.

    Tabs and line ends stay; lone surrogates, which nothing can show, become U+FFFD.
    """
    return text.translate(_VISIBLE)
