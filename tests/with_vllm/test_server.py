"""The engine for servers against a real `vllm serve` on this machine: the contract, tokens, routes, refusals.

The server is started as most people start it: with the sampling defaults of the model's folder in force. The folder's
are hostile here, so that any of them that reached a draw would break the contract's probabilities.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec

import pytest

from probes.engines import Request
from probes.engines.openai import OpenAIEngine
from rlvr.errors import EngineError
from rlvr.problems.prompts import Prompt
from tests.probes.engines.contract import PROBLEMS, EngineContract, Subject, contract_arm, request_for, sampled

# A folder named vllm on the path is a package without a file.
HAS_VLLM = (spec := find_spec("vllm")) is not None and spec.origin is not None
pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.skipif(not HAS_VLLM, reason="no vllm here")]

START_S = 240
HOSTILE = {"do_sample": True, "temperature": 0.3, "top_k": 2, "top_p": 0.5, "repetition_penalty": 1.5, "min_p": 0.2}
CHAT_TEMPLATE = "{{ bos_token }}{{ messages[0]['content'] }}"


@pytest.fixture(scope="module")
def url(tiny_base, tmp_path_factory):
    """The base URL of a server of `tiny_base`, which ends with the module."""
    folder = tmp_path_factory.mktemp("server")
    model = shutil.copytree(tiny_base, folder / "model")
    config = model / "generation_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **HOSTILE}))
    (folder / "chat.jinja").write_text(CHAT_TEMPLATE)
    port = free_port()
    options = ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    options += ["--enforce-eager", "--max-model-len", "64", "--chat-template", str(folder / "chat.jinja")]
    # What `vllm serve` runs. The command asks for a distribution named vllm, which builds for CPUs are not.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), *options]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_until_ready(server, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        end(server)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(server, address, log):
    ends = time.monotonic() + START_S
    while time.monotonic() < ends and server.poll() is None:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.5)
    pytest.fail(f"vLLM did not start:\n{log.read_text()[-3000:]}")


def end(server):
    """Ends the server and the processes that it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=15)


@pytest.fixture(scope="module")
def arm(tiny_model, tiny_tokenizer):
    return contract_arm(tiny_model, tiny_tokenizer)


class TestContract(EngineContract):
    num_draws = 400

    @pytest.fixture
    def subject(self, url, arm, tiny_model, tiny_tokenizer) -> Subject:
        return Subject(OpenAIEngine([url], "tiny", arm), tiny_model, tiny_tokenizer)


def test_the_server_reads_a_text_prompt_as_the_tokens_that_other_engines_are_given(url, tiny_tokenizer):
    for problem in range(len(PROBLEMS)):
        prompt = request_for(tiny_tokenizer, problem, [0]).prompt
        body = json.dumps({"model": "tiny", "prompt": prompt.content}).encode()
        asked = urllib.request.Request(url.replace("/v1", "/tokenize"), body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert json.load(answer)["tokens"] == list(prompt.token_ids)


def test_text_tokens_and_messages_are_one_prompt_and_a_seed_gives_one_draw(url, arm, tiny_model, tiny_tokenizer):
    """The same draws over three ways; batches differ, and may change a draw in the last bits of its probabilities."""
    text = request_for(tiny_tokenizer, 0, range(64))
    messages = Prompt([{"role": "user", "content": text.prompt.content}], text.prompt.token_ids)
    chat = Request(text.problem_id, messages, text.draw_indices)
    ways = [({}, text), ({"send_token_ids": True}, text), ({}, chat), ({"send_token_ids": True}, chat)]
    ways.append(({"draws_per_request": 1}, text))  # others ask for several, each with the seed of its own
    first, *others = (
        sampled(Subject(OpenAIEngine([url], "tiny", arm, **options), tiny_model, tiny_tokenizer), request)
        for options, request in ways
    )
    for other in others:
        assert sum(other[key] == draw for key, draw in first.items()) >= 60


def test_top_k_is_sent(url, arm, tiny_model, tiny_tokenizer):
    """With top_k = 1 every draw is the most probable completion."""
    greedy = replace(arm, sampling=replace(arm.sampling, top_k=1))
    subject = Subject(OpenAIEngine([url], "tiny", greedy), tiny_model, tiny_tokenizer)
    draws = sampled(subject, request_for(tiny_tokenizer, 1, range(12)))
    assert len({draw.completion for draw in draws.values()}) == 1


def test_refusals_of_the_server_are_told(url, arm):
    with pytest.raises(EngineError, match="serves tiny, not 'tinny'; correct --model"):
        OpenAIEngine([url], "tinny", arm)
    long = Request("p", Prompt("1" * 80), (0,))
    with pytest.raises(EngineError, match=r"refused a request .*64.*problem p was asked for"):
        list(OpenAIEngine([url], "tiny", arm).sample([long]))
