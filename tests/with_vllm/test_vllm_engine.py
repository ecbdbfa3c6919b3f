"""The vLLM engine on a real vLLM: the contract, seeds, what it shares with the transformers engine, its errors."""

from dataclasses import replace

import numpy as np
import psutil
import pytest

from probes.engines import Request
from probes.engines.transformers import TransformersEngine
from probes.engines.vllm import PIECE_DRAWS, VllmEngine, own_variables, start_llm, variables_for_one
from probes.store.arm import Arm, Sampling
from probes.store.draws import Draw
from rlvr.errors import EngineError
from rlvr.problems.prompts import Prompt
from tests.probes.engines.contract import PROBLEMS, EngineContract, Subject, contract_arm, request_for

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


@pytest.fixture(scope="module")
def llm(tiny_base, tiny_model, tiny_tokenizer):
    llm = start_llm(str(tiny_base), contract_arm(tiny_model, tiny_tokenizer), enforce_eager=True)
    yield llm
    VllmEngine(llm, tiny_tokenizer, contract_arm(tiny_model, tiny_tokenizer), owns_llm=True).close()


class TestContract(EngineContract):
    num_draws = 1200

    @pytest.fixture
    def subject(self, llm, tiny_model, tiny_tokenizer) -> Subject:
        arm = contract_arm(tiny_model, tiny_tokenizer)
        return Subject(VllmEngine(llm, tiny_tokenizer, arm, chunk=512), tiny_model, tiny_tokenizer)


@pytest.fixture
def arm(tiny_model, tiny_tokenizer) -> Arm:
    return contract_arm(tiny_model, tiny_tokenizer)


def sample(engine, *requests) -> dict[tuple[str, int], Draw]:
    return {(draw.problem_id, draw.draw_index): draw for batch in engine.sample(requests) for draw in batch}


# Draws


def test_a_draw_depends_on_neither_its_request_nor_its_neighbours(llm, tiny_tokenizer, arm):
    """vLLM gives child i of a request the seed + i. At most one draw in fifty differs: the last bits decide some."""
    engine = VllmEngine(llm, tiny_tokenizer, arm)
    whole = sample(engine, *(request_for(tiny_tokenizer, problem, range(100)) for problem in range(len(PROBLEMS))))
    cut = sample(VllmEngine(llm, tiny_tokenizer, arm, chunk=7), request_for(tiny_tokenizer, 1, range(5, 100)))
    single = sample(engine, *(request_for(tiny_tokenizer, 1, [index]) for index in range(0, 100, 3)))
    for other in (cut, single):
        assert np.mean([whole[key] == draw for key, draw in other.items()]) >= 0.98


def test_temperature_zero_equals_the_transformers_engine(llm, tiny_model, tiny_tokenizer, arm):
    """Text, token count and truncation; every draw of a problem is the same."""
    for sampling in (Sampling(temperature=0, max_new_tokens=12), Sampling(temperature=0, max_new_tokens=3)):
        greedy = replace(arm, sampling=sampling)
        requests = [request_for(tiny_tokenizer, problem, range(3)) for problem in range(len(PROBLEMS))]
        ours = sample(VllmEngine(llm, tiny_tokenizer, greedy), *requests)
        theirs = sample(TransformersEngine(tiny_model, tiny_tokenizer, greedy), *requests)
        assert ours == {key: replace(draw, engine="vllm") for key, draw in theirs.items()}


@pytest.mark.parametrize("sampling", [Sampling(top_k=1, max_new_tokens=12), Sampling(top_p=1e-6, max_new_tokens=12)])
def test_filters_that_leave_one_token_are_greedy(llm, tiny_tokenizer, arm, sampling):
    greedy = replace(arm, sampling=Sampling(temperature=0, max_new_tokens=12))
    request = request_for(tiny_tokenizer, 0, range(4))
    filtered = sample(VllmEngine(llm, tiny_tokenizer, replace(arm, sampling=sampling)), request)
    assert filtered == sample(VllmEngine(llm, tiny_tokenizer, greedy), request)


def test_only_the_arms_stop_tokens_end_a_completion(llm, tiny_tokenizer, arm):
    """A stop token that is ordinary text counts, and is not part of the text; the end-of-text token ends nothing."""
    plus = tiny_tokenizer.convert_tokens_to_ids("+")
    draws = sample(
        VllmEngine(llm, tiny_tokenizer, replace(arm, stop_token_ids=(plus,))),
        request_for(tiny_tokenizer, 0, range(200)),
    ).values()
    assert not any("+" in draw.completion for draw in draws)
    ended = [draw for draw in draws if not draw.truncated]
    assert ended
    assert any(draw.num_tokens == len(draw.completion) + 1 for draw in ended)
    assert any(draw.num_tokens > len(draw.completion) + 1 for draw in draws), "the hidden end-of-text token went by"


