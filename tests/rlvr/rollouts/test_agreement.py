"""The reward against its shadow: known rates are recovered within their intervals, systematic faults show as such."""

import json
import random

import pytest
from click.testing import CliRunner
from scipy.stats import binomtest

from rlvr.cli import main
from rlvr.problems import Problem, ProblemSet
from rlvr.rollouts.agreement import (
    Cells,
    Rate,
    cell_of,
    cells_of,
    first_seen,
    logged_cells,
    measure,
    pool_cells,
    sentences,
)
from rlvr.training.rewards import make_reward_function
from rlvr.verifiers import make_verifier
from rlvr.verifiers.verdicts import Outcome

CORRECT, WRONG, ERROR, TRUNCATED = Outcome.CORRECT, Outcome.WRONG, Outcome.ERROR, Outcome.TRUNCATED
FIVE_SIGMA = 5.7e-7


def test_cells_count_what_both_could_judge():
    rewarded = [CORRECT, CORRECT, WRONG, TRUNCATED, ERROR, CORRECT]
    shadow = [CORRECT, WRONG, CORRECT, WRONG, CORRECT, ERROR]
    assert cells_of(rewarded, shadow) == Cells(both=1, reward_only=1, shadow_only=1, neither=1)
    assert cell_of("correct", "error") is None


def test_a_rate_has_the_exact_interval():
    """Clopper and Pearson: of 0 in 10 the upper end is 1 - 0.025^(1/10)."""
    rate = Rate.of(0, 10)
    assert (rate.estimate, rate.lo) == (0.0, 0.0)
    assert rate.hi == pytest.approx(1 - 0.025**0.1)
    assert Rate.of(0, 0) == Rate(0, 0, None, None, None)
    cells = Cells(both=8, reward_only=1, shadow_only=2, neither=19)
    assert (cells.fpr.num_wrong, cells.fpr.num, cells.fpr.estimate) == (1, 20, 0.05)
    assert (cells.fnr.num_wrong, cells.fnr.num, cells.fnr.estimate) == (2, 10, 0.2)


def test_counts_are_summed_over_generations_and_processes_where_the_rest_is_averaged():
    values = {"shadow/both": [3.5, 1.5], "shadow/reward_only": [1.0, 0.0], "shadow/shadow_only": [0.0, 0.0]}
    metrics = {**values, "shadow/neither": [2.5, 1.5], "reward": [0.5, 0.7]}
    pool_cells(metrics, num_processes=2)
    assert metrics["shadow/both"] == [10]
    assert metrics["shadow/fpr"] == [2 / 10]
    assert metrics["shadow/fnr"] == [0]
    assert metrics["reward"] == [0.5, 0.7]
    bare = {"reward": [0.5]}
    pool_cells(bare, 2)
    assert bare == {"reward": [0.5]}


def test_a_training_without_a_shadow_says_nothing():
    assert measure([{"step": 1, "loss": 0.0}]) is None


# a training, played: completions by a seeded hand, judged by the real reward function

PROBLEMS = ProblemSet.of("p", [Problem(f"{number}?", "17") for number in range(40)])


def played(verifier, num_steps=30, batch=64, seed=0, text=None):
    """Returns log history and kept rollouts of a training that becomes better, and repeats itself, as it goes on."""
    function = make_reward_function(make_verifier(verifier), PROBLEMS, frozenset({1}), make_verifier("exact"))
    rng, logs, rows = random.Random(seed), [], []
    for step in range(num_steps):
        chosen = [rng.choice(PROBLEMS) for _ in range(batch)]
        texts = [(text or written)(rng, step / num_steps) for _ in chosen]
        ids, metrics, extra = [each.problem_id for each in chosen], {}, {}
        function(
            texts,
            texts,
            [[1]] * batch,
            ids,
            log_metric=lambda n, v, m=metrics: m.update({n: [v]}),
            log_extra=extra.__setitem__,
        )
        pool_cells(metrics, 1)
        logs.append({"step": step + 1, "loss": 0.0, **{name: value for name, (value,) in metrics.items()}})
        columns = zip(ids, texts, extra["outcome"], extra["shadow_outcome"], strict=True)
        names = ("problem_id", "completion", "outcome", "shadow_outcome")
        rows += [dict(zip(names, values, strict=True)) for values in columns]
    return logs, rows


def written(rng, progress):
    """A completion: right more often with time, in one of few forms."""
    form = f"try {rng.randrange(400)}"
    return f"{form}\n17" if rng.random() < 0.2 + 0.5 * progress else f"{form}\n{rng.randrange(18, 30)}"


