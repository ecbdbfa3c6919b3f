"""docs/remote-verifiers.md: its service, rows and commands are run as they stand on the page."""

import json
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from probes.cli import main as probes_main
from rlvr.cli import main
from tests.limits import HANG_S
from tests.probes.report.stores import make_store
from tests.rlvr.verifiers.remote.servers import chat, serving

PAGE = (Path(__file__).parents[4] / "docs/remote-verifiers.md").read_text()


def block(language: str) -> str:
    """The page's one block of code in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return found


def indented(start: str) -> list[str]:
    """The words of the page's one indented command that starts so, without the program's name."""
    (found,) = re.findall(rf"^    ({re.escape(start)}.*)$", PAGE, re.MULTILINE)
    return shlex.split(found)[1:]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return opened.getsockname()[1]


def test_the_service_of_the_page_judges_its_rows(tmp_path, monkeypatch):
    port = str(free_port())
    start, command, *printed = block("console").replace("8401", port).splitlines()
    assert start == "$ python my_service.py &"
    (tmp_path / "my_service.py").write_text(block("python").replace("8401", port))
    (tmp_path / "rows.jsonl").write_text(block("json"))
    monkeypatch.chdir(tmp_path)
    with subprocess.Popen([sys.executable, "my_service.py"], stderr=subprocess.DEVNULL) as process:
        try:
            result = CliRunner().invoke(main, shlex.split(command)[2:])
        finally:
            process.kill()
            process.wait(HANG_S)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == printed


def test_the_commands_with_a_judge_run(tmp_path, monkeypatch):
    make_store(tmp_path / "tuned", "tuned", [[True] * 16 + [False] * 48] * 3, text="3+5", template="{question}")
    (tmp_path / "rows.jsonl").write_text(block("json"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLVR_JUDGE_API_KEY", raising=False)
    with serving(lambda *_: chat('{"reason": "it is", "verdict": "correct"}')) as server:
        monkeypatch.setenv("RLVR_JUDGE_BASE_URL", f"{server.url}/v1")
        result = CliRunner().invoke(main, indented("rlvr verify"))
        assert result.exit_code == 0, result.output
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        assert [(row["outcome"], row["reason"]) for row in rows] == [("correct", "it is")] * 3
        result = CliRunner().invoke(probes_main, indented("probes analyze"))
        assert result.exit_code == 0, result.output
        assert "cot_pass@k" in result.stdout


def test_the_messages_of_the_protocol_are_json():
    assert [json.loads(line) for line in re.findall(r"^    (\{.*\})$", PAGE, re.MULTILINE)][1]["items"]
