"""vLLM, started here or by a trainer.

Owns: starting vLLM on one checkpoint, the requests that it is given, their seeds, and its errors in our words.
Does not own: an engine that a trainer started: who syncs its weights and puts it to sleep (`probes.engines.live`).

Beside `rlvr.models.colocate`, this is the one file that imports vllm, and only when an engine is started or fails.

Many processes, for example under `accelerate launch`: each starts a vLLM of its own on its own device, and samples its
share of the problems. The vLLMs do not know of each other.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

from probes.engines import Request, consecutive_runs, seed_of
from probes.store.arm import Arm, Sampling
from probes.store.draws import Draw
from rlvr.errors import EngineError
from rlvr.models.loading import ADAPTER_FILE, gguf_file

CHUNK_DRAWS = 2048  # that vLLM has at a time: enough to choose from, few enough to lose
PIECE_DRAWS = 32  # of one request: they are delivered together
MIN_TEMPERATURE = 0.01  # vLLM raises anything lower to it, 0 excepted
WATCH_S = 0.5  # between looks at vLLM's process
SEED = 0  # of the engine; every request brings its own

# What torchrun and accelerate tell a process of its group; TORCHELASTIC_* too.
LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
LAUNCHER_PREFIXES = ("TORCHELASTIC_", "GROUP_", "ROLE_")


@dataclass(frozen=True)
class Piece:
    """Consecutive draws of one problem, asked for in one request; draw `first + i` has the request's seed plus i."""

    request: Request
    first: int
    num_draws: int

    def seed(self, arm_id: str) -> int:
        """Returns the seed of the first draw."""
        return seed_of(arm_id, self.request.problem_id, self.first)


class VllmEngine:
    """Samples through a vLLM engine that runs.

    A draw's seed follows from arm, problem and draw index. Which draws share a batch, and what the prefix cache holds,
    can change the last bits of the probabilities, and so, rarely, a draw; it is then another draw of the same
    distribution.

    Args:
        llm: of class `vllm.LLM`, without requests.
        tokenizer: to decode completions.
        arm: whose sampling parameters, stop tokens and id are used, and nothing else: no default of the checkpoint.
        owns_llm: whether `close` ends `llm`.
        chunk: draws that vLLM has at a time.

    Raises:
        EngineError: vLLM would change the temperature.
    """

    name = "vllm"

    def __init__(self, llm: Any, tokenizer: Any, arm: Arm, *, owns_llm: bool = False, chunk: int = CHUNK_DRAWS) -> None:
        check_temperature(arm.sampling)
        self.llm = llm
        self.tokenizer = tokenizer
        self.arm = arm
        self.arm_id = arm.arm_id
        self.owns_llm = owns_llm
        self.chunk = chunk
        self.request_ids = count()

    def sample(self, requests: Sequence[Request]) -> Iterator[Sequence[Draw]]:
        """Yields the draws of a request when all of them have ended; others run on meanwhile.

        Raises:
            EngineError: a prompt leaves no room for the completion, vLLM refuses a request, or its process is dead.
        """
        max_model_len = self.llm.llm_engine.model_config.max_model_len
        check_lengths(requests, self.arm.sampling, max_model_len)
        waiting = pieces(requests, self.arm.sampling)
        running: dict[str, Piece] = {}
        with woken_by_death(self.llm.llm_engine.engine_core):
            try:
                while self._fill(waiting, running):
                    if draws := self._step(running):
                        yield draws
            finally:
                if running:
                    self.llm.llm_engine.abort_request(list(running))

    def close(self) -> None:
        """Ends vLLM if it is the engine's own."""
        if self.owns_llm and self.llm is not None:
            self.llm.llm_engine.engine_core.shutdown()
        self.llm = None

    def _fill(self, waiting: Iterator[Piece], running: dict[str, Piece]) -> bool:
        """Gives vLLM as many draws as it may have; returns whether it has any."""
        room = self.chunk - sum(piece.num_draws for piece in running.values())
        while room > 0 and (piece := next(waiting, None)) is not None:
            request_id = f"probe-{next(self.request_ids)}"
            prompt = {"type": "token", "prompt_token_ids": list(piece.request.prompt.token_ids)}
            with vllm_errors(f"refused a request for {piece.request.problem_id}"):
                self.llm.llm_engine.add_request(request_id, prompt, self._parameters(piece))
            running[request_id] = piece
            room -= piece.num_draws
        return bool(running)

    def _step(self, running: dict[str, Piece]) -> list[Draw]:
        """Lets vLLM make one token for each running draw; returns the draws of requests that have ended."""
        with vllm_errors("cannot go on"):
            outputs = self.llm.llm_engine.step()
        ended = [(running.pop(output.request_id), output) for output in outputs if output.finished]
        return [draw for piece, output in ended for draw in self._draws(piece, output.outputs)]

    def _parameters(self, piece: Piece) -> Any:
        """Returns vLLM's sampling parameters for a piece."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            n=piece.num_draws,
            **sampling_fields(self.arm, piece),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _draws(self, piece: Piece, completions: Sequence[Any]) -> list[Draw]:
        """Returns the draws of a request that has ended."""
        reasons = {completion.finish_reason for completion in completions} - {"stop", "length"}
        if reasons:
            raise EngineError(
                f"vLLM ended a completion of {piece.request.problem_id} for the reason {sorted(map(str, reasons))}; "
                "see its log, then run the same command again: stored draws are kept."
            )
        return make_draws(
            piece, self.tokenizer, [(item.token_ids, item.finish_reason == "stop") for item in completions]
        )


def sampling_fields(arm: Arm, piece: Piece) -> dict[str, Any]:
    """Returns the fields of a request that decide its completions, as vLLM's Python and HTTP interfaces name them."""
    sampling = arm.sampling
    return {
        "seed": piece.seed(arm.arm_id),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "max_tokens": sampling.max_new_tokens,
        "stop_token_ids": list(arm.stop_token_ids),
        "ignore_eos": True,  # the arm's stop tokens hold the end-of-text token; vLLM's own may be another tokenizer's
    }


