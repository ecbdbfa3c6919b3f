"""What the math verifier decides and what it takes, against math-verify called in one process.

    cases       verdicts on generated answers, right and wrong (`answer_cases.py`), of both
    lenient     "Therefore the result is $X$." with the golds of MATH-500 (`--math500 FILE`), and with wrong answers
    hostile     10,000 hostile answers among 2,000 honest ones
    probe       completions of a real probe (`smollm2_gsm8k.jsonl`: SmolLM2-135M-Instruct on GSM8K), duplicates included
    distinct    answers that are all different and that strings do not decide
    killed      what an answer that hangs costs beyond its deadline
    overhead    a probe of the testbed with its verifier against the same probe with one that only says wrong
    evaluated   distinct answers a second to families of reasoning-gym whose scorers evaluate, in the sandbox
    code        programs a second with 20 pairs of input and output, and with a problem, and so a start, for each pair
    own         seconds of 512 calls of an async verifier of one's own, each of which waits for a second
    judge       seconds of 512 calls of `judge`, each of which a local server answers after a second

One part alone: `--only hostile`. Record the completions anew from a store of draws:

    python scripts/bench_verifiers.py --record STORE
"""

import argparse
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from answer_cases import Case, honest_items, hostile_answers, made_cases, wrong_cases  # beside this script

from probes.engines.transformers import TransformersEngine
from probes.sampling.probe import render_prompts, run_probe
from probes.statistics.plan import Plan
from probes.store.arm import Sampling, arm_of
from probes.store.store import ProbeStore
from rlvr.models.loading import load_model, load_tokenizer, resolve_model
from rlvr.problems import Problem, ProblemSet, load_problems
from rlvr.problems.prompts import PromptFormat
from rlvr.problems.reasoning_gym import make_entries
from rlvr.verifiers import make_verifier
from rlvr.verifiers.answers.math import MathVerifier
from rlvr.verifiers.code.verifier import CodeVerifier
from rlvr.verifiers.reasoning_gym.families import EVALUATING
from rlvr.verifiers.reasoning_gym.verifier import ReasoningGymVerifier
from rlvr.verifiers.verdicts import Outcome, Verdict

RECORDED = Path(__file__).parent / "smollm2_gsm8k.jsonl"
TAIL_CHARS = 200  # of a completion: where its answer stands
Item = tuple[Problem, str]


def recorded_items() -> list[Item]:
    """Returns the recorded completions with their gold answers."""
    rows = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    return [(Problem(row["problem"], row["answer"]), row["completion"]) for row in rows]


def distinct_items(num: int) -> list[Item]:
    """Returns answers that are all different; half of them are right."""
    return [
        (Problem(f"q{i}", rf"\frac{{{i}x+1}}{{{i + 7}}}"), rf"So it is $\boxed{{({i * (1 + i % 2)}x+1)/{i + 7}}}$.")
        for i in range(1, num + 1)
    ]


def serial_seconds(items: Sequence[Item]) -> tuple[float, list[bool]]:
    """Returns seconds of math-verify, and its verdicts."""
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    start = time.perf_counter()
    found = [bool(verify(parse(f"${problem.answer}$"), parse(completion))) for problem, completion in items]
    return time.perf_counter() - start, found


def our_seconds(verifier: MathVerifier, items: Sequence[Item]) -> tuple[float, list[bool]]:
    """Returns seconds of the verifier, which remembers no verdict, and its verdicts."""
    verifier.memory.clear()
    start = time.perf_counter()
    found = [verdict.correct for verdict in verifier.verify(items)]
    return time.perf_counter() - start, found


def compare(items: Sequence[Item], num_rounds: int) -> dict[str, float]:
    """Returns the best times of both over the rounds, taken in turn, and how many verdicts differ.

    Both keep what sympy and the parser have learned from one round to the next; neither keeps a verdict.
    """
    verifier = MathVerifier()
    rounds = [(serial_seconds(items), our_seconds(verifier, items)) for _ in range(num_rounds)]
    verifier.close()
    serial, ours = min(serial[0] for serial, _ in rounds), min(ours[0] for _, ours in rounds)
    differ = sum(a != b for a, b in zip(rounds[0][0][1], rounds[0][1][1], strict=True))
    return {
        "num": len(items),
        "num_distinct": len({(problem.answer, completion) for problem, completion in items}),
        "serial_per_s": len(items) / serial,
        "ours_per_s": len(items) / ours,
        "ratio": serial / ours,
        "num_different": differ,
    }


