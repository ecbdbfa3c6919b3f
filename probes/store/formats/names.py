"""Names of a store's files.

    draws-00000.sqlite                          journal of writer 0, its first
    draws-00000.0123456789abcdef.parquet        that journal, sealed; the digits are the hash of the file's footer
    draws-00000-000001.sqlite                   the next one

Owns: what a name says. A sealed file takes the place of the journal of the same stem: where a kill has left both, the
journal is not read.
Does not own: the files.
"""

import re
from pathlib import Path

KINDS = ("draws", "verdicts")
_NAME = re.compile(
    r"(?P<stem>(?P<kind>draws|verdicts)-(?P<writer>\d{5})(-(?P<generation>\d{6}))?)(\.sqlite|\.(?P<hash>[0-9a-f]{16})\.parquet)"
)


def files_of(folder: Path, kind: str) -> list[Path]:
    """Returns the files of a kind that are read, by writer, each writer's latest first."""
    found = [file for file in folder.glob(f"{kind}-*") if _NAME.fullmatch(file.name)]
    sealed = {stem_of(file) for file in found if is_sealed(file)}
    kept = (file for file in found if is_sealed(file) or stem_of(file) not in sealed)
    return sorted(kept, key=lambda file: (writer_of(file), -generation_of(file), file.name))


def superseded(folder: Path, kind: str, writer: int) -> list[Path]:
    """Returns the journals of a writer that a sealed file has taken the place of."""
    read = set(files_of(folder, kind))
    found = (file for file in folder.glob(f"{kind}-{writer:05d}*.sqlite") if _NAME.fullmatch(file.name))
    return [file for file in found if file not in read]


def journal_of_writer(folder: Path, kind: str, writer: int) -> Path:
    """Returns the journal that a writer commits to: its latest, or the one after its latest sealed file."""
    own = [file for file in files_of(folder, kind) if writer_of(file) == writer]
    if own and not is_sealed(own[0]):
        return own[0]
    return folder / f"{stem(kind, writer, generation_of(own[0]) + 1 if own else 0)}.sqlite"


def stem(kind: str, writer: int, generation: int) -> str:
    """Returns the part of a name before the first dot."""
    return f"{kind}-{writer:05d}" + (f"-{generation:06d}" if generation else "")


def stem_of(file: Path) -> str:
    """Returns the part of a file's name before the first dot."""
    return file.name.partition(".")[0]


def writer_of(file: Path) -> int:
    """Returns the number of the writer."""
    return int(stem_of(file).split("-")[1])


def generation_of(file: Path) -> int:
    """Returns how many journals the writer had before this one."""
    return int([*stem_of(file).split("-"), "0"][2])


def is_sealed(file: Path) -> bool:
    """Returns whether a file is a sealed one."""
    return file.suffix == ".parquet"
