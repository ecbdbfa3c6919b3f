"""The verifier that runs elsewhere, against services that are really started and keep the protocol or do not."""

import threading
import time
from contextlib import contextmanager

import pytest

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.verifiers import make_verifier
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict
from tests.limits import HANG_S
from tests.rlvr.verifiers.remote.servers import quick_retries, serving

PROBLEM = Problem("1+1?", "2", {"level": [1, None, "\u2028"]})
SERVICE = {"protocol": "rlvr.verifier/1", "name": "same", "version": "1.0+a"}
TOKEN = "t-0815-never-shown"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("RLVR_HTTP_VERIFIER_TOKEN", TOKEN)
    quick_retries(monkeypatch)


@contextmanager
def service(behave, options="", deadline_s=60):
    """A verifier, and the server that it asks."""
    with serving(behave, SERVICE) as server:
        yield make_verifier(f"http?url={server.url}/v&deadline={deadline_s}{options}"), server


def replying(*results):
    return {**SERVICE, "results": list(results)}


def same(number, body):
    """The verdicts of a sound service."""
    items = body["items"]
    return replying(*({"correct": each["completion"] == each["problem"]["answer"]} for each in items))


def outcomes(verifier, completions):
    return [verdict.outcome for verdict in verifier.verify([(PROBLEM, text) for text in completions])]


def test_a_service_is_given_problems_and_completions_and_its_results_are_the_verdicts():
    with service(same, "&batch=2") as (verifier, server):
        assert verifier.verifier_id == "http@1?service=same&version=1.0+a&threshold=1.0"
        verdicts = verifier.verify([(PROBLEM, text) for text in ("2", "<think>2</think>3", "2", "\ud800", "<think>2")])
    assert [verdict.outcome for verdict in verdicts] == [
        Outcome.CORRECT,
        Outcome.WRONG,
        Outcome.CORRECT,
        Outcome.WRONG,
        Outcome.UNPARSED,
    ]
    problem = {"question": "1+1?", "answer": "2", "meta": {"level": [1, None, "\u2028"]}}
    items = sorted((item for body in server.bodies for item in body["items"]), key=lambda item: item["completion"])
    assert items == [{"problem": problem, "completion": text} for text in ("2", "2", "3", "\ud800")]
    assert sorted(len(body["items"]) for body in server.bodies) == [2, 2]
    assert {body["protocol"] for body in server.bodies} == {"rlvr.verifier/1"}
    assert set(server.tokens) == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        ({"correct": True, "answer": "a" * 2000, "reason": "b\nc"}, Verdict(Outcome.CORRECT, "a" * 1000, "b c")),
        ({"correct": False, "answer": None, "more": 1}, Verdict(Outcome.WRONG)),
        ({"outcome": "unparsed"}, Verdict(Outcome.UNPARSED)),
        ({"outcome": "error", "reason": "no idea"}, Verdict(Outcome.ERROR, reason="no idea")),
        ({"outcome": "wrong", "score": 0.4}, Verdict(Outcome.WRONG, score=0.4)),
        ({"score": 0.5}, Verdict(Outcome.CORRECT, score=0.5)),
        ({"score": 0}, Verdict(Outcome.WRONG, score=0.0)),
    ],
)
def test_what_a_result_may_be(result, verdict):
    with service(lambda *_: replying(result), "&threshold=0.5") as (verifier, _):
        assert verifier.verify([(PROBLEM, "2")]) == [verdict]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({}, "none of them, expected one of outcome, correct and score"),
        ("correct", "none of them"),
        (None, "none of them"),
        ({"corect": True}, "none of them"),
        ({"correct": True, "outcome": "correct"}, "outcome and correct"),
        ({"correct": 1}, "correct is 1, expected true or false"),
        ({"correct": "yes"}, "correct is 'yes'"),
        ({"outcome": "right"}, "the outcome 'right', expected one of correct, wrong"),
        ({"outcome": ["correct"]}, "the outcome ['correct']"),
        ({"score": 1.5}, "a score of 1.5"),
        ({"score": True}, "a score of True"),
        ({"score": "1"}, "a score of '1'"),
    ],
)
def test_a_result_that_is_none_is_an_error_and_leaves_its_neighbours(result, said):
    with service(lambda *_: replying({"correct": True}, result, {"correct": True})) as (verifier, server):
        first, second, third = verifier.verify([(PROBLEM, str(n)) for n in range(3)])
    assert (first.outcome, second.outcome, third.outcome) == (Outcome.CORRECT, Outcome.ERROR, Outcome.CORRECT)
    assert said in second.reason
    assert len(second.reason) <= MAX_VERDICT_CHARS
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (replying({"correct": True}, {"correct": True}), "sent 2 results for 1 completions"),
        ({"version": "1.0+a"}, "sent no list of results"),
        ([{"correct": True}], "sent no list of results"),
        ((200, b"ok", {}), "sent what is not JSON: ok"),
        ((404, f"who is {TOKEN}?".encode(), {}), "answered 404: who is ***?"),
        (replying({"correct": True}) | {"version": "2"}, "was version 1.0+a and is another now; start again"),
        (replying({"correct": True}) | {"version": None}, "was version 1.0+a and is another now"),
    ],
)
def test_a_reply_that_is_none_is_an_error(reply, said):
    with service(lambda *_: reply) as (verifier, _):
        (verdict,) = verifier.verify([(PROBLEM, "2")])
    assert verdict.outcome is Outcome.ERROR
    assert said in verdict.reason
    assert TOKEN not in verdict.reason


