"""The journal of a store of imported draws: `imported.json`.

Owns: which files are in a store, and what was being imported when a process was killed.
Does not own: the draws (`probes.store`), reading logs (one module a format).

A file is known by the hash of its content. It is entered before its first draw is stored, with the draw index at which
each of its problems starts, and marked complete after its last. So a second start of a cut import gives every sample
the index that it had.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from probes.store.files import disk_errors, read_json
from rlvr.durable import write_atomically
from rlvr.errors import StoreError

FORMAT = "probes.imported/1"
NAME = "imported.json"


@dataclass
class Entry:
    """One imported file.

    Attributes:
        sha256: of its bytes.
        name: when it was imported; for people.
        num_draws: stored from it.
        first_index: draw index of the first sample of each problem that had draws before; dropped when complete.
        is_complete: False while it is imported.
    """

    sha256: str
    name: str
    num_draws: int
    first_index: dict[str, int] = field(default_factory=dict)
    is_complete: bool = False


@dataclass
class Journal:
    """What was imported into one store.

    Attributes:
        tool: format of the logs.
        metric: that the verdicts are of.
        verifier_id: under which they are stored; None where draws were imported without.
        entries: in the order of import.
        copy_keys: of the rows of all files, where the tool copies rows from file to file.
    """

    tool: str
    metric: str
    verifier_id: str | None
    entries: list[Entry] = field(default_factory=list)
    copy_keys: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, store: Path) -> "Journal | None":
        """Returns the journal of a store; None where it has none."""
        file = store / NAME
        if not file.exists():
            return None
        content = read_json(file)
        if content.pop("format", None) != FORMAT:
            raise StoreError(f"{file}: not of format {FORMAT!r}; use another folder.")
        try:
            entries = [Entry(**entry) for entry in content.pop("entries")]
            return cls(**content, entries=entries)
        except (TypeError, KeyError) as error:
            raise StoreError(f"{file}: damaged ({error}); restore the file or use another folder.") from error

    def write(self, store: Path) -> None:
        """Writes the journal whole or not at all."""
        with disk_errors(store):
            write_atomically(store / NAME, json.dumps({"format": FORMAT, **asdict(self)}, indent=1))

    def entry(self, sha256: str) -> Entry | None:
        """Returns the entry of a file by its content."""
        return next((entry for entry in self.entries if entry.sha256 == sha256), None)

    def require(self, tool: str, metric: str, verifier_id: str | None, store: Path) -> None:
        """Raises `StoreError` unless the store holds draws of the same tool, judged alike."""
        for name, mine, asked in (
            ("format", self.tool, tool),
            ("metric", self.metric, metric),
            ("verifier", self.verifier_id, verifier_id),
        ):
            if mine != asked:
                raise StoreError(
                    f"{store}: holds draws imported with {name} {mine!r}, asked for {asked!r}; give the same, or use "
                    "another folder."
                )

    def unfinished(self) -> Entry | None:
        """Returns the file whose import was cut, if there is one."""
        return next((entry for entry in self.entries if not entry.is_complete), None)
