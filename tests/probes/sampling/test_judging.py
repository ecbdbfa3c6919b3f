"""Judging beside the engine: it overlaps where the verifier allows it, and every delivered draw is judged."""

import threading

import pytest

from rlvr.errors import EngineError
from tests.probes.sampling.test_probe import (
    ARM,
    PROBLEMS,
    RATES,
    DyingEngine,
    RightVerifier,
    ScriptedEngine,
    open_store,
    probe,
)

WAIT_S = 20


class BesideVerifier(RightVerifier):
    """Judges in a thread of its own; its first batch waits until the engine has delivered another one."""

    uses_workers = True

    def __init__(self):
        self.threads = set()
        self.has_started, self.may_end = threading.Event(), threading.Event()

    def verify(self, items):
        self.threads.add(threading.current_thread().name)
        self.has_started.set()
        assert self.may_end.wait(WAIT_S), "the engine waited for the verifier"
        return super().verify(items)


class WaitingEngine(ScriptedEngine):
    """Lets the verifier's first batch end once it has delivered a second one."""

    def __init__(self, verifier):
        super().__init__(RATES, ARM.arm_id)
        self.verifier = verifier

    def sample(self, requests):
        for number, batch in enumerate(super().sample(requests)):
            if number == 1:
                self.verifier.may_end.set()
            yield batch


@pytest.fixture
def one_batch_a_delivery(monkeypatch):
    monkeypatch.setattr("probes.sampling.probe.FLUSH_DRAWS", 1)


@pytest.mark.usefixtures("one_batch_a_delivery")
def test_the_engine_does_not_wait_for_a_verifier_with_workers(tmp_path):
    verifier, store = BesideVerifier(), open_store(tmp_path / "s")
    probe(store, verifier=verifier, engine=WaitingEngine(verifier))
    assert verifier.threads == {"judge_0"}
    expected = open_store(tmp_path / "in turn")
    probe(expected)
    assert store.counts().c_P.tolist() == expected.counts().c_P.tolist()
    assert store.counts().n_P.tolist() == expected.counts().n_P.tolist()


def test_any_other_verifier_is_called_in_the_calling_thread(tmp_path):
    class InTurn(BesideVerifier):
        uses_workers = False

    verifier = InTurn()
    verifier.may_end.set()
    probe(open_store(tmp_path / "s"), verifier=verifier)
    assert verifier.threads == {threading.current_thread().name}


@pytest.mark.usefixtures("one_batch_a_delivery")
@pytest.mark.parametrize("uses_workers", [True, False])
def test_what_an_engine_delivered_before_it_died_is_judged(tmp_path, uses_workers):
    verifier, store = BesideVerifier(), open_store(tmp_path / "s")
    verifier.uses_workers = uses_workers
    verifier.may_end.set()
    with pytest.raises(EngineError, match="the server is gone"):
        probe(store, verifier=verifier, engine=DyingEngine(RATES, ARM.arm_id, batches=3))
    assert store.outcomes().num_draws > 0
    assert store.outcomes().num_unjudged == 0


@pytest.mark.usefixtures("one_batch_a_delivery")
def test_a_verifier_that_dies_beside_the_engine_ends_the_probe_and_the_draws_are_kept(tmp_path):
    class Dying(BesideVerifier):
        def verify(self, items):
            raise RuntimeError("no more")

    store = open_store(tmp_path / "s")
    with pytest.raises(RuntimeError, match="no more"):
        probe(store, verifier=Dying())
    assert sum(1 for _ in store.draws()) > 0
    probe(store)
    assert store.outcomes("right@1").num_unjudged == 0
    assert len(store.problems()) == len(PROBLEMS)
