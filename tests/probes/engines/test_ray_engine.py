"""The Ray engine: the contract with two local workers, and workers that are really killed."""

import contextlib
import os
import signal
import time
from functools import partial

import pytest

from probes.engines.ray import CHUNK_DRAWS, RayEngine, chunks
from probes.engines.sources import EngineOptions, open_source
from probes.store.arm import Sampling
from rlvr.errors import EngineError, RecipeError
from rlvr.problems.prompts import PromptFormat
from tests.probes.engines.contract import EngineContract, Subject, contract_arm, request_for, sampled

ray = pytest.importorskip("ray")
psutil = pytest.importorskip("psutil")


def start(model, arm) -> RayEngine:
    opened = partial(open_source, EngineOptions(model=str(model), dtype="float32"), PromptFormat(), arm.sampling, ())
    return RayEngine(opened, arm, name="transformers", num_workers=2)


@pytest.fixture(scope="module")
def subject(tiny_base, tiny_model, tiny_tokenizer):
    engine = start(tiny_base, contract_arm(tiny_model, tiny_tokenizer))
    yield Subject(engine, tiny_model, tiny_tokenizer)
    engine.close()


@pytest.mark.slow
class TestContract(EngineContract):
    @pytest.fixture
    def subject(self, subject):
        return subject


def workers() -> list[int]:
    """The processes in which our Ray runs our actors; one that has ended and waits for its parent has no name."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            found += [each.pid] if any("ray::Worker" in part for part in each.cmdline()) else []
    return found


@pytest.mark.slow
def test_a_killed_worker_loses_no_draw_and_doubles_none(subject):
    """Killed by signal 9 while both have a chunk; the draws are those of an undisturbed run."""
    asked = [request_for(subject.tokenizer, problem, range(2 * CHUNK_DRAWS)) for problem in range(2)]
    expected = sampled(subject, *asked)
    stream = subject.engine.sample(asked)
    draws = list(next(stream))
    os.kill(workers()[0], signal.SIGKILL)
    draws += [draw for batch in stream for draw in batch]
    keyed = {(draw.problem_id, draw.draw_index): draw for draw in draws}
    assert len(keyed) == len(draws)
    assert keyed.keys() == expected.keys()
    assert sum(keyed[key] == expected[key] for key in keyed) >= 0.99 * len(keyed)
    assert subject.engine.num_lost >= 1


@pytest.mark.slow
def test_workers_that_keep_dying_are_an_error(subject, monkeypatch):
    monkeypatch.setattr("probes.engines.ray.MAX_LOST", subject.engine.num_lost)
    stream = subject.engine.sample([request_for(subject.tokenizer, 0, range(4 * CHUNK_DRAWS))])
    with pytest.raises(EngineError, match=r"actors were lost, the last by"):  # noqa: PT012
        for _ in stream:
            for pid in workers():
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)


@pytest.mark.slow
def test_other_weights_in_a_worker_are_refused(tiny_base, tiny_model, tiny_tokenizer, subject):
    """A node whose folder of the same name holds another model must not add draws to this arm."""
    from dataclasses import replace

    other = replace(contract_arm(tiny_model, tiny_tokenizer), weights="0" * 64)
    engine = start(tiny_base, other)
    with pytest.raises(EngineError, match="another arm: it differs in weights"):
        list(engine.sample([request_for(tiny_tokenizer, 0, range(2))]))
    engine.close()


def test_an_engine_that_actors_cannot_run_is_refused():
    with pytest.raises(RecipeError, match="use transformers or vllm"):
        open_source(EngineOptions(engine="ray", model="any", ray_engine="openai"), PromptFormat(), Sampling(), ())


def test_chunks_are_bounded_and_whole(tiny_tokenizer):
    asked = [request_for(tiny_tokenizer, 0, range(2500)), request_for(tiny_tokenizer, 1, range(5))]
    cut = list(chunks(asked))
    assert [sum(len(r.draw_indices) for r in chunk) for chunk in cut] == [CHUNK_DRAWS, CHUNK_DRAWS, 457]
    again = [(r.problem_id, index) for chunk in cut for r in chunk for index in r.draw_indices]
    assert again == [(r.problem_id, index) for r in asked for index in r.draw_indices]
