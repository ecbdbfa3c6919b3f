"""docs/your-own-verifier.md: its module, rows and command are run as they stand on the page."""

import re
from pathlib import Path

from click.testing import CliRunner

from rlvr.cli import main

PAGE = Path(__file__).parents[3] / "docs/your-own-verifier.md"


def block(language: str) -> str:
    """The page's one block of code in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return found


def test_the_example_of_the_page_runs_and_prints_what_the_page_shows(tmp_path, monkeypatch):
    command, _, printed = block("console").removeprefix("$ ").partition("\n")
    (tmp_path / "my_project").mkdir()
    (tmp_path / "my_project/judges.py").write_text(block("python"))
    (tmp_path / "rows.jsonl").write_text(block("json"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    program, *arguments = command.split()
    result = CliRunner().invoke(main, arguments)
    assert program == "rlvr"
    assert result.exit_code == 0, result.output
    assert result.stdout == printed
