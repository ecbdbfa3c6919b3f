"""Measure speed as ratios against a named peer in the same run: `make bench`.

    step      a GRPO step of ours (probe attached, none due) against a bare TRL GRPOTrainer's, measured in turn
    algorithms    a step of each algorithm against a bare TRL GRPOTrainer's, rollouts a step, and peak memory
    engine    tokens per second of the transformers engine against generate(num_return_sequences=n)
    plan      draws and true standard errors of the sequential plan against a fixed number, on three spreads of p
    store     seconds to count and to compare a store of one million draws
    kept      share of a training's time that keeping its rollouts takes
    scale     the store at 1 and 10 million draws, a script of its own: `bench_store.py`
    server    draws a second from a local server, a script of its own: `bench_server.py`
    verifiers verdicts per second of the math verifier against math-verify in one process (`bench_verifiers.py`)
    import    seconds of `import probes`

The limits stand beside the figures. Nothing is asserted: a busy machine is not a defect.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from probes.engines import Request
from probes.engines.transformers import TransformersEngine
from probes.store.arm import Sampling, arm_of
from rlvr.jobs.resolve import Job, resolve
from rlvr.models.loading import load_model, load_tokenizer, resolve_model
from rlvr.problems import load_problems
from rlvr.problems.prompts import Prompt, PromptFormat
from rlvr.training.recipe import read_recipe

RECIPES = Path(__file__).parent.parent / "recipes/countdown-tiny"
RECIPE = RECIPES / "grpo.yaml"
BARE = "trl"
ALGORITHMS = ("grpo", "rloo", "reinforce-plus-plus", "reinforce-plus-plus-baseline", "remax", "dapo", "ppo")
NUM_RETURN = 256
PLAN_KS = (1, 16, 64, 256)


def bench_algorithms(num_rounds: int, steps: int) -> dict[str, dict[str, float]]:
    """Returns, for each algorithm, medians over rounds; in each round all are measured once, each in a process."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in (BARE, *ALGORITHMS)}
    for _ in range(num_rounds):
        for name, found in rows.items():
            command = [sys.executable, __file__, "--measure", name, "--steps", str(steps)]
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            found.append(json.loads(said.splitlines()[-1]))
    bare = rows[BARE]
    return {
        name: {
            "ratio": statistics.median(row["step_s"] / peer["step_s"] for row, peer in zip(found, bare, strict=True)),
            **{key: statistics.median(row[key] for row in found) for key in ("step_s", "rollouts", "peak_bytes")},
        }
        for name, found in rows.items()
    }


def measure_algorithm(name: str, steps: int) -> dict[str, float]:
    """Returns seconds and rollouts per step of one short training, and the peak memory of this process."""
    recipe_file = RECIPE if name == BARE else RECIPES / f"{name}.yaml"
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--output_dir", folder, "--max_steps", str(steps), "--save_strategy", "no", "--report_to", "none"]
        job = resolve(read_recipe(str(recipe_file), [*flags, "--disable_tqdm", "true"]))
        seconds, trainer = time_training(job, name != BARE, steps)
    rollouts = trainer.rollouts.num / steps if name != BARE else trainer.args.generation_batch_size
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"step_s": seconds, "rollouts": rollouts, "peak_bytes": peak_bytes}


def time_training(job: Job, is_ours: bool, steps: int) -> tuple[float, Any]:
    """Returns seconds per step of a short training, its first step left out, and the trainer."""
    from transformers import TrainerCallback

    from rlvr.training.train import make_trainer

    class Clock(TrainerCallback):
        """Notes when steps end."""

        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """Notes the time."""
            self.ends.append(time.perf_counter())

    clock = Clock()
    args, inputs = job.training.arguments(), job.task.load()
    trainer = (
        make_trainer(job.training, args, inputs) if is_ours else bare_trainer(job.training.model_name, args, inputs)
    )
    trainer.add_callback(clock)
    with redirect_stdout(sys.stderr):  # the trainer prints its logs
        trainer.train()
    return (clock.ends[-1] - clock.ends[0]) / (steps - 1), trainer


