"""Measure pass@k of the testbed's base on a problem set: `python scripts/measure_base.py countdown:beyond`."""

import argparse
import json
from pathlib import Path

from probes.arm import Sampling, arm_of
from probes.engines.transformers import TransformersEngine
from probes.plan import Plan
from probes.probe import render_prompts, run_probe
from probes.store import ProbeStore
from probes.summary import estimates
from rlvr.models import load_model, load_tokenizer, resolve_model
from rlvr.problems import load_problems
from rlvr.prompts import PromptFormat
from rlvr.verifiers import make_verifier


def main() -> None:
    """Probes the base in `runs/base` and prints pass@1, pass@16 and pass@256 as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", help="for example countdown:probe or countdown:beyond")
    parser.add_argument("--num_draws", type=int, default=512)
    arguments = parser.parse_args()
    source = resolve_model("testbed:countdown-tiny")
    tokenizer = load_tokenizer(source, None, trust_remote_code=False)
    model = load_model(source, None, trust_remote_code=False).eval()
    problems, prompt_format, verifier = load_problems(arguments.problems), PromptFormat(), make_verifier("countdown")
    arm = arm_of(model, tokenizer, prompt_format, Sampling(max_new_tokens=24))
    path = Path("runs/base") / f"{arm.arm_id}-{problems.content_id}"
    store, plan = ProbeStore.create(path, arm, problems), Plan.sequential(arguments.num_draws)
    store.set_plan(plan)
    prompts = render_prompts(problems, prompt_format, tokenizer)
    engine = TransformersEngine(model, tokenizer, arm)
    run_probe(engine, store, list(problems), prompts, plan, verifier)
    values = estimates(store.counts(verifier.verifier_id), [1, 16, 256], seed=0)
    print(json.dumps({k: {name: round(float(number), 4) for name, number in row.items()} for k, row in values.items()}))


if __name__ == "__main__":
    main()