def judge_cases(verifier: MathVerifier, cases: Sequence[Case], text: str) -> list[bool]:
    """Returns whether each answer, put into a text, is correct."""
    items = [(Problem("q", case.gold), text.replace("ANSWER", case.answer)) for case in cases]
    return [verdict.correct for verdict in verifier.verify(items)]


def bench_cases(golds: Sequence[str], num: int = 3000) -> dict[str, Any]:
    """Returns how many verdicts on generated cases are right: ours, and those of math-verify by itself."""
    cases = [*made_cases(num // 20), *wrong_cases(golds, num)]
    verifier = MathVerifier()
    ours = judge_cases(verifier, cases, r"\boxed{ANSWER}")
    verifier.close()
    _, bare = serial_seconds([(Problem("q", case.gold), rf"\boxed{{{case.answer}}}") for case in cases])
    right = [(mine == case.is_right, its == case.is_right) for case, mine, its in zip(cases, ours, bare, strict=True)]
    return {
        "num": len(cases),
        "ours_right": sum(mine for mine, _ in right),
        "math_verify_right": sum(its for _, its in right),
        "only_math_verify_right": [
            (case.kind, case.gold, case.answer)
            for case, (mine, its) in zip(cases, right, strict=True)
            if its and not mine
        ],
        "false_successes": sum(mine and not case.is_right for case, mine in zip(cases, ours, strict=True)),
    }


def bench_lenient(golds: Sequence[str], num_wrong: int = 3000) -> dict[str, int]:
    """Returns how many golds are right without a box, and how many wrong answers are."""
    verifier, text = MathVerifier(), "Therefore the result is $ANSWER$."
    right = judge_cases(verifier, [Case("gold", gold, gold, True) for gold in golds], text)
    wrong = judge_cases(verifier, wrong_cases(golds, num_wrong), text)
    verifier.close()
    return {"num": len(golds), "right": sum(right), "num_wrong": len(wrong), "false_successes": sum(wrong)}


def bench_hostile(num_hostile: int = 10_000, num_honest: int = 2_000) -> dict[str, Any]:
    """Returns the seconds of hostile answers among honest ones, and how many of these are right."""
    golds = ("x+1", r"\frac{1}{4}", "(1,2)", "x^2+2x+1", r"\sqrt{2}", "7", r"\{1,2\}", "x > 2")
    hostile = hostile_answers(num_hostile)
    items = [
        (kind, Problem("q", golds[n % len(golds)]), rf"\boxed{{{answer}}}") for n, (kind, answer) in enumerate(hostile)
    ]
    items += [("honest", Problem("q", gold), rf"\boxed{{{answer}}}") for gold, answer in honest_items(num_honest)]
    random.Random(0).shuffle(items)
    verifier = MathVerifier()
    start = time.perf_counter()
    verdicts = verifier.verify([(problem, completion) for _, problem, completion in items])
    seconds = time.perf_counter() - start
    num_workers = verifier.pool.num_workers
    verifier.close()
    outcomes = Counter(
        f"{'honest' if kind == 'honest' else 'hostile'} {verdict.outcome}"
        for (kind, _, _), verdict in zip(items, verdicts, strict=True)
    )
    return {
        "num": len(items),
        "kinds": len({kind for kind, _ in hostile}),
        "workers": num_workers,
        "s": seconds,
    } | outcomes


def bench_killed(num: int = 100, deadline_s: float = 0.25) -> dict[str, float]:
    """Returns the seconds per power tower, which hangs sympy, of one worker alone."""
    verifier = MathVerifier(num_workers=1, deadline_s=deadline_s)
    verifier.verify([(Problem("warm", "x+1"), r"\boxed{1+x}")])
    items = [(Problem("q", "x+1"), rf"\boxed{{{9 + number}^{{9^{{9^{{9}}}}}}}}") for number in range(num)]
    seconds, _ = our_seconds(verifier, items)
    verifier.close()
    return {"num": num, "deadline_s": deadline_s, "s_per_answer": seconds / num}


def bench_evaluated(num: int = 600) -> dict[str, float]:
    """Returns answers a second, for each family, after the first ones have started the workers."""
    verifier = ReasoningGymVerifier()
    rates = {}
    for family, what in EVALUATING.items():
        metas = [{"family": family, "config": {}, "seed": 0, "index": index} for index in range(10)]
        made = make_entries(verifier.sandboxed, metas)
        problems = [Problem(*entry, meta) for entry, meta in zip(made, metas, strict=True)]
        texts = [f"[{i}, 2, 3]" if what == "eval" else f"{i} + 3*(4 - 2)/{i + 1}" for i in range(num + 100)]
        items = [(problems[i % 10], f"<answer>{text}</answer>") for i, text in enumerate(texts)]
        verifier.verify(items[num:])
        start = time.perf_counter()
        verifier.verify(items[:num])
        rates[family] = num / (time.perf_counter() - start)
    verifier.close()
    return rates


def bench_code(num: int = 6, num_pairs: int = 20) -> dict[str, float]:
    """Returns programs a second whose runs share a sandbox, and of the same runs with a sandbox for each."""
    pairs = [(f"{number} 1\n", f"{number + 1}\n") for number in range(num_pairs)]
    whole = [Problem("Add.", "-", {"inputs": [i for i, _ in pairs], "outputs": [o for _, o in pairs]})]
    split = [Problem(f"Add {i}.", "-", {"inputs": [i], "outputs": [o]}) for i, o in pairs]
    rates = {}
    for name, problems in (("together", whole), ("apart", split)):
        verifier = CodeVerifier()
        programs = [f"a, b = map(int, input().split())\nprint(a + b)  # {number}" for number in range(num)]
        items = [(problem, f"```python\n{program}\n```") for program in programs for problem in problems]
        start = time.perf_counter()
        if not all(verdict.correct for verdict in verifier.verify(items)):
            raise RuntimeError("the bench's programs are right, and not all passed")
        rates[name] = num / (time.perf_counter() - start)
    return {"num_pairs": num_pairs, "together_per_s": rates["together"], "apart_per_s": rates["apart"],
            "ratio": rates["together"] / rates["apart"]}  # fmt: skip


WAITS = """
import asyncio

async def judge(problem, completion):
    await asyncio.sleep(1)
    return True
"""


def bench_own(num: int = 512, concurrency: int = 64) -> dict[str, float]:
    """Returns the seconds of calls that wait."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "waiting_judge.py").write_text(WAITS, encoding="utf-8")
        sys.path.insert(0, folder)
        verifier = make_verifier(f"waiting_judge:judge?concurrency={concurrency}&deadline=30")
        start = time.perf_counter()
        verdicts = verifier.verify([(Problem("q", "1"), str(number)) for number in range(num)])
        seconds = time.perf_counter() - start
        verifier.close()
        sys.path.remove(folder)
    return {"num": num, "concurrency": concurrency, "s": seconds, "num_correct": sum(v.correct for v in verdicts)}


class _Waits(BaseHTTPRequestHandler):
    """A judge that takes a second to say that an answer is right."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answers one call."""
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(1)
        choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": '{"verdict": "correct"}'}}
        content = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    """A server to which many clients connect at once."""

    daemon_threads = True
    request_queue_size = 1024


def bench_judge(num: int = 512, concurrency: int = 64) -> dict[str, float]:
    """Returns the seconds of calls of a judge."""
    server = _Server(("127.0.0.1", 0), _Waits)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["RLVR_JUDGE_BASE_URL"] = f"http://127.0.0.1:{server.server_port}/v1"
    verifier = make_verifier(f"judge?model=m&concurrency={concurrency}")
    start = time.perf_counter()
    verdicts = verifier.verify([(Problem("q", "1"), str(number)) for number in range(num)])
    seconds = time.perf_counter() - start
    server.shutdown()
    return {"num": num, "concurrency": concurrency, "s": seconds, "num_correct": sum(v.correct for v in verdicts)}


class _SaysWrong:
    """A verifier that costs nothing."""

    verifier_id = "says-wrong@1"

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Does nothing."""

    def verify(self, items: Sequence[Item]) -> list[Verdict]:
        """Returns that everything is wrong."""
        return [Verdict(Outcome.WRONG)] * len(items)

    def close(self) -> None:
        """Does nothing."""


def probe_seconds(model: Any, tokenizer: Any, problems: ProblemSet, verifier: Any) -> float:
    """Returns seconds of one probe with a fixed number of draws."""
    prompt_format, sampling, plan = PromptFormat(), Sampling(max_new_tokens=24), Plan.fixed(128)
    arm = arm_of(model, tokenizer, prompt_format, sampling)
    prompts = render_prompts(problems, prompt_format, tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        store = ProbeStore.create(Path(folder) / "store", arm, problems)
        start = time.perf_counter()
        run_probe(TransformersEngine(model, tokenizer, arm), store, list(problems), prompts, plan, verifier)
        return time.perf_counter() - start


def bench_overhead(num_rounds: int = 3) -> dict[str, float]:
    """Returns how much longer a probe of the testbed takes because its draws are judged; the two take turns."""
    source = resolve_model("testbed:countdown-tiny")
    tokenizer = load_tokenizer(source, None, False)
    model = load_model(source, None, False, dtype="float32").eval()
    problems = load_problems("countdown:probe?num=40")
    times: dict[str, list[float]] = {"judged": [], "not": []}
    for _ in range(num_rounds):
        times["judged"].append(probe_seconds(model, tokenizer, problems, make_verifier("countdown")))
        times["not"].append(probe_seconds(model, tokenizer, problems, _SaysWrong()))
    judged, alone = statistics.median(times["judged"]), statistics.median(times["not"])
    return {"judged_s": judged, "alone_s": alone, "ratio": judged / alone}


def bench_verifiers(golds: Sequence[str] = (), only: str | None = None, num_rounds: int = 3) -> dict[str, Any]:
    """Returns the parts of this script's list, or one of them; those over golds are left out where there are none."""
    parts: dict[str, Any] = {
        "hostile": bench_hostile,
        "probe": lambda: compare(recorded_items(), num_rounds),
        "distinct": lambda: compare(distinct_items(1000), num_rounds),
        "killed": bench_killed,
        "evaluated": bench_evaluated,
        "code": bench_code,
        "own": bench_own,
        "judge": bench_judge,
        "overhead": lambda: bench_overhead(num_rounds),
    }
    if golds:
        parts |= {"cases": lambda: bench_cases(golds), "lenient": lambda: bench_lenient(golds)}
    return {name: part() for name, part in parts.items() if only in (None, name)}


def record(store: Path) -> None:
    """Writes the tails of a store's completions and their gold answers."""
    opened = ProbeStore.open_existing(store)
    problems = {problem.problem_id: (row, problem.answer) for row, problem in enumerate(opened.problems())}
    draws = sorted(opened.draws(), key=lambda draw: (problems[draw.problem_id][0], draw.draw_index))
    with RECORDED.open("w", encoding="utf-8") as file:
        for draw in draws:
            row, answer = problems[draw.problem_id]
            line = {"problem": f"problem {row}", "answer": answer, "completion": draw.completion[-TAIL_CHARS:]}
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, metavar="STORE")
    parser.add_argument("--math500", type=Path, metavar="FILE", help="JSONL with the golds of MATH-500 as `answer`.")
    parser.add_argument("--only", metavar="PART")
    args = parser.parse_args()
    if args.record:
        record(args.record)
    else:
        lines = args.math500.read_text(encoding="utf-8").splitlines() if args.math500 else []
        print(json.dumps(bench_verifiers([json.loads(line)["answer"] for line in lines], args.only), indent=1))
