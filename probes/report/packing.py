"""Packed text inside a page: gzip, then base64, so that no markup can be in it.

Owns: packing; `unpack.js` is its counterpart.
Does not own: what is packed.
"""

import base64
import gzip


def pack(text: str) -> str:
    """Returns the text as base64 of gzip; the same text gives the same result."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), mtime=0)).decode("ascii")