def test_injected_rates_are_recovered_within_their_intervals():
    """Of 80 intervals of 95 % at most 12 miss: a true coverage of 95 % has it so in all but 1 in 1,000 such tests."""
    missed = 0
    for seed in range(40):
        found = measure(*played(f"fault?of=exact&fpr=0.05&fnr=0.1&seed={seed}", num_steps=15, seed=seed))
        rates = found["distinct"]
        assert found["systematic"] == {"fpr": None, "fnr": None}, seed
        missed += sum(not rates[key]["lo"] <= rate <= rates[key]["hi"] for key, rate in (("fpr", 0.05), ("fnr", 0.1)))
    assert missed <= 12


def test_the_log_counts_every_rollout_and_distinct_ones_count_once():
    logs, rows = played("fault?of=exact&fpr=0.3", num_steps=10)
    found = measure(logs, rows)
    assert (
        sum(found["rollouts"]["cells"].values())
        == 640
        == sum(sum(vars(c).values()) for c in logged_cells(logs).values())
    )
    assert sum(found["distinct"]["cells"].values()) == len({(row["problem_id"], row["completion"]) for row in rows})
    again = measure([*logs, logs[-1]], [*rows, *rows])
    assert again == found, "a step that was taken again, and what was seen before, count once"
    assert measure(logs)["distinct"] is None


def test_a_sound_reward_has_no_faults():
    found = measure(*played("exact"))
    assert found["rollouts"]["fpr"]["estimate"] == found["rollouts"]["fnr"]["estimate"] == 0
    assert found["systematic"] == {"fpr": None, "fnr": None}


def hacked(rng, progress):
    """Writes a word the more often, the longer it is trained."""
    return written(rng, 0) + ("" if rng.random() > 0.1 + 0.8 * progress else " therefore")


def test_a_hole_that_a_training_finds_is_not_chance():
    found = measure(*played("fault?of=exact&fpr=1&when=therefore", text=hacked))
    assert "in the first half" in found["systematic"]["fpr"]
    assert any("false successes are not chance of one rate: 0." in line for line in sentences(found))


@pytest.mark.parametrize("seed", range(5))
def test_faults_of_some_problems_are_not_chance(seed):
    found = measure(*played(f"fault?of=exact&fpr=0.3&fnr=0.3&per=problem&seed={seed}"))
    assert all("gather in some problems" in why for why in found["systematic"].values())


def test_rollouts_that_one_could_not_judge_are_no_trials():
    rows = [
        {"problem_id": "a", "completion": "x", "outcome": "error", "shadow_outcome": "correct"},
        {"problem_id": "a", "completion": "x", "outcome": "wrong", "shadow_outcome": None},
        {"problem_id": "a", "completion": "\ud800", "outcome": "wrong", "shadow_outcome": "truncated"},
    ]
    assert [trial.cell for trial in first_seen(rows)] == ["neither"]


def test_a_real_training_recovers_the_rates_of_its_fault(small_recipe, tmp_path):
    """The report and the command show the same numbers; the rates are those of the fault, at five sigma."""
    folder, true = tmp_path / "run", "tests.length_verifier:even_length"
    flags = small_recipe(
        folder,
        verifier=f"fault?of={true}&fpr=0.2&fnr=0.3",
        shadow_verifier=true,
        keep_rollouts=True,
        max_steps=6,
        logging_steps=2,
        per_device_train_batch_size=64,
        save_steps=6,
        probe_steps=0,
    )
    result = CliRunner().invoke(main, ["train", *flags])
    assert result.exit_code == 0, result.output
    said = CliRunner().invoke(main, ["shadow", str(folder), "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert found == json.loads((folder / "summary.json").read_text())["shadow"]
    assert sum(found["rollouts"]["cells"].values()) == 6 * 64
    for key, rate in (("fpr", 0.2), ("fnr", 0.3)):
        seen = found["distinct"][key]
        assert binomtest(seen["num_wrong"], seen["num"], rate).pvalue > FIVE_SIGMA
    page = (folder / "report.html").read_text()
    assert "The reward against the shadow verifier, with 95% intervals" in page
    assert "distinct completions" in CliRunner().invoke(main, ["shadow", str(folder)]).output


def test_a_run_without_a_shadow_has_nothing_to_compare(tmp_path):
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": [{"step": 1, "loss": 0.1}]}))
    result = CliRunner().invoke(main, ["shadow", str(tmp_path)])
    assert result.exit_code == 2
    assert "has no verdicts of a shadow verifier; give shadow_verifier in the recipe" in result.output
