"""One import from beginning to end: survey all new files, open the store, store their draws, report.

Owns: the order of these steps, which files are new, and whether they fit a store that exists.
Does not own: each step (`probes.importers.survey`, `probes.importers.writing`, `probes.importers.journal`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from probes.importers import FileReport, ImportReport
from probes.importers.files import hash_file
from probes.importers.journal import Journal
from probes.importers.records import NO_METRIC, UNKNOWN, ImportOptions, Reader
from probes.importers.survey import SAMPLING, FileSurvey, Survey
from probes.importers.writing import write_file
from probes.store.arm import DECLARED, Arm
from probes.store.store import ProbeStore
from rlvr.errors import StoreError
from rlvr.problems import ProblemSet


def run_import(tool: str, reader: Reader, files: Sequence[Path], output: Path, options: ImportOptions) -> ImportReport:
    """Returns the report of an import; see `probes.importers.import_logs`."""
    hashes = [hash_file(path) for path in files]
    journal = Journal.read(output)
    new = _new_files(hashes, journal, output)
    survey = Survey(tool, options, dict.fromkeys(journal.copy_keys if journal else ()))
    if journal is not None and not new:
        return _report(ProbeStore.open_existing(output), journal, files, survey, new)
    for at in new:
        survey.add(files[at], hashes[at], reader)
    if journal is not None and not survey.problems:
        return _report(ProbeStore.open_existing(output), journal, files, survey, new)
    survey.require_metric()
    store = _open_store(output, survey, journal)
    opened = journal or Journal(tool, survey.metric, verifier_id_of(tool, survey.metric, options))
    opened.require(tool, survey.metric, verifier_id_of(tool, survey.metric, options), output)
    with store.writing():
        if Journal.read(output) != journal:
            raise StoreError(f"{output}: another import has just written here; start this one again.")
        copy_keys = dict.fromkeys(opened.copy_keys)
        for found in survey.files:
            write_file(store, opened, found, reader, options, copy_keys)
    return _report(store, opened, files, survey, new)


def verifier_id_of(tool: str, metric: str, options: ImportOptions) -> str | None:
    """Returns the name under which verdicts of a metric are stored; None for draws without verdicts."""
    if metric == NO_METRIC:
        return None
    threshold = "" if options.threshold is None else f">={options.threshold:g}"
    return f"imported:{tool}:{metric}{threshold}{':spread' if options.spread_counts else ''}"


def _new_files(hashes: Sequence[str], journal: Journal | None, output: Path) -> list[int]:
    """Returns the positions of the files that are not in the store, each content once, a cut one first."""
    complete = {entry.sha256 for entry in journal.entries if entry.is_complete} if journal else set()
    cut = journal.unfinished() if journal else None
    if cut is not None and cut.sha256 not in hashes:
        raise StoreError(
            f"{output}: the import of {cut.name} was cut short; give that file again, alone or with others, or use "
            "another folder."
        )
    new = [at for at, sha256 in enumerate(hashes) if sha256 not in complete and hashes.index(sha256) == at]
    return sorted(new, key=lambda at: cut is None or hashes[at] != cut.sha256)


def _open_store(output: Path, survey: Survey, journal: Journal | None) -> ProbeStore:
    """Returns the store, made if absent.

    Raises:
        StoreError: it holds draws that were made here, another arm, or other problems.
    """
    arm = survey.arm()
    if journal is None:
        name = f"{survey.tool}:{survey.files[0].path.stem}"
        store = ProbeStore.create(output, arm, ProblemSet.of(name, list(survey.problems.values())))
        if store.engines():
            raise StoreError(f"{output}: holds draws that were not imported; use another folder.")
        return store
    store = ProbeStore.open_existing(output)
    if different := ", ".join(arm_differences(store.arm, arm)):
        raise StoreError(f"{output}: holds another arm: {different}. One store holds one arm: use another folder.")
    known = {problem.problem_id for problem in store.problems()}
    if strange := [problem for key, problem in survey.problems.items() if key not in known]:
        raise StoreError(
            f"{output}: {len(strange)} problems of the log are not in the store, {strange[0].question!r:.80} among "
            "them. A store has one problem set: import all files of it at once into another folder."
        )
    return store


def arm_differences(mine: Arm, other: Arm) -> Iterator[str]:
    """Yields what differs between two declared arms, with both values."""
    one, two = _flat(mine), _flat(other)
    for name in dict.fromkeys([*one, *two]):
        if one.get(name) != two.get(name):
            yield f"{name} is {one.get(name)!r} there and {two.get(name)!r} here"


def _flat(arm: Arm) -> dict[str, object]:
    values = arm.to_json()
    return {"model": model_of(arm), **values["sampling"], **{f"prompt {k}": v for k, v in values["prompt"].items()}}


def model_of(arm: Arm) -> str:
    """Returns the declared name of an arm's model."""
    return arm.weights.removeprefix(DECLARED)


def _report(
    store: ProbeStore, journal: Journal, files: Sequence[Path], survey: Survey, new: Sequence[int]
) -> ImportReport:
    found_at = dict(zip(new, survey.files, strict=True))
    reports = tuple(_file_report(path, found_at.get(at)) for at, path in enumerate(files))
    skipped: Counter[str] = sum((found.skipped for found in survey.files), Counter())
    return ImportReport(
        format=journal.tool,
        store=store.path,
        arm_id=store.arm.arm_id,
        model=model_of(store.arm),
        metric=journal.metric,
        verifier_id=journal.verifier_id,
        files=reports,
        num_problems=len(store.problems()),
        num_rows=sum(report.num_rows for report in reports),
        num_draws=sum(report.num_draws for report in reports),
        num_errors=sum(report.num_errors for report in reports),
        skipped=dict(skipped),
        notes=tuple(_notes(store, journal, survey)),
    )


def _file_report(path: Path, found: FileSurvey | None) -> FileReport:
    if found is None:
        return FileReport(path, is_repeated=True)
    return FileReport(path, False, found.num_rows, found.num_draws, found.num_errors, dict(found.skipped))


def _notes(store: ProbeStore, journal: Journal, survey: Survey) -> Iterator[str]:
    """Yields what a reader of the numbers should know."""
    counted = (
        ("num_errors", "without a usable score; their outcome is error, not wrong"),
        ("num_no_completion", "without a completion; their text is empty"),
        ("num_no_tokens", f"without a number of tokens; it is {UNKNOWN}"),
        ("num_no_stop", "of which the log does not tell whether they were cut; they count as not cut"),
    )
    for name, text in counted:
        if number := sum(getattr(found, name) for found in survey.files):
            yield f"draws {text}: {number}"
    if survey.pooled:
        yield f"problems that the log has several times, their draws pooled: {len(survey.pooled)}"
    if unknown := [name for name in SAMPLING if getattr(store.arm.sampling, name) == UNKNOWN]:
        yield f"not in the log, stored as {UNKNOWN}: {', '.join(unknown)}"
    num_draws = Counter(problem_id for problem_id, *_ in store.sizes())
    if num_draws and min(num_draws.values()) < max(num_draws.values()):
        yield f"numbers of draws differ between problems: {min(num_draws.values())} to {max(num_draws.values())}"
    if journal.verifier_id is None:
        yield "no verdicts were imported; `probes verify` judges the draws"
    elif journal.verifier_id.endswith(":spread"):
        yield "counts are the log's; which of a problem's draws are correct is not known and was chosen at random"