def test_another_version_ends_the_batch():
    with service(lambda *_: replying({"correct": True}) | {"version": "2"}, "&batch=1&concurrency=1") as (it, server):
        assert outcomes(it, "abcdefgh") == [Outcome.ERROR] * 8
        assert len(server.bodies) == 1


@pytest.mark.parametrize("failure", [(400, b"odd text", {}), (200, b"garbage", {}), (500, b"crashed", {}), None])
def test_an_answer_that_a_service_cannot_take_is_an_error_alone(failure):
    def behave(number, body):
        return failure if any(each["completion"] == "bad" for each in body["items"]) else same(number, body)

    with service(behave, deadline_s=3) as (verifier, _):
        assert outcomes(verifier, ["2", "bad", "3", "2"]) == [
            Outcome.CORRECT,
            Outcome.ERROR,
            Outcome.WRONG,
            Outcome.CORRECT,
        ]


def test_what_passes_is_tried_again_and_an_outage_is_no_zero():
    replies = [(500, b"", {}), None, (429, b"", {"Retry-After": "0"})]
    with service(lambda n, body: replies[n] if n < 3 else same(n, body)) as (verifier, server):
        assert outcomes(verifier, ["2", "3"]) == [Outcome.CORRECT, Outcome.WRONG]
        assert len(server.bodies) == 4
    with serving(lambda *_: (503, b"down", {}), SERVICE) as server:
        verifier = make_verifier(f"http?url={server.url}&deadline=3")
        assert outcomes(verifier, "abc") == [Outcome.ERROR] * 3


def test_as_many_requests_at_a_time_as_asked_for():
    together = threading.Barrier(4)

    def behave(number, body):
        together.wait(HANG_S)
        time.sleep(0.2)  # in which one more would come
        return same(number, body)

    with serving(behave, SERVICE) as server:
        verifier = make_verifier(f"http?url={server.url}&deadline=3600&concurrency=4&batch=2")
        assert outcomes(verifier, "2" * 32) == [Outcome.CORRECT] * 32
    assert server.most_in_flight == 4


def test_a_redirect_to_another_server_is_refused():
    with serving(same, SERVICE) as other, service(lambda *_: (308, b"", {"Location": other.url})) as (verifier, server):
        (verdict,) = verifier.verify([(PROBLEM, "2")])
        assert "sends requests on to" in verdict.reason
        server.introduction = (301, b"", {"Location": other.url})
        with pytest.raises(RecipeError, match="sends requests on to"):
            make_verifier(f"http?url={server.url}")
    assert other.bodies == []


@pytest.mark.parametrize(
    ("introduction", "said"),
    [
        ({}, "does not say that it speaks 'rlvr.verifier/1'"),
        (SERVICE | {"protocol": "rlvr.verifier/2"}, "does not say that it speaks"),
        ("hello", "does not say that it speaks"),
        (SERVICE | {"version": 1}, "does not say its name and version"),
        (SERVICE | {"name": "a&threshold=0"}, "does not say its name and version"),
        (SERVICE | {"version": ""}, "does not say its name and version"),
        ((404, b"nothing here", {}), "answered 404: nothing here"),
        ((503, b"starting", {}), "answered 503: starting; given up after 2 s"),
    ],
)
def test_a_service_that_does_not_say_what_it_is_is_refused(introduction, said):
    with serving(same, introduction) as server, pytest.raises(RecipeError) as caught:
        make_verifier(f"http?url={server.url}&deadline=2")
    assert said in str(caught.value)
    assert "start the service, or correct the url" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("http", "url: is ''; expected a URL such as http://HOST:PORT/PATH"),
        ("http?url=file:///etc/passwd", "expected a URL"),
        ("http?url=http://user:pass@host/", "holds a user or a password"),
        ("http?url=http://h&token=x", "unknown option 'token'"),
        ("http?url=http://h&batch=0", "batch is '0'"),
        ("http?url=http://h&concurrency=5000", "concurrency is '5000'"),
    ],
)
def test_options_that_cannot_be_used_are_said(spec, said):
    with pytest.raises(RecipeError) as caught:
        make_verifier(spec)
    assert said in str(caught.value)
    assert "pass@" not in str(caught.value)
