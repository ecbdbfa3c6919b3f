"""Mending a store: under the locks of its writers, without deleting anything.

Owns: undoing a commit that was cut, keeping what can be read of a damaged file, and setting aside what cannot be kept.
Does not own: finding out what is wrong (`probes.upkeep.doctor`), making again what is lost (`probes sample`).

What is set aside is renamed to `NAME.aside-N` in the same folder: nothing reads it any more, and nothing is lost.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from probes.store import claims
from probes.store.draws import Draw
from probes.store.files import SEE_DOCTOR, disk_errors
from probes.store.formats.journal import committing
from probes.store.formats.names import KINDS, is_sealed, stem_of, writer_of
from probes.store.formats.sqlite import RecoveredCopies, journal_of, reading, undo_cut_commit
from probes.store.store import ProbeStore, insert_draws
from probes.upkeep.checks import check_file, draws_in
from rlvr.durable import sync
from rlvr.errors import StoreDamageError, StoreError


def repair(path: Path) -> list[str]:
    """Mends a store, and returns a sentence for each thing that was done.

    Raises:
        StoreError: a writer works there, or a file cannot be mended; what was done before stays done.
    """
    store = ProbeStore.open_existing(path)
    with ExitStack() as stack:
        for writer in sorted({writer_of(file) for kind in KINDS for file in store.files.of(kind)}):
            stack.enter_context(claims.writing(path, writer, ()))
        return list(_done(store))


def _done(store: ProbeStore) -> Iterator[str]:
    for kind in KINDS:
        for file in store.files.of(kind):
            if not is_sealed(file):
                yield from _undo_cut_commit(file)
            yield from _mend(store, kind, file)
    yield from _set_repeated_aside(store)


def _undo_cut_commit(file: Path) -> Iterator[str]:
    """Has SQLite roll a commit back that was cut."""
    with disk_errors(file):
        if undo_cut_commit(file):
            yield f"{file.name}: undid a commit that was cut"


def _mend(store: ProbeStore, kind: str, file: Path) -> Iterator[str]:
    """Sets a damaged file aside, and puts what can be read of its draws in its place."""
    fault = _fault(store, kind, file)
    if not fault:
        return
    kept = list(_readable(file)) if kind == "draws" else []
    aside = _replace(file, kind, kept)
    what = f"{len(kept)} draws that can be read were kept" if kind == "draws" else "`probes verify` judges again"
    yield f"{file.name}: {fault}; set aside as {aside.name}; {what}"


def _replace(file: Path, kind: str, draws: Sequence[Draw]) -> Path:
    """Puts a journal with these draws in the place of a file, and returns the name under which that one is kept."""
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".repair-") as folder:
        journal = Path(folder) / f"{stem_of(file)}.sqlite"
        with committing(journal, kind) as connection:
            if draws:
                insert_draws(connection, draws)
        return _exchange(file, journal)


def _fault(store: ProbeStore, kind: str, file: Path) -> str:
    """Returns what is wrong with a file that can be read by this user; empty where nothing is."""
    try:
        found = check_file(store, kind, file)
    except StoreDamageError as error:
        return str(error).removesuffix(SEE_DOCTOR).removeprefix(f"{file}: ")
    if found.fault:
        return f"damaged ({found.fault})"
    return f"{found.num_changed} draws do not match their checksums" if found.num_changed else ""


def _readable(file: Path) -> Iterator[Draw]:
    """Yields the draws of a damaged file that are as they were stored, as far as it can be read."""
    seen = set()
    try:
        for draw in _salvaged(file):
            if draw is not None and (draw.problem_id, draw.draw_index) not in seen:
                seen.add((draw.problem_id, draw.draw_index))
                yield draw
    except StoreError:
        return


def _salvaged(file: Path) -> Iterator[Draw | None]:
    if is_sealed(file):
        from probes.store.formats.sealed import salvage

        yield from salvage(file)
        return
    with disk_errors(file), reading(file, "draws", False, RecoveredCopies()) as connection:
        yield from draws_in(connection)


def _set_repeated_aside(store: ProbeStore) -> Iterator[str]:
    """Keeps one of the draws that several writers made of one index: the lowest writer's, whatever was drawn.

    The choice does not look at the draws, so what is kept is a fair sample.
    """
    seen: set[tuple[str, int]] = set()
    repeated: dict[Path, set[tuple[str, int]]] = {}
    with store.files.opened("draws") as files:
        for each in files:
            keys = {(key, index) for key in each.problem_ids() for index in each.columns(key, ())[0].tolist()}
            if keys & seen:
                repeated[each.file] = keys & seen
            seen |= keys
    for file, twice in repeated.items():
        kept = [draw for draw in _readable(file) if (draw.problem_id, draw.draw_index) not in twice]
        aside = _replace(file, "draws", kept)
        yield (
            f"{file.name}: {len(twice)} draws stand in the file of another writer, too; they were taken out, "
            f"and the whole file was kept as {aside.name}"
        )


def _exchange(file: Path, new: Path) -> Path:
    """Puts a new file in the place of one that is kept under a name that nothing reads; a kill loses neither."""
    aside = _free_name(file)
    with disk_errors(file):
        _link(file, aside)
        if journal_of(file).exists():
            journal_of(file).rename(journal_of(aside))
        new.replace(file.with_name(new.name))
        if is_sealed(file):
            file.unlink()
        sync(file.parent)
    return aside


def _link(file: Path, name: Path) -> None:
    """Gives a file a second name; a copy of it where the file system has no such thing."""
    try:
        name.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, name)


def _free_name(file: Path) -> Path:
    number = 1
    while file.with_name(f"{file.name}.aside-{number}").exists():
        number += 1
    return file.with_name(f"{file.name}.aside-{number}")
