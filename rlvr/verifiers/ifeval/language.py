"""Languages: the door to py3langid, which brings its model and reads no network.

Owns: which language a text has, among those that IFEval asks for.
Does not own: what follows from it (`rlvr.verifiers.ifeval.instructions`).

The published checks use langdetect, whose last release is of 2021 and whose answer differs between calls. py3langid is
kept up, decides by the text alone, and reads capitals as it reads small letters.
"""

from functools import cache
from importlib.util import find_spec
from typing import Any

PACKAGE = "py3langid"
LANGUAGES = (
    *("ar", "bg", "bn", "de", "en", "es", "fa", "fi", "fr", "gu", "he", "hi", "it", "ja", "kn"),
    *("ko", "ml", "mr", "ne", "pa", "pl", "pt", "ru", "sw", "ta", "te", "th", "uk", "ur", "vi"),
)
MAX_CHARS = 10_000  # from the first on, as langdetect


def is_installed() -> bool:
    """Returns whether languages can be told."""
    return find_spec(PACKAGE) is not None


def language_of(text: str) -> str | None:
    """Returns the ISO 639-1 code of a text's language, one of `LANGUAGES`; None where nothing in it tells."""
    if not any(map(str.isalpha, text[:MAX_CHARS])):
        return None
    language, score = _identifier().classify(text[:MAX_CHARS])
    return str(language) if score > _lowest() else None


def _lowest() -> float:
    """Returns the score of a text without any feature of a language."""
    return float(_identifier().classify("")[1])


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(LANGUAGES)
    return identifier
