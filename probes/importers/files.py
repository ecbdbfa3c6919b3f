"""Reading log files: line by line, with errors that name file and line.

Owns: JSONL (plain or gzip) and JSON reading, the hash of a file, and checks of single fields.
Does not own: what the fields mean (one module a format).
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from rlvr.errors import ProblemError

GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_VALUE_BYTES = 2**26  # of one JSON value: a line, a sample; parsed it takes up to 22 times as much memory
MAX_FILE_BYTES = 2**27  # of a JSON file that is one value
MAX_RATIO = 250  # unpacked to packed; logs have 5 to 100, what is made to fill memory has 1,000
MAX_NAMES = 20  # in a message
SMALL_BYTES = 2**24  # below this no ratio is too large

_KINDS = {str: "text", list: "a list", dict: "an object", bool: "true or false"}


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns the errors of reading a file into errors that say what to do."""
    try:
        yield
    except FileNotFoundError:
        raise ProblemError(f"{path}: no such file; {_nearest_file(path)}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ProblemError(f"{path}: damaged gzip file ({error}); copy the log again.") from None
    except OSError as error:
        raise ProblemError(f"{path}: cannot be read ({error.strerror or error}); expected a log file.") from None


def _nearest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist; check the path."
    near = get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1)
    return f"did you mean {path.parent / near[0]}?" if near else "check the path."


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes."""
    with readable(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (file:line, object) of a JSONL file, one line in memory at a time; blank lines are passed over.

    Raises:
        ProblemError: the file cannot be read, or a line is not a JSON object.
    """
    with readable(path), _opened(path) as lines:
        packed = path.stat().st_size
        for number, line in enumerate(iter(lambda: lines.readline(MAX_VALUE_BYTES + 1), b""), start=1):
            require_size(len(line), f"{path}:{number}")
            require_ratio(lines.tell(), packed, str(path))
            line = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
            if line.strip():
                where = f"{path}:{number}"
                yield where, parse_object(line, where)


def require_size(num_bytes: int, where: str, most: int | None = None) -> None:
    """Raises `ProblemError` where one JSON value is larger than any sample of a log is."""
    most = MAX_VALUE_BYTES if most is None else most
    if num_bytes > most:
        raise ProblemError(f"{where}: has more than {most >> 20} MiB; no sample is so large. Is this the right file?")


def require_ratio(num_bytes: int, packed: int, where: str) -> None:
    """Raises `ProblemError` where compressed data unfold to more than logs do."""
    if num_bytes > SMALL_BYTES and num_bytes > MAX_RATIO * packed:
        raise ProblemError(
            f"{where}: unfolds to more than {MAX_RATIO} times its size, which no log does. If you trust it, unpack it "
            "yourself and import the plain file."
        )


def read_value(path: Path) -> dict[str, Any]:
    """Returns the JSON object that a whole file is.

    Raises:
        ProblemError: it cannot be read, is too large, or is none.
    """
    with readable(path):
        require_size(path.stat().st_size, str(path), MAX_FILE_BYTES)
        return parse_object(path.read_bytes(), str(path))


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP_MAGIC
    return cast(BinaryIO, gzip.open(path, "rb") if is_gzip else path.open("rb"))


def parse_object(data: bytes, where: str) -> dict[str, Any]:
    """Returns the JSON object in `data`.

    Raises:
        ProblemError: there is none; the message starts with `where`.
    """
    try:
        value = json.loads(data)
    except UnicodeDecodeError as error:
        raise ProblemError(f"{where}: not UTF-8 (byte {error.start}); is this the right format?") from None
    except (ValueError, RecursionError) as error:
        raise ProblemError(
            f"{where}: not JSON ({error}); was the file cut short, or is it of another format?"
        ) from None
    if not isinstance(value, dict):
        raise ProblemError(f"{where}: saw {kind(value)}; expected an object.")
    return value


def read_beside(path: Path) -> dict[str, Any]:
    """Returns the JSON object of a file that a tool writes next to its log; empty where there is none."""
    if not path.is_file():
        return {}
    return read_value(path)


def names_of(names: Iterable[str]) -> str:
    """Returns names for a message: the first of them, each cut where it is long."""
    shown = [str(name)[:40] for name in islice(names, MAX_NAMES + 1)]
    return ", ".join(shown[:MAX_NAMES] + ["..."] * (len(shown) > MAX_NAMES)) or "none"


def field(row: dict[str, Any], name: str, expected: type, where: str) -> Any:
    """Returns a field of a row.

    Raises:
        ProblemError: it is absent or of another type.
    """
    if name not in row:
        raise ProblemError(f"{where}: no field {name!r}, saw {names_of(row)}; is this the right format?")
    if not isinstance(row[name], expected):
        raise ProblemError(f"{where}: {name} is {kind(row[name])}; expected {_KINDS.get(expected, expected.__name__)}.")
    return row[name]


def part(row: dict[str, Any], name: str) -> dict[str, Any]:
    """Returns an object inside a row, or an empty one."""
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def text_or_none(row: dict[str, Any], name: str, where: str) -> str | None:
    """Returns a text of a row, or None where it is absent or null."""
    return None if row.get(name) is None else str(field(row, name, str, where))


def kind(value: object) -> str:
    """Returns what a value is, in JSON's words."""
    if value is None:
        return "null"
    return "a number" if type(value) in (int, float) else _KINDS.get(type(value), type(value).__name__)
