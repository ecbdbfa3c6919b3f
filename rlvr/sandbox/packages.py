"""Installed packages that a program under test may import, and no others.

Owns: what belongs to a package: the distributions that it requires, and their files.
Does not own: how these are shown to a process (`rlvr.sandbox.levels`).
"""

from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rlvr.errors import RecipeError


@dataclass(frozen=True)
class Packages:
    """Packages with all that they require.

    Attributes:
        versions: name and version of each distribution, in the order of names.
        places: what they consist of: where it lies, and its path as imports see it.
    """

    versions: tuple[tuple[str, str], ...] = ()
    places: tuple[tuple[Path, Path], ...] = ()

    def __str__(self) -> str:
        return ",".join(f"{name}-{version}" for name, version in self.versions) or "none"


NO_PACKAGES = Packages()


def find_packages(names: list[str]) -> Packages:
    """Returns installed packages and what they require, without extras.

    Raises:
        RecipeError: one is not installed, or does not say which files it has.
    """
    found: dict[str, Distribution] = {}
    waiting = [(name, "") for name in names]
    while waiting:
        name, wanted_by = waiting.pop()
        key = canonicalize_name(name)
        if key not in found:
            found[key] = _installed(name, wanted_by)
            needs = map(Requirement, found[key].requires or ())
            waiting += [(n.name, name) for n in needs if n.marker is None or n.marker.evaluate({"extra": ""})]
    versions = tuple((key, found[key].version) for key in sorted(found))
    return Packages(versions, tuple(sorted({place for key in found for place in _places_of(key, found[key])})))


def _installed(name: str, wanted_by: str) -> Distribution:
    """Returns a distribution."""
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):
        why = f", which {wanted_by} requires," if wanted_by else ""
        raise RecipeError(
            f"verifier: packages: the package {name!r}{why} is not installed; install it where rlvr is installed "
            "(pip install), or leave it out (packages=none: programs import the standard library only)."
        ) from None


def _places_of(name: str, found: Distribution) -> list[tuple[Path, Path]]:
    """Returns files and folders of a distribution; of a folder that others may share, what lies in it."""
    files = [Path(file) for file in found.files or ()]
    inside = [file for file in files if ".." not in file.parts and not file.is_absolute()]
    whole = {file.parent for file in inside if file.name in ("__init__.py", "METADATA")}
    places = {_largest(file, whole) for file in inside if "__pycache__" not in file.parts}
    if not places or all(place.suffix in (".dist-info", ".pth") for place in places):
        raise RecipeError(
            f"verifier: packages: the files of the package {name!r} are not known, as those of an editable "
            "installation; install it as a wheel."
        )
    return [(Path(str(found.locate_file(place))).resolve(), place) for place in places if place.suffix != ".pth"]


def _largest(file: Path, whole: set[Path]) -> Path:
    """Returns the outermost folder around a file that belongs to one distribution, else the file."""
    return next((folder for folder in reversed(file.parents) if folder in whole), file)
