"""The loop of a probe, on the scripted engine: looks, resume, growth, failures of engine and verifier."""

from dataclasses import replace

import numpy as np
import pytest

from probes.engines.scripted import ScriptedEngine
from probes.sampling.judging import judge
from probes.sampling.probe import FLUSH_DRAWS, batched, render_prompts, run_probe
from probes.statistics.estimators import pass_at_k
from probes.statistics.plan import Plan, shard
from probes.store.arm import Sampling, declared_arm
from probes.store.draws import Draw
from probes.store.store import ProbeStore
from rlvr.errors import EngineError
from rlvr.problems import Problem, ProblemSet
from rlvr.problems.prompts import PromptFormat
from rlvr.verifiers.verdicts import Outcome, Verdict

ARM = declared_arm("scripted", {"template": "{question}"}, Sampling())
PROBLEMS = ProblemSet.of("p", [Problem(f"{number}?", str(number)) for number in range(8)])
RATES = dict(zip([p.problem_id for p in PROBLEMS], [0.0, 0.01, 0.05, 0.2, 0.5, 0.8, 0.97, 1.0], strict=True))
PLAN = Plan.sequential(64, stop_at=4, first_look=8)
PROMPTS = render_prompts(PROBLEMS, PromptFormat(chat="plain"), None)


class RightVerifier:
    """Accepts the text `right`; its verdicts on some draws are errors while `broken` holds."""

    verifier_id = "right@1"
    broken = False

    def check_problems(self, problems):
        pass

    def verify(self, items):
        if self.broken:
            return [Verdict(Outcome.ERROR)] * len(items)
        return [Verdict(Outcome.CORRECT if text == "right" else Outcome.WRONG) for _, text in items]

    def close(self):
        pass


class DyingEngine(ScriptedEngine):
    """Delivers a number of batches and dies."""

    def __init__(self, *arguments, batches):
        super().__init__(*arguments)
        self.batches = batches

    def sample(self, requests):
        for number, batch in enumerate(super().sample(requests)):
            if number == self.batches:
                raise EngineError("the server is gone")
            yield batch


def open_store(path, writer=0):
    store = ProbeStore.create(path, ARM, PROBLEMS, writer)
    store.set_plan(PLAN)
    return store


def probe(store, plan=PLAN, problems=PROBLEMS, verifier=None, engine=None):
    engine = engine or ScriptedEngine(RATES, ARM.arm_id)
    run_probe(engine, store, list(problems), PROMPTS, plan, verifier or RightVerifier())


def draws_by_problem(store):
    numbers = dict.fromkeys(RATES, 0)
    for draw in store.draws():
        numbers[draw.problem_id] += 1
    return numbers


def test_easy_problems_stop_early_and_hopeless_ones_draw_all(tmp_path):
    store = open_store(tmp_path / "s")
    probe(store)
    numbers = list(draws_by_problem(store).values())
    assert set(numbers) <= set(PLAN.looks)
    assert (numbers[0], numbers[-1]) == (64, 8)
    counts = store.counts()
    assert counts.n_P.tolist() == numbers
    assert (counts.c_P[(counts.n_P < 64)] >= 4).all()


def test_estimates_agree_with_the_known_rates(tmp_path):
    store = open_store(tmp_path / "s")
    probe(store)
    curve = pass_at_k(store.counts(), [1, 8, 32])
    truth = 1 - np.mean([(1 - np.array(list(RATES.values()))) ** k for k in (1, 8, 32)], axis=1)
    assert np.all(np.abs(curve.estimate_K - truth) < 5 * curve.se_draws_K)


def test_an_engine_that_dies_loses_nothing_and_a_second_start_draws_the_rest(tmp_path):
    whole, torn = open_store(tmp_path / "whole"), open_store(tmp_path / "torn")
    probe(whole)
    for batches in (3, 5, 1):
        with pytest.raises(EngineError, match="the server is gone"):
            probe(torn, engine=DyingEngine(RATES, ARM.arm_id, batches=batches))
    assert sum(draws_by_problem(torn).values()) > 0
    probe(torn)
    assert torn.counts().c_P.tolist() == whole.counts().c_P.tolist()
    assert draws_by_problem(torn) == draws_by_problem(whole)