def pieces(requests: Sequence[Request], sampling: Sampling) -> Iterator[Piece]:
    """Yields what is asked for, cut where draw indices skip, and into pieces of bounded size."""
    size = 1 if sampling.temperature == 0 else PIECE_DRAWS  # vLLM refuses n > 1 without sampling
    for request in requests:
        for run in consecutive_runs(request.draw_indices):
            for first in run[::size]:
                yield Piece(request, first, min(size, run[-1] + 1 - first))


def make_draws(piece: Piece, tokenizer: Any, ended: Sequence[tuple[Sequence[int], bool]]) -> list[Draw]:
    """Returns the draws of a piece from (tokens, whether a stop token ends them), in the order of their seeds."""
    kept = [list(token_ids)[: len(token_ids) - stopped] for token_ids, stopped in ended]
    texts = tokenizer.batch_decode(kept, skip_special_tokens=True)
    return [
        Draw(piece.request.problem_id, piece.first + child, text, len(token_ids), not stopped, VllmEngine.name)
        for child, (text, (token_ids, stopped)) in enumerate(zip(texts, ended, strict=True))
    ]


def check_temperature(sampling: Sampling) -> None:
    """Raises where vLLM would silently sample at another temperature."""
    if 0 < sampling.temperature < MIN_TEMPERATURE:
        raise EngineError(
            f"temperature: {sampling.temperature} is below {MIN_TEMPERATURE}, which vLLM would use instead; use 0 for "
            "greedy decoding, or another engine."
        )


def check_lengths(requests: Sequence[Request], sampling: Sampling, max_model_len: int) -> None:
    """Raises where vLLM has nothing to read, or would cut a completion before the arm's limit."""
    for request in requests:
        num_tokens = len(request.prompt.token_ids)
        if num_tokens == 0:
            raise EngineError(f"{request.problem_id}: the prompt has no tokens; change the prompt template.")
        if num_tokens + sampling.max_new_tokens > max_model_len:
            raise EngineError(
                f"{request.problem_id}: a prompt of {num_tokens} tokens and {sampling.max_new_tokens} new ones exceed "
                f"vLLM's max_model_len of {max_model_len}; raise it (in a trainer: vllm_max_model_length), or lower "
                "max_new_tokens."
            )


@contextmanager
def woken_by_death(engine_core: Any) -> Iterator[None]:
    """Ends a wait for vLLM's process when that is dead: vLLM notes the death, but goes on waiting for its answer."""
    answers = getattr(engine_core, "outputs_queue", None)
    if answers is None:  # vLLM runs in this process
        yield
        return
    over = Event()

    def watch() -> None:
        while not over.wait(WATCH_S):
            if engine_core.resources.engine_dead:
                answers.put(RuntimeError("vLLM's process is dead"))
                return

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@contextmanager
def vllm_errors(what: str) -> Iterator[None]:
    """Turns an error of vLLM into one that says what to do."""
    try:
        yield
    except Exception as error:
        raise EngineError(f"vLLM {what} ({_first_line(error)}); {_advice(error)}") from error


