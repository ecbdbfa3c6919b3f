"""The documentation: the site builds and fetches nothing, every command in it runs, every logged key stands in it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests import forked
from tests.limits import HANG_S

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("rlvr", "probes", "make", "accelerate", "python", "pip", "trl", "srun")
RECIPES = sorted(path.stem for path in (ROOT / "recipes/countdown-tiny").glob("*.yaml") if path.stem != "compare")

# How a command is run that is too long for a test, or names something of the reader's: by its start, the words added.
ADDED = {
    "rlvr train": "--dry-run",
    "rlvr compare": "--help",
    "accelerate launch --config_file recipes/accelerate/": "--dry-run",
    "accelerate launch scripts/train.py": "--dry-run",
    "probes sample --model testbed:countdown-tiny": "--max-draws 8 --k-max 2 --first-look 8",
    "probes sample": "--max-draws 8 --k-max 2 --first-look 8 --max-new-tokens 8",
    "probes import": "--metric exact_match,strict",
    "probes watch": "--max-draws 8 --k-max 2 --max-new-tokens 8 --once --verifier tests.length_verifier:even_length",
    "python scripts/search_learning_rate.py": "--help",
}
# What no test can run, and what runs it.
ELSEWHERE = {
    "make demo": "CI's main job is this recipe: tests/rlvr/jobs/test_train.py trains it, smaller",
    "make compare": "40 minutes; tests/rlvr/jobs/test_compare_command.py runs a smaller one",
    "make test": "runs this test",
    "make bench": "minutes of measuring",
    "trl vllm-serve": "needs GPUs",
    "srun": "needs Slurm; what it starts is the accelerate command before it",
    "accelerate launch ...": "words of another command on the same page",
    "accelerate launch --config_file recipes/accelerate/zero3-two-nodes.yaml": "needs two nodes; tests parse the file",
    "python my_service.py": "tests/rlvr/verifiers/remote/test_remote_verifiers_page.py runs it with its rows",
    "rlvr verify --verifier 'http": "the same test",
    "rlvr verify --verifier 'judge": "the same test, with a server",
    "probes analyze tuned --reasoning-judge": "the same test, with a server",
    "rlvr verify --verifier my_project": "tests/rlvr/verifiers/test_your_own_verifier_page.py runs it with its files",
}


def commands(page: Path) -> list[str]:
    """Returns the commands of a page: lines of indented blocks and of console blocks, without their comments."""
    text = re.sub(r"```(?!console).*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    joined = re.sub(r"\\\n\s*", "", text)
    lines = re.findall(rf"^(?: {{4,}}|\$ )((?:{'|'.join(PROGRAMS)}) .*)$", joined, re.MULTILINE)
    return [re.split(r"\s+# ", line)[0].strip() for line in lines]


ALL = list(dict.fromkeys(" ".join(line.split()) for page in PAGES for line in commands(page)))


def longest(command: str, table: dict[str, str]) -> str | None:
    """Returns the key of a table that a command starts with, the longest."""
    return max((key for key in table if command.startswith(key)), key=len, default=None)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A folder with what the commands name: problems, counts, recipes, a finished run, another tool's log."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("recipes", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "my_package").mkdir()
    (folder / "my_package/my_module.py").write_text("def judge(problem, completion):\n    return '+' in completion\n")
    rows = [{"problem": f"{a} 3 5={a + 8}:", "answer": str(a + 8)} for a in range(1, 9)]
    for name in ("train.jsonl", "test.jsonl"):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = [f"p{i},256,{c}" for i, c in enumerate((0, 1, 5, 30, 256))]
    (folder / "counts.csv").write_text("\n".join(["problem_id,n,c", *counts]) + "\n")
    for log in (ROOT / "tests/probes/importers/data/lm-eval-0.4.13").iterdir():
        if "repeats" not in log.name:
            shutil.copy(log, folder)
    train(folder / "run", tiny_base)
    for name in ("runs/demo", "runs/a", "runs/b"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copytree(folder / "run", folder / name)
    return folder


def train(output: Path, base: Path) -> None:
    """Trains the testbed's recipe for two steps, with a probe before and after."""
    recipe = yaml.safe_load((ROOT / "recipes/countdown-tiny/grpo.yaml").read_text()) | {
        "model_name_or_path": str(base),
        "output_dir": str(output),
        "train_problems": "countdown:train?num=64",
        "probe_problems": "countdown:probe?num=6",
        "num_generations": 4,
        "per_device_train_batch_size": 16,
        "max_steps": 2,
        "warmup_steps": 0,
        "probe_steps": 2,
        "save_steps": 2,
        "probe_k_max": 4,
        "probe_max_draws": 16,
        "verifier": "tests.length_verifier:even_length",
        "report_to": "none",
        "disable_tqdm": True,
    }
    path = output.parent / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    process = forked.start(["rlvr", "train", "--config", str(path)], output.parent / "train.log")
    assert process.wait() == 0, process.output()


