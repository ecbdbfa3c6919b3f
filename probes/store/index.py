"""The index of a run's probes: which step was probed, and in which store its draws lie.

Owns: `<run_dir>/probes/index.json`.
Does not own: the stores. An entry is written when its probe is complete; an unfinished probe has no entry.
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from probes.store.files import read_checked, write_checked
from probes.store.versions import NEEDS
from rlvr.errors import StoreDamageError, StoreNewerError

FORMAT = "probes.index/2"  # version 1 was a list of entries and nothing else


@dataclass(frozen=True)
class ProbeEntry:
    """One complete probe.

    Attributes:
        step: optimizer steps taken.
        store: folder of the draws; relative to the run folder once it is in the index.
        plan: as JSON.
        verifier_id: whose verdicts count.
        seconds: wall time of the probe.
        scores: what a forward pass says of the first draws, see `probes.scoring.scores`; None where that was not made.
    """

    step: int
    store: str
    plan: dict[str, Any]
    verifier_id: str
    seconds: float
    scores: dict[str, Any] | None = None


class ProbeIndex:
    """The entries of one run, ordered by step.

    Args:
        run_dir: the run's folder.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.file = run_dir / "probes" / "index.json"

    def entries(self) -> list[ProbeEntry]:
        """Returns the entries, ordered by step; none if nothing was probed.

        Raises:
            StoreDamageError: the file cannot be read, or was changed.
        StoreNewerError: a newer program wrote it.
        """
        if not self.file.exists():
            return []
        try:
            return [ProbeEntry(**entry) for entry in self._listed()]
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise StoreDamageError(f"{self.file}: cannot be read ({error!r:.200}); restore the file.") from error

    def _listed(self) -> list[dict[str, Any]]:
        """Returns the entries as JSON, of any version: the first had a bare list."""
        if isinstance(found := json.loads(self.file.read_text(encoding="utf-8")), list):
            return found
        if (name := found["format"]) != FORMAT:
            raise StoreNewerError(
                f"{self.file}: has format {name!r:.100}, this program knows up to {FORMAT}; it needs "
                f"{found.get('needs', 'a newer rlvr')!r:.100}."
            )
        return read_checked(self.file)["entries"]  # type: ignore[no-any-return]

    def holds(self, entry: ProbeEntry) -> bool:
        """Returns whether the same probe (step, store, plan, verifier) stands here already."""
        wanted = self._relative(entry)
        return any(replace(other, seconds=entry.seconds, scores=entry.scores) == wanted for other in self.entries())

    def add(self, entry: ProbeEntry) -> None:
        """Adds an entry, or replaces the one of the same step, atomically."""
        kept = [other for other in self.entries() if other.step != entry.step]
        entries = sorted([*kept, self._relative(entry)], key=lambda each: each.step)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        listed = [asdict(each) for each in entries]
        write_checked(self.file, {"format": FORMAT, "needs": NEEDS, "entries": listed})

    def _relative(self, entry: ProbeEntry) -> ProbeEntry:
        """Returns the entry with the store's path relative to the run folder, so that the run can be moved."""
        return replace(entry, store=os.path.relpath(entry.store, self.run_dir))

    def store_path(self, entry: ProbeEntry) -> Path:
        """Returns the folder of an entry's draws."""
        return (self.run_dir / entry.store).resolve()