def bench_kept(steps: int) -> dict[str, float]:
    """Returns the share of a GRPO training's time that keeping its rollouts takes, and seconds a step."""
    import rlvr.training.train
    from rlvr.rollouts.kept import KeptRollouts

    spent: list[float] = []

    class Timed(KeptRollouts):
        """Notes how long it takes."""

        def add(self, *args: Any) -> None:
            """Takes rollouts."""
            began = time.perf_counter()
            super().add(*args)
            spent.append(time.perf_counter() - began)

        def flush(self) -> None:
            """Writes them."""
            began = time.perf_counter()
            super().flush()
            spent.append(time.perf_counter() - began)

    with tempfile.TemporaryDirectory() as folder, patch.object(rlvr.training.train, "KeptRollouts", Timed):
        flags = ["--output_dir", folder, "--max_steps", str(steps), "--save_strategy", "no", "--report_to", "none"]
        job = resolve(read_recipe(str(RECIPE), [*flags, "--disable_tqdm", "true", "--keep_rollouts", "true"]))
        step_s, _ = time_training(job, True, steps)
    return {"share": sum(spent) / (step_s * steps), "step_s": step_s}


def bare_trainer(model_name: str, args: Any, inputs: Any) -> Any:
    """Returns TRL's own GRPOTrainer on the same configuration, model, data and verifier."""
    from trl import GRPOTrainer

    from rlvr.training.data import make_dataset

    source = resolve_model(model_name)
    tokenizer = load_tokenizer(source, None, trust_remote_code=False)

    def accuracy(completions: list[str], problem_id: list[str], **_: Any) -> list[float]:
        items = [(inputs.problems.by_id[key], text) for key, text in zip(problem_id, completions, strict=True)]
        return [float(verdict.correct) for verdict in inputs.verifier.verify(items)]

    return GRPOTrainer(
        load_model(source, None, trust_remote_code=False, dtype="float32"),
        reward_funcs=accuracy,
        args=args,
        train_dataset=make_dataset(inputs, tokenizer),
        processing_class=tokenizer,
    )


def bench_engine(num_problems: int, num_rounds: int) -> dict[str, float]:
    """Returns tokens per second of both, the best of the rounds, and their ratio; the two take turns."""
    source = resolve_model("testbed:countdown-tiny")
    tokenizer = load_tokenizer(source, None, trust_remote_code=False)
    model = load_model(source, None, trust_remote_code=False).eval()
    prompt_format, problems = PromptFormat(), load_problems(f"countdown:probe?num={num_problems}")
    arm = arm_of(model, tokenizer, prompt_format, Sampling(max_new_tokens=24))
    prompts = {problem.problem_id: prompt_format.prompt(problem, tokenizer) for problem in problems}
    ours, peer = [], []
    for _ in range(num_rounds):
        ours.append(tokens_per_second_of_engine(TransformersEngine(model, tokenizer, arm), prompts))
        peer.append(tokens_per_second_of_generate(model, tokenizer, prompts))
    return {"ours_tokens_per_s": max(ours), "generate_tokens_per_s": max(peer), "ratio": max(ours) / max(peer)}


def tokens_per_second_of_engine(engine: TransformersEngine, prompts: dict[str, Prompt]) -> float:
    """Returns generated tokens per second of the engine, stop tokens included."""
    requests = [Request(key, prompt, tuple(range(NUM_RETURN))) for key, prompt in prompts.items()]
    started = time.perf_counter()
    tokens = sum(draw.num_tokens for batch in engine.sample(requests) for draw in batch)
    return tokens / (time.perf_counter() - started)