def test_draws_are_delivered_while_others_run(llm, tiny_tokenizer, arm):
    batches = [
        list(batch)
        for batch in VllmEngine(llm, tiny_tokenizer, arm, chunk=64).sample(
            [request_for(tiny_tokenizer, problem, range(200)) for problem in range(len(PROBLEMS))]
        )
    ]
    assert len(batches) >= 6
    assert max(len(batch) for batch in batches) <= 64 + PIECE_DRAWS


def test_prompts_are_cached_and_defaults_of_the_checkpoint_are_not_used(llm):
    config = llm.llm_engine.vllm_config
    assert config.cache_config.enable_prefix_caching
    assert config.model_config.generation_config == "vllm"
    assert str(config.model_config.dtype) == "torch.float32"


# Errors


def test_a_stream_that_is_left_leaves_nothing_running(llm, tiny_tokenizer, arm):
    engine = VllmEngine(llm, tiny_tokenizer, arm)
    stream = engine.sample([request_for(tiny_tokenizer, 0, range(1000))])
    assert next(stream)
    stream.close()
    assert not llm.llm_engine.has_unfinished_requests()
    assert len(sample(engine, request_for(tiny_tokenizer, 0, range(3)))) == 3


def test_a_completion_that_does_not_fit_is_refused_before_anything_is_drawn(llm, tiny_tokenizer, arm):
    engine = VllmEngine(llm, tiny_tokenizer, replace(arm, sampling=Sampling(max_new_tokens=128)))
    with pytest.raises(
        EngineError, match=r"a prompt of \d+ tokens and 128 new ones exceed vLLM's max_model_len of 128"
    ):
        sample(engine, request_for(tiny_tokenizer, 0, range(3)))


def test_a_prompt_without_tokens_is_refused(llm, tiny_tokenizer, arm):
    with pytest.raises(EngineError, match="empty: the prompt has no tokens"):
        sample(VllmEngine(llm, tiny_tokenizer, arm), Request("empty", Prompt("", ()), (0,)))


def test_a_temperature_that_vllm_would_change_is_refused(llm, tiny_tokenizer, arm):
    with pytest.raises(EngineError, match=r"temperature: 0\.005 is below 0\.01"):
        VllmEngine(llm, tiny_tokenizer, replace(arm, sampling=Sampling(temperature=0.005)))


def test_what_vllm_refuses_is_told_in_its_words(llm, tiny_tokenizer, arm):
    engine = VllmEngine(llm, tiny_tokenizer, replace(arm, sampling=Sampling(temperature=3.0, max_new_tokens=12)))
    with pytest.raises(EngineError, match=r"vLLM refused a request for .*temperature must be in"):
        sample(engine, request_for(tiny_tokenizer, 0, range(3)))


@pytest.mark.parametrize(("file", "kind"), [("adapter_config.json", "an adapter"), ("model.gguf", "a GGUF file")])
def test_a_kind_of_model_that_vllm_is_not_given(tmp_path, arm, file, kind):
    (tmp_path / file).touch()
    with pytest.raises(EngineError, match=f"this is {kind}.*save_pretrained"):
        start_llm(str(tmp_path), arm)


def test_a_launchers_group_is_hidden_and_comes_back():
    environ = {"RANK": "3", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "7", "CUDA_VISIBLE_DEVICES": "4,5", "HOME": "/h"}
    before = dict(environ)
    with variables_for_one(environ):
        assert environ["CUDA_VISIBLE_DEVICES"] == "5"
        assert environ["HOME"] == "/h"
        assert not {"RANK", "LOCAL_RANK", "TORCHELASTIC_RUN_ID"} & set(environ)
    assert environ == before


@pytest.mark.parametrize(
    ("environ", "device"),
    [
        ({"LOCAL_RANK": "2"}, "2"),
        ({"LOCAL_RANK": "2", "CUDA_VISIBLE_DEVICES": "GPU-a"}, "GPU-a"),
        ({"LOCAL_RANK": "2", "CUDA_VISIBLE_DEVICES": ""}, None),
        ({"CUDA_VISIBLE_DEVICES": "4,5"}, None),
    ],
)
def test_each_local_process_has_its_own_device(environ, device):
    assert own_variables(environ).get("CUDA_VISIBLE_DEVICES") == device


def test_a_killed_vllm_is_an_error_that_says_what_to_do(llm, tiny_tokenizer, arm):
    """vLLM itself would wait forever for an answer. The last test of this file: its vLLM is dead afterwards."""
    engine = VllmEngine(llm, tiny_tokenizer, arm, chunk=64)
    stream = engine.sample([request_for(tiny_tokenizer, 0, range(5000))])
    assert next(stream)
    for process in psutil.Process().children(recursive=True):
        if "EngineCore" in process.name() or "EngineCore" in " ".join(process.cmdline()):
            process.kill()
    with pytest.raises(EngineError, match=r"its process is dead.*run the same command again"):
        list(stream)
