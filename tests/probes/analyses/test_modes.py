"""Two modes of a verifier over the first draws, by hand, and what the report says of them."""

import numpy as np
import pytest

from probes.analyses.modes import Modes, compare_modes
from probes.results.cautions import mode_cautions
from probes.results.runs import ArmRun, describe
from probes.statistics.outcomes import CODES, NOT_DRAWN, Outcomes
from rlvr.verifiers.verdicts import Outcome

C, W, U = (CODES[outcome] for outcome in (Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED))


def outcomes(*rows):
    return Outcomes(("p", "q"), (None, None), np.array(rows, dtype=np.int8))


def test_both_modes_are_read_from_the_draws_that_every_problem_has():
    shown = outcomes([C, C, W, W, W, W], [C, W, C, C, NOT_DRAWN, NOT_DRAWN])
    other = outcomes([C, U, U, W, C, C], [C, U, U, U, NOT_DRAWN, NOT_DRAWN])
    assert compare_modes(shown, other, 4) == Modes(4, pytest.approx(5 / 8), pytest.approx(2 / 8), 3)


def test_the_report_says_which_mode_is_shown_and_what_the_other_one_gives():
    probe = {"step": 0, "label": "step 0", "modes": {"num_draws": 32, "shown": 0.5, "other": 0.25, "num_changed": 1200}}
    lines = mode_cautions({"verifier": "math@2?mode=lenient&format=boxed", "probes": [probe]})
    assert lines == [
        "Verifier mode: lenient is shown. In the strict mode, pass@1 over the first 32 draws of each problem is 0.250 "
        "in place of 0.500 at step 0 (1,200 draws differ)."
    ]
    assert mode_cautions({"verifier": "countdown@1", "probes": [{"step": 0, "modes": None}]}) == []


def test_a_comparison_says_it_for_each_of_its_runs(tmp_path):
    probe = {"step": 0, "label": "step 0", "modes": {"num_draws": 32, "shown": 0.5, "other": 0.25, "num_changed": 1200}}
    run = {"algorithm": "grpo", "model": "m", "facts": {}}
    summaries = (
        ("grpo-42", {"verifier": "math@2?mode=strict&format=boxed", "probes": [probe], "run": run}),
        ("rloo-42", {"verifier": "countdown@1", "probes": [{"step": 0, "label": "step 0"}], "run": run}),
    )
    found = describe("both", [ArmRun(name, 42, tmp_path / name, summary) for name, summary in summaries], {})["notes"]
    found = [line for line in found if "Verifier mode" in line]
    assert len(found) == 1
    assert found[0].startswith("grpo-42: Verifier mode: strict is shown. In the lenient mode, pass@1 ")
