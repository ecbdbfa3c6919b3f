"""The engine for servers, against a real HTTP server that misbehaves in every way that servers do."""

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from probes.arm import Sampling, declared_arm
from probes.engines import Request
from probes.engines.openai import OpenAIEngine, server_seed
from probes.probe import run_probe
from probes.store import ProbeStore
from rlvr.errors import EngineError
from rlvr.problems import Problem, ProblemSet
from rlvr.prompts import Prompt
from tests.probes.test_probe import PLAN, RightVerifier

ARM = declared_arm("m", {"template": "{question}"}, Sampling(temperature=0.7, top_p=0.9, top_k=5, max_new_tokens=6))
TEXT = Prompt("say it")
CHAT = Prompt([{"role": "user", "content": "say it"}])


def completion(text="right", reason="stop", tokens=2, chat=False):
    choice = {"index": 0, "finish_reason": reason, "logprobs": None}
    choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens}
    return {"id": "1", "object": "o", "created": 1, "model": "m", "choices": [choice], "usage": usage}


class Server(ThreadingHTTPServer):
    """Answers with `behave(number of the request, its body, chat)`: a JSON value, bytes, a status, or an exception."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, behave, models=("m",)):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave, self.models = behave, models
        self.lock, self.bodies, self.keys = threading.Lock(), [], []
        self.in_flight = self.most_in_flight = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        """Connections that the client closed are no news."""


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.reply(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.models]})

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            number = len(server.bodies)
            server.bodies.append(body)
            server.keys.append(self.headers.get("Authorization"))
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
        try:
            answer = server.behave(number, body, self.path.endswith("/chat/completions"))
        finally:
            with server.lock:
                server.in_flight -= 1
        if answer is None:
            self.connection.close()
        elif isinstance(answer, tuple):
            self.reply(answer[0], {"error": {"message": answer[1]}}, answer[2] if len(answer) > 2 else {})
        else:
            self.reply(200, answer)

    def reply(self, status, value, headers=None):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for key, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(key, text)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(behave, **options):
    server = Server(behave, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def engine_for(*servers, **options):
    values = {"backoff_s": 0.01, "concurrency": 8, "timeout_s": 5.0, "max_attempts": 4} | options
    return OpenAIEngine([server.url for server in servers], "m", ARM, **values)


def draw_all(engine, num=20, prompt=TEXT):
    draws = [draw for batch in engine.sample([Request("p", prompt, tuple(range(num)))]) for draw in batch]
    assert sorted(draw.draw_index for draw in draws) == list(range(num)), "each draw once"
    return draws


def good(number, body, chat):
    return completion(chat=chat)


def test_text_prompts_and_messages_take_their_own_routes():
    with serving(good) as server:
        engine = engine_for(server)
        assert {(d.completion, d.num_tokens, d.truncated, d.engine) for d in draw_all(engine)} == {
            ("right", 2, False, "openai")
        }
        draw_all(engine, 3, CHAT)
        text, chat = server.bodies[0], server.bodies[-1]
    assert text["prompt"] == "say it"
    assert chat["messages"] == CHAT.content
    for body in (text, chat):
        assert body | {"temperature": 0.7, "top_p": 0.9, "top_k": 5, "max_tokens": 6, "n": 1, "model": "m"} == body


def test_a_cut_completion_is_truncated():
    with serving(lambda *_: completion(reason="length", tokens=6)) as server:
        assert all(draw.truncated and draw.num_tokens == 6 for draw in draw_all(engine_for(server), 3))


def test_every_draw_has_a_seed_of_its_own():
    with serving(good) as server:
        draw_all(engine_for(server), 50)
        seeds = [body["seed"] for body in server.bodies]
    assert len(set(seeds)) == 50
    assert sorted(seeds) == sorted(server_seed(ARM.arm_id, "p", index) for index in range(50))
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize(
    "fault",
    [
        (500, "oops"),
        (503, "busy"),
        (429, "slow down", {"Retry-After": "0.02"}),
        None,
        b"<html>not json</html>",
        b'{"choices": [',
        {},
        {"choices": []},
        completion(text=None),
        completion(text=7),
        completion(text="x" * 200_001),
        completion(reason="content_filter"),
        completion(reason=None),
        completion(tokens=-1),
        completion(tokens=7),
        {**completion(), "usage": None},
    ],
    ids=lambda fault: str(fault)[:40],
)
def test_a_fault_now_and_then_is_tried_again(fault):
    """Every third answer is bad; every draw comes once, and none of them is the bad answer."""
    with serving(lambda number, body, chat: fault if number % 3 == 0 else completion()) as server:
        draws = draw_all(engine_for(server))
    assert {draw.completion for draw in draws} == {"right"}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ((500, "oops"), "failed 4 times, the last time at .*InternalServerError"),
        (completion(reason="content_filter"), "ended by 'content_filter'; expected stop or length"),
        ({**completion(), "usage": None}, "usage.completion_tokens is None; expected 0 to 6"),
        ((401, "bad key"), "refused model 'm' .*check --model and the key in OPENAI_API_KEY"),
        ((404, "no such model"), "refused model 'm'"),
        ((400, "prompt too long"), "the server refused a request: .*prompt too long"),
    ],
)
def test_a_lasting_fault_is_an_error_that_says_what_was_seen(fault, message):
    with serving(lambda *_: fault) as server, pytest.raises(EngineError, match=message):
        draw_all(engine_for(server))


def test_a_late_answer_is_given_up_and_asked_again():
    def behave(number, body, chat):
        if number == 0:
            time.sleep(1.5)
            return completion(text="late")
        return completion()

    with serving(behave) as server:
        draws = draw_all(engine_for(server, timeout_s=0.3))
    assert {draw.completion for draw in draws} == {"right"}


def test_a_server_that_dies_leaves_its_requests_to_the_other():
    with serving(good) as alive, serving(lambda number, *_: completion() if number < 5 else (500, "dead")) as dying:
        engine = engine_for(alive, dying, max_attempts=6)
        draw_all(engine, 100)
        assert [endpoint.is_alive for endpoint in engine.endpoints] == [True, False]
        seeds = Counter(body["seed"] for body in alive.bodies)
    assert max(seeds.values()) == 1, "nothing that this server delivered was asked for again"


def test_when_all_die_the_delivered_draws_stay_and_the_rest_can_be_asked_for():
    with serving(lambda number, *_: completion() if number < 30 else None) as server:
        engine, draws = engine_for(server), []
        with pytest.raises(EngineError, match="What was delivered is stored; the same command goes on"):  # noqa: PT012
            for batch in engine.sample([Request("p", TEXT, tuple(range(60)))]):
                draws.extend(batch)
    assert 1 <= len(draws) <= 30
    with serving(good) as server:
        rest = tuple(sorted(set(range(60)) - {draw.draw_index for draw in draws}))
        draws += [draw for batch in engine_for(server).sample([Request("p", TEXT, rest)]) for draw in batch]
    assert sorted(draw.draw_index for draw in draws) == list(range(60))


def test_a_probe_over_a_server_that_dies_goes_on_in_a_second_start(tmp_path):
    problems = ProblemSet.of("p", [Problem(f"{number}?", "1") for number in range(6)])
    prompts = {problem.problem_id: TEXT for problem in problems}
    store = ProbeStore.create(tmp_path / "s", ARM, problems)
    dying = serving(lambda number, *_: completion("wrong") if number < 100 else (500, "dead"))
    with dying as server, pytest.raises(EngineError):
        run_probe(engine_for(server), store, list(problems), prompts, PLAN, RightVerifier())
    stored = store.outcomes("right@1").num_draws
    assert stored > 0
    with serving(lambda *_: completion("wrong")) as server:
        run_probe(engine_for(server), store, list(problems), prompts, PLAN, RightVerifier())
        assert len(server.bodies) == 6 * 64 - stored, "no stored draw was asked for again"


def test_requests_in_flight_are_bounded():
    def behave(*_):
        time.sleep(0.01)
        return completion()

    with serving(behave) as server:
        draw_all(engine_for(server, concurrency=5), 60)
        assert 2 <= server.most_in_flight <= 5


def test_a_caller_that_stops_leaves_no_thread_and_no_request():
    def behave(number, *_):
        time.sleep(0.0 if number < 3 else 30.0)
        return completion()

    with serving(behave) as server:
        stream = engine_for(server, timeout_s=60.0).sample([Request("p", TEXT, tuple(range(50)))])
        next(stream)
        started = time.monotonic()
        stream.close()
        assert time.monotonic() - started < 5
        assert not [thread for thread in threading.enumerate() if thread.name == "openai-engine"]


def test_the_key_is_sent_and_never_shown(monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    caplog.set_level("DEBUG", logger="probes")
    with serving(lambda *_: (500, "your key sk-very-secret is fine, I am not")) as server:
        with pytest.raises(EngineError) as caught:
            draw_all(engine_for(server))
        assert server.keys[0] == "Bearer sk-very-secret"
    assert "sk-very-secret" not in str(caught.value)
    assert "sk-very-secret" not in caplog.text


def test_a_model_that_is_not_served_is_named_at_once():
    message = r"serves llama, qwen, not 'm'; correct --model"
    with serving(good, models=("llama", "qwen")) as server, pytest.raises(EngineError, match=message):
        engine_for(server)