@torch.inference_mode()
def tokens_per_second_of_generate(model: Any, tokenizer: Any, prompts: dict[str, Prompt]) -> float:
    """Returns generated tokens per second of `generate`; padding behind a stop token does not count."""
    started, tokens = time.perf_counter(), 0
    for prompt in prompts.values():
        ids = torch.tensor([prompt.token_ids])
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            top_k=0,
            max_new_tokens=24,
            num_return_sequences=NUM_RETURN,
        )
        tokens += int((output[:, ids.shape[1] :] != tokenizer.pad_token_id).sum())
    return tokens / (time.perf_counter() - started)


def bench_plan(num_problems: int, max_draws: int) -> dict[str, dict[str, float]]:
    """Returns, by benchmark, how many times fewer draws, and by k the ratio of standard errors, sequential to fixed."""
    from probes.statistics.cost import typical_costs
    from probes.statistics.plan import Plan

    plans = (Plan.sequential(max_draws), Plan.fixed(max_draws))
    pairs = zip(*(typical_costs(plan, num_problems, PLAN_KS) for plan in plans), strict=True)
    return {
        ours.name: {
            "times_fewer_draws": fixed.draws / ours.draws,
            **{f"se_ratio_pass@{k}": ours.se_draws[k] / fixed.se_draws[k] for k in PLAN_KS},
        }
        for ours, fixed in pairs
    }


