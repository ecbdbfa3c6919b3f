"""The engine for servers, against a real HTTP server that misbehaves in every way that servers do."""

import json
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import probes.engines.openai
import probes.sampling.probe
from probes.engines import Request
from probes.engines.openai import OpenAIEngine, server_seed
from probes.sampling.probe import batched, run_probe
from probes.store.arm import Sampling, declared_arm
from probes.store.store import ProbeStore
from rlvr.errors import EngineError
from rlvr.problems import Problem, ProblemSet
from rlvr.problems.prompts import Prompt
from tests.limits import HANG_S
from tests.probes.sampling.test_probe import PLAN, RightVerifier

ARM = declared_arm("m", {"template": "{question}"}, Sampling(temperature=0.7, top_p=0.9, top_k=5, max_new_tokens=6))
NO_FILTER = declared_arm("m", {"template": "{question}"}, Sampling(max_new_tokens=6))
TEXT = Prompt("say it", (3, 4))
CHAT = Prompt([{"role": "user", "content": "say it"}])


def completion(text="right", reason="stop", tokens=2, chat=False):
    choice = {"index": 0, "finish_reason": reason, "logprobs": None}
    choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens}
    return {"id": "1", "object": "o", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def listing(*names, owner="someone"):
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": owner} for name in names]}


class Server(ThreadingHTTPServer):
    """Answers with `behave(number of the request, its body, chat)`.

    That is a JSON value, bytes, (status, message, headers), `None` to break the connection, or a function that is given
    the handler. `models` is what it answers when it is asked which models it serves.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, behave, models=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave, self.models = behave, models or listing("m")
        self.lock, self.bodies, self.keys, self.times = threading.Lock(), [], [], []
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
        self.give(self.server.models)

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            number = len(server.bodies)
            server.bodies.append(body)
            server.keys.append(self.headers.get("Authorization"))
            server.times.append(time.monotonic())
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
        try:
            answer = server.behave(number, body, self.path.endswith("/chat/completions"))
        finally:
            with server.lock:
                server.in_flight -= 1
        self.give(answer)

    def give(self, answer):
        if answer is None:
            self.connection.shutdown(socket.SHUT_RDWR)
        elif callable(answer):
            answer(self)
        elif isinstance(answer, tuple):
            self.reply(answer[0], {"error": {"message": answer[1]}}, answer[2] if len(answer) > 2 else {})
        else:
            self.reply(200, answer)

    def reply(self, status, value, headers=None):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.start(status, len(data), headers)
        self.wfile.write(data)

    def start(self, status, length, headers=None):
        self.send_response(status)
        for key, text in {"Content-Type": "application/json", "Content-Length": length, **(headers or {})}.items():
            self.send_header(key, str(text))
        self.end_headers()


@contextmanager
def serving(behave, models=None):
    server = Server(behave, models)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def engine_for(*servers, arm=ARM, **options):
    values = {"backoff_s": 0.01, "concurrency": 8, "timeout_s": 5.0, "max_retries": 3} | options
    return OpenAIEngine([server.url for server in servers], "m", arm, **values)


def draw_all(engine, num=20, prompt=TEXT):
    draws = [draw for batch in engine.sample([Request("p", prompt, tuple(range(num)))]) for draw in batch]
    assert sorted(draw.draw_index for draw in draws) == list(range(num)), "each draw once"
    return draws


def good(number, body, chat):
    return completion(chat=chat)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "openai-engine"]


# What is asked


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


def test_tokens_are_sent_where_asked():
    with serving(good) as server:
        draw_all(engine_for(server, send_token_ids=True), 3)
        assert server.bodies[0]["prompt"] == [3, 4]
        with pytest.raises(EngineError, match="send_token_ids: problem p has no tokens; give a tokenizer"):
            draw_all(engine_for(server, send_token_ids=True), 3, CHAT)


@pytest.mark.parametrize(
    ("owner", "extra"),
    [
        ("vllm", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("llamacpp", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}),
        ("openai", {}),
    ],
)
def test_a_servers_own_sampling_defaults_are_switched_off(owner, extra):
    """Servers fill in a top_k or a penalty that the request leaves out; strict ones refuse fields they do not know."""
    with serving(good, listing("m", owner=owner)) as server:
        draw_all(engine_for(server, arm=NO_FILTER, draws_per_request=1), 2)
        draw_all(engine_for(server, arm=ARM, draws_per_request=1), 2)
    plain, filtered = server.bodies[0], server.bodies[-1]
    known = {"model", "n", "temperature", "top_p", "max_tokens", "seed", "prompt"}
    assert {name: value for name, value in plain.items() if name not in known} == extra
    assert {name: value for name, value in filtered.items() if name not in known} == {**extra, "top_k": 5}


def test_every_draw_has_a_seed_of_its_own():
    with serving(good) as server:
        draw_all(engine_for(server), 50)
        seeds = [body["seed"] for body in server.bodies]
    assert len(set(seeds)) == 50
    assert sorted(seeds) == sorted(server_seed(ARM.arm_id, "p", index) for index in range(50))
    assert all(0 <= seed < 2**31 for seed in seeds)


def several(number, body, chat):
    """An answer of vLLM with the completions of one request, in another order than that of their index."""
    answer = completion(chat=chat, tokens=sum(range(1, body["n"] + 1)))
    (choice,) = answer["choices"]
    said = {"message": {"content": "text 0"}} if chat else {"text": "text 0"}
    answer["choices"] = [
        choice
        | json.loads(json.dumps(said).replace("0", str(index)))
        | {"index": index, "token_ids": [7] * (index + 1)}
        for index in reversed(range(body["n"]))
    ]
    return answer


def vllm_engine(server, **options):
    return engine_for(server, arm=NO_FILTER, **options)


VLLM = listing("m", owner="vllm")


@pytest.mark.parametrize("prompt", [TEXT, CHAT], ids=["text", "chat"])
def test_vllm_makes_several_completions_a_request_each_with_its_seed(prompt):
    indices = (0, 1, 2, 3, 4, 9, 10, 12)
    with serving(several, VLLM) as server:
        engine = vllm_engine(server, draws_per_request=3)
        draws = [draw for batch in engine.sample([Request("p", prompt, indices)]) for draw in batch]
    asked = {body["seed"]: body["n"] for body in server.bodies}
    assert all(body["return_token_ids"] for body in server.bodies if body["n"] > 1)
    wanted = {0: 3, 3: 2, 9: 2, 12: 1}
    assert asked == {server_seed(NO_FILTER.arm_id, "p", index): n for index, n in wanted.items()}
    start = {0: 0, 1: 0, 2: 0, 3: 3, 4: 3, 9: 9, 10: 9, 12: 12}
    assert {draw.draw_index: (draw.completion, draw.num_tokens) for draw in draws} == {
        index: (f"text {index - start[index]}", index - start[index] + 1) for index in indices
    }


def test_vllm_is_asked_for_sixteen_and_others_for_one():
    with serving(several, VLLM) as server, serving(good) as other:
        assert vllm_engine(server).draws_per_request == 16
        assert engine_for(other).draws_per_request == 1
        assert engine_for(server, other).draws_per_request == 1
        with pytest.raises(EngineError, match=r"does not say that it is vLLM.*copies\. Use --draws-per-request 1"):
            engine_for(server, other, draws_per_request=2)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: answer["choices"].pop(),
        lambda answer: answer["choices"].append(answer["choices"][0]),
        lambda answer: answer["choices"][0].update(index=0),
        lambda answer: answer["choices"][0].pop("index"),
        lambda answer: answer["choices"][0].update(finish_reason="content_filter"),
        lambda answer: answer["choices"][0].update(text=None),
        lambda answer: answer["choices"][0]["token_ids"].append(1),
        lambda answer: answer["usage"].update(completion_tokens=9),
    ],
)
def test_of_an_answer_with_one_bad_completion_nothing_is_used(spoil):
    def behave(number, body, chat):
        answer = several(number, body, chat)
        if number == 0:
            spoil(answer)
        return answer

    with serving(behave, VLLM) as server:
        draws = draw_all(vllm_engine(server, draws_per_request=3, concurrency=1), 3)
        assert [body["seed"] for body in server.bodies] == [server.bodies[0]["seed"]] * 2
    assert {draw.completion for draw in draws} == {"text 0", "text 1", "text 2"}


def test_a_server_that_does_not_say_whose_tokens_are_whose_is_told_of():
    def behave(number, body, chat):
        answer = several(number, body, chat)
        for choice in answer["choices"]:
            del choice["token_ids"]
        return answer

    with (
        serving(behave, VLLM) as server,
        pytest.raises(EngineError, match="does not report the tokens of each completion; use --draws-per-request 1"),
    ):
        draw_all(vllm_engine(server, draws_per_request=3), 3)


def test_each_server_has_its_own_requests_in_flight():
    with serving(good) as one, serving(good) as two:
        assert engine_for(one, concurrency=None).concurrency == 64
        assert engine_for(one, two, concurrency=None).concurrency == 128


def test_a_repeated_request_has_the_same_seed():
    """Another seed would redraw what a server failed on, which selects."""
    with serving(lambda number, *_: (500, "oops") if number == 0 else completion()) as server:
        draw_all(engine_for(server), 1)
    assert [body["seed"] for body in server.bodies] == [server_seed(ARM.arm_id, "p", 0)] * 2


def test_requests_in_flight_are_bounded_over_all_servers():
    def behave(*_):
        time.sleep(0.02)
        return completion()

    with serving(behave) as one, serving(behave) as two:
        draw_all(engine_for(one, two, concurrency=5), 60)
        assert 2 <= one.most_in_flight <= 3, "the least busy server comes first"
        assert 2 <= two.most_in_flight <= 3


# What is answered


def test_a_cut_completion_is_truncated():
    with serving(lambda *_: completion(reason="length", tokens=6)) as server:
        assert all(draw.truncated and draw.num_tokens == 6 for draw in draw_all(engine_for(server), 3))


def test_a_server_that_cuts_before_the_limit_is_named_once(caplog):
    with serving(lambda *_: completion(reason="length", tokens=4)) as server:
        draw_all(engine_for(server), 5)
    assert caplog.text.count("cuts completions at 4 tokens, before the arm's limit") == 1


def test_a_chat_answer_of_null_is_the_empty_text():
    with serving(lambda *_: completion(text=None, tokens=1, chat=True)) as server:
        assert {draw.completion for draw in draw_all(engine_for(server), 3, CHAT)} == {""}


def drip(handler):
    """A byte now and then: the connection is never idle, and the answer never whole."""
    handler.start(200, 1000)
    with suppress(OSError):
        for _ in range(50):
            handler.wfile.write(b" ")
            time.sleep(0.1)


def cut_short(handler):
    """A connection that breaks in the middle of the answer."""
    handler.start(200, 1000)
    handler.wfile.write(b'{"id": "1", "choi')
    handler.connection.shutdown(socket.SHUT_RDWR)


FAULTS = {
    "500": (500, "oops"),
    "503": (503, "busy"),
    "429": (429, "slow down", {"Retry-After": "0.02"}),
    "reset": None,
    "cut short": cut_short,
    "drip": drip,
    "html": b"<html>not json</html>",
    "half json": b'{"choices": [',
    "nothing": {},
    "a list": [1],
    "no choice": {"choices": []},
    "two choices": {**completion(), "choices": completion()["choices"] * 2},
    "null text": completion(text=None),
    "number": completion(text=7),
    "endless": completion(text="x" * 200_001),
    "filtered": completion(reason="content_filter"),
    "aborted": completion(reason="abort"),
    "no reason": completion(reason=None),
    "negative": completion(tokens=-1),
    "too many": completion(tokens=7),
    "no count": {**completion(), "usage": {"prompt_tokens": 1}},
}


GROUPS = {
    "statuses": ["500", "503", "429"],
    "connections": ["reset", "cut short", "drip"],
    "not an answer": ["html", "half json", "nothing", "a list", "no choice", "two choices"],
    "not a completion": ["null text", "number", "endless", "filtered", "aborted", "no reason"],
    "not a count": ["negative", "too many", "no count"],
}


@pytest.mark.parametrize("names", GROUPS.values(), ids=GROUPS.keys())
def test_a_fault_now_and_then_is_tried_again(names):
    """Every third answer is bad; every draw comes once, none of them is a bad answer, and the bad ones are told."""
    faults = [FAULTS[name] for name in names]
    behave = lambda number, *_: faults[number // 3 % len(faults)] if number % 3 == 0 else completion("good")  # noqa: E731
    with serving(behave) as server:
        engine = engine_for(server, timeout_s=1.0, max_retries=12)
        draws = draw_all(engine, 24)
    assert {draw.completion for draw in draws} == {"good"}
    assert engine.failed.total() == len(server.bodies) - 24 >= len(faults)


LASTING = {
    "500": ((500, "oops"), "the last errors: http://127.0.0.1:.*InternalServerError.*Delivered draws are stored"),
    "filtered": (completion(reason="content_filter"), "ended by 'content_filter'; expected stop or length"),
    "called a tool": (completion(text="", reason="tool_calls", chat=True), "ended by 'tool_calls'"),
    "too many": (completion(tokens=9), "usage.completion_tokens is 9; expected 0 to 6"),
}
REFUSALS = {
    "401": ((401, "bad key"), "refused a request .*bad key.*check the key in OPENAI_API_KEY"),
    "403": ((403, "not yours"), "refused a request .*not yours.*check the key in OPENAI_API_KEY"),
    "404": ((404, "no such model"), "check the model's name, 'm', and the URL, which mostly ends in /v1"),
    "400": ((400, "prompt too long"), "prompt too long.*problem p was asked for"),
    "422": ((422, "top_k unknown"), "top_k unknown.*problem p was asked for"),
    "no usage": (
        {**completion(), "usage": None},
        "reports no usage.completion_tokens; use a server that counts tokens",
    ),
}


@pytest.mark.parametrize(("fault", "message"), LASTING.values(), ids=LASTING.keys())
def test_a_lasting_fault_is_an_error_after_all_attempts(fault, message):
    with serving(lambda *_: fault) as server:
        with pytest.raises(EngineError, match=message):
            draw_all(engine_for(server), prompt=CHAT if "message" in str(fault) else TEXT)
        assert max(Counter(body["seed"] for body in server.bodies).values()) <= 4
    assert not threads()


def test_a_draw_that_always_fails_is_named():
    cursed = server_seed(ARM.arm_id, "p", 3)

    def behave(number, body, chat):
        time.sleep(0.02)
        return (500, "oops") if body["seed"] == cursed else completion()

    with serving(behave) as server, pytest.raises(EngineError, match="draw 3 of problem p failed 4 times; the last"):
        draw_all(engine_for(server, concurrency=4), 100)


@pytest.mark.parametrize(("fault", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_is_an_error_at_once(fault, message):
    with serving(lambda *_: fault) as server:
        with pytest.raises(EngineError, match=message):
            draw_all(engine_for(server))
        assert max(Counter(body["seed"] for body in server.bodies).values()) == 1, "no second attempt"


def test_a_late_answer_is_given_up_and_asked_again():
    given_up = threading.Event()

    def behave(number, *_):
        if number == 0:
            given_up.wait(HANG_S)
            return completion("late")
        return completion()

    with serving(behave) as server:
        draws = draw_all(engine_for(server, timeout_s=1.5))
        given_up.set()
    assert {draw.completion for draw in draws} == {"right"}


def test_a_server_that_asks_for_time_gets_it():
    with serving(lambda number, *_: (429, "wait", {"Retry-After": "0.5"}) if number == 0 else completion()) as server:
        draw_all(engine_for(server), 1)
    assert server.times[1] - server.times[0] >= 0.5


def test_being_told_to_wait_uses_up_no_attempt():
    """A rate limit refuses some requests again and again, while others get through."""
    unlucky, refusals = server_seed(ARM.arm_id, "p", 0), []

    def behave(number, body, chat):
        time.sleep(0.02)
        if body["seed"] == unlucky and len(refusals) < 5:
            refusals.append((429, "wait"))
            return refusals[-1]
        return completion()

    with serving(behave) as server:
        draw_all(engine_for(server, max_retries=2, concurrency=4), 120)
    assert len(refusals) == 5


# Servers that die


def test_a_server_that_dies_leaves_its_requests_to_the_other(caplog):
    def behave(number, *_):
        time.sleep(0.01)
        return completion()

    with serving(behave) as alive, serving(lambda number, *_: completion() if number < 5 else None) as dying:
        engine = engine_for(alive, dying)
        draw_all(engine, 150)
        assert [endpoint.is_alive for endpoint in engine.endpoints] == [True, False]
        seeds = Counter(body["seed"] for body in alive.bodies)
        assert len(dying.bodies) < 40, "a server in trouble is tried now and then"
    assert max(seeds.values()) == 1, "nothing that this server delivered was asked for again"
    assert caplog.text.count("is set aside") == 1


@pytest.mark.parametrize("fault", ["html", "drip", "filtered", "429"])
def test_a_server_that_never_gives_a_valid_answer_costs_no_draw(fault):
    with serving(good) as alive, serving(lambda *_: FAULTS[fault]) as broken:
        draw_all(engine_for(broken, alive, timeout_s=1.0), 60)
        assert len(broken.bodies) < 30


def test_a_server_that_is_not_there_leaves_its_requests_to_the_other():
    with serving(good) as gone:
        pass
    with serving(good) as alive:
        draw_all(engine_for(gone, alive), 50)


def test_requests_that_fail_together_do_not_set_a_server_aside():
    """A blink of the network breaks all connections at once; counted one by one, that would be enough to give up."""
    together = threading.Barrier(8)

    def behave(number, *_):
        if number < 8:
            together.wait(5)
            return None
        return completion()

    with serving(behave) as server, serving(behave) as other:
        engine = engine_for(server, max_retries=1)
        draw_all(engine, 30)
        assert engine.endpoints[0].is_alive
        assert not other.bodies


def test_when_all_die_the_delivered_draws_stay_and_the_rest_can_be_asked_for():
    dies = lambda number, *_: completion() if number < 20 else None  # noqa: E731
    with serving(dies) as one, serving(dies) as two:
        engine, draws = engine_for(one, two), []
        with pytest.raises(EngineError, match="Delivered draws are stored; the same command goes on") as caught:  # noqa: PT012
            for batch in engine.sample([Request("p", TEXT, tuple(range(80)))]):
                draws.extend(batch)
    assert one.url in str(caught.value)
    assert two.url in str(caught.value)
    assert 1 <= len(draws) <= 40
    with serving(good) as server:
        rest = tuple(sorted(set(range(80)) - {draw.draw_index for draw in draws}))
        draws += [draw for batch in engine_for(server).sample([Request("p", TEXT, rest)]) for draw in batch]
    assert sorted(draw.draw_index for draw in draws) == list(range(80))


def test_a_probe_over_a_server_that_dies_goes_on_in_a_second_start(tmp_path):
    problems = ProblemSet.of("p", [Problem(f"{number}?", "1") for number in range(3)])
    prompts = {problem.problem_id: TEXT for problem in problems}
    store = ProbeStore.create(tmp_path / "s", ARM, problems)
    dying = serving(lambda number, *_: completion("wrong") if number < 100 else (500, "dead"))
    with dying as server, pytest.raises(EngineError):
        run_probe(engine_for(server), store, list(problems), prompts, PLAN, RightVerifier())
    stored = store.outcomes("right@1").num_draws
    assert stored > 0
    with serving(lambda *_: completion("wrong")) as server:
        run_probe(engine_for(server), store, list(problems), prompts, PLAN, RightVerifier())
        assert len(server.bodies) == 3 * 64 - stored, "no stored draw was asked for again"


# Ends, keys, names


def test_a_caller_that_stops_leaves_no_thread_and_no_request():
    closed = threading.Event()

    def behave(number, *_):
        if number >= 3:
            closed.wait(HANG_S)
        return completion()

    with serving(behave) as server:
        stream = engine_for(server, timeout_s=HANG_S).sample([Request("p", TEXT, tuple(range(50)))])
        next(stream)
        stream.close()  # would wait for the server, which waits for this to end
        assert not threads()
        closed.set()


def test_the_key_is_sent_and_never_shown(monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    caplog.set_level("DEBUG")
    with serving(lambda *_: (500, "your key sk-very-secret is fine, I am not")) as server:
        with pytest.raises(EngineError) as caught:
            draw_all(engine_for(server))
        assert server.keys[0] == "Bearer sk-very-secret"
    assert "***" in str(caught.value)
    assert "sk-very-secret" not in str(caught.value)
    assert "sk-very-secret" not in caplog.text


def test_without_a_key_local_servers_are_served(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving(good) as server:
        draw_all(engine_for(server), 1)
    assert server.keys == ["Bearer EMPTY"]


def test_a_password_in_a_url_is_not_shown():
    with serving(lambda *_: (400, "no")) as server, pytest.raises(EngineError) as caught:
        draw_all(OpenAIEngine([server.url.replace("//", "//me:pass@")], "m", ARM))
    assert "http://127.0.0.1" in str(caught.value)
    assert "pass@" not in str(caught.value)


def test_a_model_that_is_not_served_is_named_at_once():
    message = "serves llama, qwen, not 'm'; correct --model"
    with serving(good, listing("llama", "qwen")) as server, pytest.raises(EngineError, match=message):
        engine_for(server)


LISTS = {"404": (404, "no route"), "403": (403, "not yours"), "500": (500, ""), "html": b"<html>", "odd": {"data": 1}}


@pytest.mark.parametrize("models", LISTS.values(), ids=LISTS.keys())
def test_a_server_that_lists_no_models_is_taken_at_its_word(models):
    with serving(good, models) as server:
        engine = engine_for(server)
        server.models = listing("m")
        draw_all(engine, 3)


def test_a_wrong_key_is_refused_when_the_models_are_asked_for():
    message = r"refused the key \(.*who are you.*\); set OPENAI_API_KEY"
    with serving(good, (401, "who are you")) as server, pytest.raises(EngineError, match=message):
        engine_for(server)


def test_no_server_and_no_package_are_errors_that_say_what_to_do(monkeypatch):
    for endpoints in ([], ["localhost:8000/v1"]):
        with pytest.raises(EngineError, match=r"endpoints: .*; expected base URLs such as http://HOST:PORT/v1"):
            OpenAIEngine(endpoints, "m", ARM)
    monkeypatch.setitem(sys.modules, "openai", None)
    with serving(good) as server, pytest.raises(EngineError, match=r"pip install 'rlvr\[openai\]'"):
        engine_for(server)


def test_what_was_answered_becomes_durable_while_a_server_stalls(monkeypatch):
    """Five answers come, then none: the batch is given out all the same."""
    monkeypatch.setattr(probes.sampling.probe, "FLUSH_S", 0.2)
    monkeypatch.setattr(probes.engines.openai, "IDLE_S", 0.1)
    released = threading.Event()

    def stalls(number, body, chat):
        if number >= 5:
            released.wait(HANG_S)
        return completion()

    with serving(stalls) as server:
        batches = batched(engine_for(server, timeout_s=HANG_S).sample([Request("p", TEXT, tuple(range(20)))]))
        found = [next(batches)]
        while sum(map(len, found)) < 5:
            found.append(next(batches))
        assert sum(map(len, found)) == 5
        released.set()
        batches.close()


@pytest.mark.parametrize("prompt", [TEXT, CHAT])
def test_a_redirect_to_another_host_is_refused(prompt):
    """The other host would be given the prompts."""
    with serving(good) as other:
        away = {"Location": f"{other.url}/completions"}
        sends_on = serving(lambda number, body, chat: (307, "away", away))
        with sends_on as server, pytest.raises(EngineError, match=r"sends requests on to '127\.0\.0\.1'"):
            draw_all(engine_for(server), prompt=prompt)
        assert other.bodies == []


def test_a_redirect_of_the_list_of_models_is_refused_at_start():
    with serving(good) as other:
        away = {"Location": f"{other.url}/models"}
        with serving(good, models=(307, "away", away)) as server, pytest.raises(EngineError, match="sends requests on"):
            engine_for(server)


@pytest.mark.parametrize(("name", "is_same"), [("m", True), ("m-2026-01-01", True), ("org/m", True), ("x", False)])
def test_the_model_that_answers_is_the_one_that_was_asked_for(name, is_same):
    with serving(lambda number, body, chat: completion(chat=chat) | {"model": name}) as server:
        if is_same:
            draw_all(engine_for(server))
            return
        with pytest.raises(EngineError, match="answers with 'x', not 'm'"):
            draw_all(engine_for(server))