def words_of(command: str, workplace: Path, base: Path) -> list[str]:
    """Returns the words of a command as the test runs it: with the reader's names filled in, and words added."""
    filled = re.sub(r"\b(PATH_OR_HUB_ID|BASE|TUNED)\b", str(base), command).replace("RUN_DIR", "run")
    filled = re.sub(r"--config \.\.\..*", "--config recipes/countdown-tiny/grpo.yaml", filled)
    filled = re.sub(
        r"^accelerate launch --config_file recipes/accelerate/(zero|fsdp)\S* ", "python ", filled
    )  # on GPUs
    added = ADDED.get(longest(command, ADDED) or "", "")
    words = shlex.split(f"{filled} {added}")
    if words[0] in ("rlvr", "probes"):
        words = [sys.executable, "-m", *words]
    elif words[0] == "python":
        words[0] = sys.executable
    elif words[0] == "accelerate":
        words = [sys.executable, "-m", "accelerate.commands.accelerate_cli", *words[1:]]
    return [found for word in words for found in (expand(word, workplace) if "*" in word else [word])]


def expand(pattern: str, folder: Path) -> list[str]:
    """Returns the files that a shell would put in place of a pattern; the pattern itself where there is none."""
    return sorted(path.name for path in folder.glob(pattern)) or [pattern]


@pytest.mark.parametrize("command", [each for each in ALL if not longest(each, ELSEWHERE)])
def test_a_command_of_the_documentation_runs(command: str, workplace: Path, tiny_base: Path, tmp_path: Path) -> None:
    prepare(command, workplace)
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{workplace}", "HF_HUB_OFFLINE": "1"}
    words = words_of(command, workplace, tiny_base)
    if words[:2] == [sys.executable, "-m"]:
        process = forked.start(words[2:], tmp_path / "log", workplace, env)
        assert process.wait() == 0, f"{shlex.join(words)}\n{process.output()[-3000:]}"
        return
    result = subprocess.run(words, cwd=workplace, env=env, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert result.returncode == 0, f"{shlex.join(words)}\n{result.stdout[-1500:]}\n{result.stderr[-1500:]}"


def prepare(command: str, workplace: Path) -> None:
    """Makes what an earlier command of the page would have left."""
    from tests.probes.report.stores import make_store

    for name, num_correct in (("base", 16), ("tuned", 64)):
        shutil.rmtree(workplace / name, ignore_errors=True)
        if f"--output {name}" not in command:
            rows = [[True] * num_correct + [False] * (256 - num_correct)] * 3
            make_store(workplace / name, name, rows, text="3+5", template="{question}")


def test_every_command_is_found_and_no_table_names_one_that_is_gone() -> None:
    assert len(ALL) > 25
    for table in (ADDED, ELSEWHERE):
        assert [key for key in table if not any(longest(command, table) == key for command in ALL)] == []


def test_the_site_builds_and_fetches_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "true", "DISABLE_MKDOCS_2_WARNING": "true"}
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert result.returncode == 0, result.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= 16
    for page in pages:
        assert list(fetched(page.read_text(encoding="utf-8"))) == [], page.name


def fetched(page: str) -> Iterator[str]:
    """Yields addresses elsewhere that a browser asks for when it opens a page."""
    for tag in re.findall(r"<(?:script|link|img|iframe|source|video)\b[^>]*>", page):
        if 'rel="canonical"' not in tag:
            yield from re.findall(r"""(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""", tag)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_key_that_a_run_logs_stands_on_the_page_of_metrics(recipe: str, tmp_path: Path, small_recipe) -> None:
    from rlvr.cli import main

    flags = small_recipe(tmp_path / "run", max_steps=2, probe_steps=2, save_steps=2, format_reward=0.1)
    flags[1] = str(ROOT / f"recipes/countdown-tiny/{recipe}.yaml")
    known = yaml.safe_load(Path(flags[1]).read_text())
    if known["algorithm"] in ("distill", "rft", "rloo_sequence"):
        flags = without(flags, "--format_reward")
    if known["algorithm"] in ("distill", "rft"):
        flags = without(flags, "--num_generations")
    result = CliRunner().invoke(main, ["train", *flags])
    assert result.exit_code == 0, result.output[-2000:]
    rows = json.loads((tmp_path / "run/trainer_state.json").read_text())["log_history"]
    page = (ROOT / "docs/metrics.md").read_text()
    named = {re.sub(r"@\d+$", "@k", key).replace("/format/", "/accuracy/") for row in rows for key in row}
    assert len(named) > 12
    assert sorted(key for key in named if f"`{key}`" not in page) == []


def without(flags: list[str], name: str) -> list[str]:
    """Returns flags without one and its value."""
    place = flags.index(name)
    return [*flags[:place], *flags[place + 2 :]]