def _advice(error: Exception) -> str:
    """Returns what to do about an error of vLLM."""
    again = "then run the same command again: stored draws are kept."
    if type(error).__name__ == "EngineDeadError":
        return f"its process is dead, often for lack of memory: see its log, lower max_model_len, {again}"
    if "out of memory" in str(error).lower():
        return f"lower gpu_memory_utilization or max_model_len, or use a device with more memory, {again}"
    return f"see its log, change what it names, {again}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def start_llm(
    source: str,
    arm: Arm,
    *,
    revision: str | None = None,
    max_model_len: int | None = None,
    gpu_memory_utilization: float = 0.9,
    trust_remote_code: bool = False,
    enforce_eager: bool = False,
) -> Any:
    """Returns a `vllm.LLM` of a checkpoint, with a prefix cache, alone on this process's device.

    Args:
        source: folder or Hub id.
        arm: whose dtype is used. It must be the arm of these weights.
        revision: of a Hub model.
        max_model_len: tokens of prompt and completion together; None is the model's own limit.
        gpu_memory_utilization: share of a GPU's memory to take.
        trust_remote_code: run code that comes with the model.
        enforce_eager: start sooner and run slower, without compilation.

    Raises:
        EngineError: vLLM is not installed, cannot load this kind of file, or does not start.
    """
    check_source(source)
    with variables_for_one(os.environ):
        try:
            from vllm import LLM
        except ImportError as error:
            raise EngineError(
                f"vLLM cannot be imported ({_first_line(error)}); install rlvr[vllm], or use another engine."
            ) from error
        with vllm_errors(f"does not start on {source}"):
            return LLM(
                model=source,
                revision=revision,
                tokenizer_revision=revision,
                dtype=arm.dtype,
                max_model_len=max_model_len,
                gpu_memory_utilization=gpu_memory_utilization,
                trust_remote_code=trust_remote_code,
                enforce_eager=enforce_eager,
                enable_prefix_caching=True,
                generation_config="vllm",
                seed=SEED,
            )


def check_source(source: str) -> None:
    """Raises unless vLLM can be given this model."""
    kind = None
    if gguf_file(Path(source)) is not None:
        kind = "a GGUF file"
    elif (Path(source) / ADAPTER_FILE).exists():
        kind = "an adapter"
    if kind:
        raise EngineError(
            f"{source}: this is {kind}, which the vllm engine does not load; load it with transformers and save the "
            "merged model with save_pretrained, or use the engine `transformers`."
        )


@contextmanager
def variables_for_one(environ: Any) -> Iterator[None]:
    """Hides a launcher's group from what starts here, shows it this process's device only, and keeps it quiet.

    vLLM, and the processes that it starts, would otherwise take the ranks of `accelerate launch` for their own, and
    torch would look for the launcher's store. All variables return to what they were.
    """
    own = own_variables(environ)
    changed = [*own, *(name for name in environ if is_launchers(name))]
    before = {name: environ.get(name) for name in changed}
    for name in changed:
        environ.pop(name, None)
    environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            environ.pop(name, None)
            if value is not None:
                environ[name] = value


def is_launchers(name: str) -> bool:
    """Returns whether a launcher sets this variable to describe a group of processes."""
    return name in LAUNCHER_VARIABLES or name.startswith(LAUNCHER_PREFIXES)


def own_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables under which one process's vLLM starts; what a person has set holds."""
    own = {
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork would inherit the launcher's process group
        "VLLM_LOGGING_LEVEL": environ.get("VLLM_LOGGING_LEVEL", "WARNING"),
        "VLLM_LOGGING_STREAM": environ.get("VLLM_LOGGING_STREAM", "ext://sys.stderr"),  # results go to stdout
    }
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if "LOCAL_RANK" in environ and visible != "":
        rank = int(environ["LOCAL_RANK"])
        devices = visible.split(",") if visible else [str(rank)]
        own["CUDA_VISIBLE_DEVICES"] = devices[rank % len(devices)]
    return own