def fill_store(path: Path, num_problems: int, num_draws: int) -> list[int]:
    """Makes a store of scripted draws, judged; returns the number of correct ones of each problem."""
    from probes.statistics.outcomes import CODES
    from probes.store.arm import declared_arm
    from probes.store.draws import Draw
    from probes.store.store import ProbeStore
    from rlvr.problems import Problem, ProblemSet
    from rlvr.verifiers.verdicts import Outcome, Verdict

    problems = ProblemSet.of("scale", [Problem(f"{number}?", "1") for number in range(num_problems)])
    store = ProbeStore.create(path, declared_arm("scale", {}, Sampling()), problems)
    verdicts = {outcome: Verdict(outcome, "1") for outcome in CODES}
    correct = []
    for number, problem in enumerate(problems):
        key, num_correct = problem.problem_id, number % (num_draws // 2)
        outcomes = [Outcome.CORRECT if index < num_correct else Outcome.WRONG for index in range(num_draws)]
        draws = [Draw(key, index, "an answer " * 20, 50, False, "scripted") for index in range(num_draws)]
        store.add_draws(draws)
        store.add_verdicts("v", [(draw, verdicts[outcome]) for draw, outcome in zip(draws, outcomes, strict=True)])
        correct.append(num_correct)
    return correct


def count_store(path: Path) -> Any:
    """Returns the counts of a store."""
    from probes.store.store import ProbeStore

    return ProbeStore.open_existing(path).counts()


def bench_store(num_problems: int, num_draws: int) -> dict[str, float]:
    """Returns seconds to write, count and compare a store with itself, 2,000 resamples at 11 values of k."""
    from probes.statistics.intervals import compare_counts

    times = [time.perf_counter()]
    with tempfile.TemporaryDirectory() as folder:
        fill_store(Path(folder) / "s", num_problems, num_draws)
        times.append(time.perf_counter())
        counts = count_store(Path(folder) / "s")
        times.append(time.perf_counter())
    compare_counts(counts, counts, [2**power for power in range(11)], num_resamples=2000)
    times.append(time.perf_counter())
    names = ("write_s", "count_s", "compare_s")
    return {name: after - before for name, before, after in zip(names, times, times[1:], strict=False)}


def bench_report(num_problems: int, num_draws: int, num_arms: int) -> dict[str, float]:
    """Returns seconds, memory (MiB) and size (MB) of a report of a base and some arms, made from their stores."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        fill_store(base, num_problems, num_draws)
        arms = [shutil.copytree(base, Path(folder) / f"arm-{number}") for number in range(num_arms)]
        page = Path(folder) / "report.html"
        command = [sys.executable, "-m", "probes", "report", *map(str, [base, *arms]), "--output", str(page)]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        return {"seconds": seconds, "memory_mib": memory, "page_mb": page.stat().st_size / 1e6}


def bench_import() -> dict[str, float]:
    """Returns the best of five times of `import probes` in a new interpreter, start-up excluded."""
    code = "import time; t = time.perf_counter(); import probes; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    times = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(5)]
    return {"seconds": min(times)}


def main() -> None:
    """Runs the benchmarks and prints one line each, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--measure", choices=(BARE, *ALGORITHMS), help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=8, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure_algorithm(args.measure, args.steps)))
        return
    as_json = args.json
    from bench_verifiers import bench_verifiers  # beside this script

    result = {
        "report": bench_report(num_problems=400, num_draws=1000, num_arms=8),  # first: memory is that of all children
        "import": bench_import(),
        "verifiers": bench_verifiers(),
        "plan": bench_plan(num_problems=500, max_draws=1024),
        "store": bench_store(num_problems=500, num_draws=2000),
        "engine": bench_engine(num_problems=20, num_rounds=3),
        "algorithms": bench_algorithms(num_rounds=3, steps=8),
        "kept": bench_kept(steps=8),
    }
    if as_json:
        print(json.dumps(result))
        return
    store, report = result["store"], result["report"]
    print(
        f"report of 8 arms and a base, 400,000 draws each: {report['seconds']:.1f} s (limit 30), "
        f"{report['memory_mib']:,.0f} MiB (limit 1,000), page of {report['page_mb']:.1f} MB (limit 8)"
    )
    print(
        f"store of 1,000,000 draws: written in {store['write_s']:.1f} s, counted in {store['count_s']:.1f} s "
        f"(limit 10), compared in {store['compare_s']:.2f} s (limit 5; 500 problems, 2,000 resamples, 11 values of k)"
    )
    for name, row in result["plan"].items():
        ratios = ", ".join(f"{row[f'se_ratio_pass@{k}']:.2f} at k = {k}" for k in PLAN_KS)
        print(
            f"plan, {name}: {row['times_fewer_draws']:.1f} times fewer draws than n = 1024; standard error {ratios} "
            "times (limits on math-like: at least 4, at most 1.3 at k = 256)"
        )
    print(f"keeping rollouts: {result['kept']['share']:.1%} of a training's time (limit: at most 2 %)")
    verifiers = result["verifiers"]
    for name, limit in (("probe", 8), ("distinct", 1.6)):
        row = verifiers[name]
        print(
            f"math verifier, {name}: {row['ratio']:.1f} times the verdicts per second of serial math-verify "
            f"({row['ours_per_s']:,.0f} to {row['serial_per_s']:,.0f}; limit: at least {limit}); {row['num']} answers, "
            f"{row['num_distinct']} of them distinct, {row['num_different']} verdicts differ"
        )
    print(f"judging: {verifiers['overhead']['ratio'] - 1:+.1%} of a probe's time (limit: at most 5 %)")
    engine = result["engine"]
    print(f"import probes: {result['import']['seconds']:.3f} s (limit 0.05)")
    print(
        f"engine against generate(num_return_sequences={NUM_RETURN}): {engine['ratio']:.2f} times the tokens "
        f"a second ({engine['ours_tokens_per_s']:,.0f} to {engine['generate_tokens_per_s']:,.0f}; limit: at least 1.8)"
    )
    for name, row in result["algorithms"].items():
        print(
            f"step, {name}: {row['ratio']:.2f} times bare GRPO's seconds ({row['step_s']:.2f} s), "
            f"{row['rollouts']:.0f} rollouts a step, peak memory {row['peak_bytes'] / 2**20:,.0f} MiB"
        )
    print("limit: grpo, rloo and reinforce-plus-plus at most 1.10; the others by their rollouts or the critic")


if __name__ == "__main__":
    main()
