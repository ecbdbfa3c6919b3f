"""docs/papers.md: the values that it calls ours are those of the recipes it names."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/papers.md").read_text(encoding="utf-8")
HEADER = ["hyper-parameter", "paper", "where", "ours", "why, if it differs"]
COMPARED = "Compared with:"
PAPERS = (
    "2402.03300",
    "2503.20783",
    "2503.14476",
    "2402.14740",
    "2501.03262",
    "2310.10505",
    "1707.06347",
    "1506.02438",
    "2504.13837",
)


@dataclass(frozen=True)
class Section:
    """A paper: its heading, the recipes that its table is compared with, and the rows of the table."""

    title: str
    recipes: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def parse_section(text: str) -> Section:
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    compared = [part for part in paragraphs if part.startswith(COMPARED)]
    lines = [cells(line) for line in text.splitlines() if line.startswith("|")]
    assert len(compared) == 1, text[:80]
    assert lines[0] == HEADER, lines[0]
    assert set("".join(lines[1])) == {"-"}
    recipes = re.findall(r"`(recipes/[^`]+)`", compared[0])
    return Section(text.splitlines()[0], tuple(recipes), tuple(map(tuple, lines[2:])))


def values_of(cell: str) -> dict[str, Any]:
    """Returns the keys and values in a cell's code spans."""
    spans = re.findall(r"`(\w+: [^`]+)`", cell)
    return {key: value for span in spans for key, value in yaml.safe_load(span).items()}


@cache
def recipe(path: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


SECTIONS = [parse_section(text) for text in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]]
ROWS = [(section, row) for section in SECTIONS for row in section.rows]


def test_every_paper_has_a_section_with_recipes_and_rows():
    titles = " ".join(section.title for section in SECTIONS)
    assert all(paper in titles for paper in PAPERS)
    assert all(section.recipes and section.rows for section in SECTIONS)


def test_every_recipe_named_exists():
    named = set(re.findall(r"recipes/[\w./-]+\.yaml", PAGE))
    assert len(named) > 30
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


def test_every_recipe_of_a_paper_s_algorithm_is_named():
    """The recipes of supervised arms and of comparisons follow no paper of this page."""
    shipped = {path for path in (ROOT / "recipes").rglob("*.yaml") if path.parent.name != "accelerate"}
    others = {"compare", "distill", "rft"}
    missing = [path for path in shipped if path.stem not in others and str(path.relative_to(ROOT)) not in PAGE]
    assert missing == []


@pytest.mark.parametrize(("section", "row"), ROWS, ids=lambda part: part[0] if isinstance(part, tuple) else part.title)
def test_our_value_is_the_recipe_s(section, row):
    assert len(row) == len(HEADER), row
    ours = values_of(row[3])
    assert ours or row[3].startswith("no key"), f"{section.title}: {row[0]}: no `key: value` among our values"
    for path in section.recipes:
        seen = {key: recipe(path).get(key) for key in ours}
        assert seen == ours, path


@pytest.mark.parametrize("row", [row for _, row in ROWS if not row[2]], ids=lambda row: row[0])
def test_a_value_without_a_place_is_called_not_established(row):
    assert row[1].startswith(("not established", "does not apply"))


@pytest.mark.parametrize("path", sorted((ROOT / "recipes/qwen2.5-7b").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_step_has_the_study_s_256_prompts_on_8_processes(path):
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    rollouts = values["per_device_train_batch_size"] * 8 * values["gradient_accumulation_steps"]
    assert rollouts == 256 * values["num_generations"] == 2048


@pytest.mark.parametrize("path", sorted((ROOT / "recipes/llama-3.1-8b").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_batch_of_rollouts_has_1024_prompts_and_serves_4_updates_on_8_processes(path):
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    rollouts = values["per_device_train_batch_size"] * 8 * values["steps_per_generation"]
    assert rollouts == 1024 * values["num_generations"]
    assert values["steps_per_generation"] == 4 * values["gradient_accumulation_steps"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes").glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_vllm_has_room_for_a_probe_s_prompt_and_completion(path):
    """The recipes for 7B and 8B gave vLLM 10,240 tokens and the probe 16,384, which it refuses."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if values.get("use_vllm"):
        assert values["vllm_max_model_length"] >= values["probe_max_new_tokens"] + 1024