def test_growing_a_finished_probe_reuses_every_draw(tmp_path):
    store, direct = open_store(tmp_path / "s"), open_store(tmp_path / "direct")
    probe(store)
    before = {(d.problem_id, d.draw_index): d for d in store.draws()}
    longer = Plan.sequential(256, stop_at=4, first_look=8)
    store.set_plan(longer)
    probe(store, longer)
    after = {(d.problem_id, d.draw_index): d for d in store.draws()}
    assert before.items() <= after.items()
    direct.set_plan(longer)
    probe(direct, longer)
    assert store.counts().c_P.tolist() == direct.counts().c_P.tolist()
    assert draws_by_problem(store) == draws_by_problem(direct)


def test_a_fixed_sample_counts_under_a_sequential_plan(tmp_path):
    store = open_store(tmp_path / "s")
    probe(store, Plan.fixed(64))
    again = open_store(tmp_path / "again")
    probe(again)
    assert store.outcomes().counts(PLAN).c_P.tolist() == again.counts().c_P.tolist()


def test_shares_of_several_processes_make_the_counts_of_one(tmp_path):
    one = open_store(tmp_path / "one")
    probe(one)
    for process in range(3):
        probe(open_store(tmp_path / "three", process), problems=shard(PROBLEMS, process, 3))
    three = ProbeStore.open_existing(tmp_path / "three")
    assert three.counts().c_P.tolist() == one.counts().c_P.tolist()
    assert len(list((tmp_path / "three").glob("draws-*.sqlite"))) == 3


def test_a_broken_verifier_draws_on_and_its_errors_are_judged_again_not_redrawn(tmp_path):
    store, verifier = open_store(tmp_path / "s"), RightVerifier()
    verifier.broken = True
    probe(store, verifier=verifier)
    assert set(draws_by_problem(store).values()) == {64}, "an error is no success"
    assert store.outcomes(verifier.verifier_id).num_errors == 8 * 64
    verifier.broken = False
    probe(store, verifier=verifier)
    assert set(draws_by_problem(store).values()) == {64}
    reference = open_store(tmp_path / "reference")
    probe(reference)
    assert store.counts().c_P.tolist() == reference.counts().c_P.tolist(), "surplus draws do not count"


def test_an_engine_that_delivers_nothing_is_an_error_not_a_loop(tmp_path):
    with pytest.raises(EngineError, match="delivered no draw"):
        probe(open_store(tmp_path / "s"), engine=Silent())


class Silent:
    name = "silent"

    def sample(self, requests):
        return iter(())

    def close(self):
        pass


def test_batches_are_worth_a_write_and_an_error_comes_after_what_was_delivered():
    draw = Draw("p", 0, "", 1, False, "scripted")

    def stream():
        for _ in range(FLUSH_DRAWS // 100 + 1):
            yield [draw] * 100
        raise EngineError("gone")

    sizes = []
    with pytest.raises(EngineError, match="gone"):
        sizes.extend(len(batch) for batch in batched(stream()))
    assert sizes == [600]


def test_judging_again_replaces_verdicts(tmp_path):
    store, verifier = open_store(tmp_path / "s"), RightVerifier()
    probe(store, verifier=verifier)
    problems = PROBLEMS.by_id
    assert judge(store, problems, verifier) == 0
    assert judge(store, problems, verifier, again=True) == store.outcomes().num_draws
    stricter = replace_id(RightVerifier(), "right@2")
    assert judge(store, problems, stricter) == store.outcomes("right@1").num_draws
    assert store.verifier_ids() == ["right@1", "right@2"]


def replace_id(verifier, verifier_id):
    verifier.verifier_id = verifier_id
    return verifier


def test_a_declared_arm_is_told_by_its_name():
    assert ARM.is_declared
    assert replace(ARM, weights="declared:other").arm_id != ARM.arm_id
