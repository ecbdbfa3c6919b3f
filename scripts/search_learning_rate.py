"""Search the learning rate of each algorithm on the testbed's training problems.

    python scripts/search_learning_rate.py --recipes recipes/countdown-tiny --steps 75 --output runs/search

Every recipe gets the same candidates. A candidate's figure is pass@1 on 200 *training* problems after the steps, 32
draws each; no held-out problem is looked at. Finished runs are not run again. Prints a table, and writes search.json.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

RECIPES = (
    "grpo",
    "rloo",
    "reinforce-plus-plus",
    "reinforce-plus-plus-baseline",
    "remax",
    "dapo",
    "ppo",
    "distill",
    "rft",
)
MEASURE = {
    "probe_problems": "countdown:train?num=200&seed=7",
    "probe_steps": 0,
    "probe_k_max": 1,
    "probe_max_draws": 32,
    "probe_stop_at": 0,
    "probe_num_scored": 0,
    "save_strategy": "no",
    "report_to": "none",
}


def pass_at_1(recipe: Path, rate: float, steps: int, output: Path) -> tuple[float, float]:
    """Returns pass@1 on training problems before and after a run."""
    flags = {"learning_rate": rate, "max_steps": steps, "output_dir": output, "probe_store": output.parent / "stores"}
    pairs = [f"--{key}={value}" for key, value in {**MEASURE, **flags}.items()]
    command = [sys.executable, "-m", "rlvr", "train", "--config", str(recipe), "--json", *pairs]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    probes = json.loads(found.splitlines()[-1])["probes"]
    return tuple(probe["pass@k"]["1"]["estimate"] for probe in (probes[0], probes[-1]))


def main() -> None:
    """Runs the search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", type=Path, default=Path("recipes/countdown-tiny"))
    parser.add_argument("--only", nargs="*", default=RECIPES)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-4, 3e-4, 1e-3])
    parser.add_argument("--steps", type=int, default=75)
    parser.add_argument("--output", type=Path, default=Path("runs/search"))
    args = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    table = Table("recipe", *map(str, args.rates), "best", title="pass@1 on training problems, after minus before")
    for name in args.only:
        gains = {}
        for rate in args.rates:
            before, after = pass_at_1(args.recipes / f"{name}.yaml", rate, args.steps, args.output / f"{name}-{rate}")
            gains[str(rate)] = round(after - before, 4)
        found[name] = gains
        table.add_row(name, *(f"{gain:+.3f}" for gain in gains.values()), max(gains, key=gains.__getitem__))
        (args.output / "search.json").write_text(json.dumps({"steps": args.steps, "gains": found}, indent=1))
    Console().print(table)


if __name__ == "__main__":
    main()
