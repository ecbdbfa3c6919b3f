"""Training rollouts on the page of a run: a bounded choice, escaped, counted in full."""

from probes.report.page import render_run
from probes.report.rollouts import EACH, MAX_PROBLEMS, TEXT_CHARS, choose_rollouts


def row(step, problem="p0", text="text", outcome="wrong"):
    return {
        "step": step, "problem_id": problem, "completion": text, "num_tokens": 3, "outcome": outcome,
        "advantage": None, "reward_accuracy": 0.0,
    }  # fmt: skip


def test_the_first_and_the_last_rollouts_of_a_problem_are_shown_and_all_are_counted():
    found = choose_rollouts(row(step, outcome="correct" if step > 6 else "wrong") for step in range(10))
    (problem,) = found.problems
    assert (found.num, found.num_problems, problem.num, problem.num_correct) == (10, 1, 10, 3)
    assert [each["step"] for each in problem.shown] == [0, 1, 2, 7, 8, 9]
    assert [each["step"] for each in choose_rollouts(row(step) for step in range(EACH + 1)).problems[0].shown] == [
        0,
        1,
        2,
        3,
    ]
    assert choose_rollouts([]) is None


def test_the_choice_of_problems_is_bounded_and_does_not_depend_on_their_order():
    rows = [row(step, f"p{number}") for step in range(2) for number in range(300)]
    found, other = choose_rollouts(rows), choose_rollouts(sorted(rows, key=lambda each: each["problem_id"]))
    assert found.num_problems == 300
    assert len(found.problems) == MAX_PROBLEMS
    assert [each.problem_id for each in found.problems] == [each.problem_id for each in other.problems]
    assert all(each.num == 2 for each in found.problems)


def test_the_page_shows_them_as_text(make_summary):
    hostile = "<script>alert(1)</script>\u202e\x07"
    long = "a" * TEXT_CHARS + "middle" + "z" * TEXT_CHARS
    rows = [row(0, hostile, hostile, "correct"), row(1, hostile, long)]
    page = render_run("r", make_summary(), "none", choose_rollouts(rows))
    assert "Training rollouts" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\u202e" not in page
    assert "2 rollouts of 1 problem were kept" in page
    assert "1 of 2 correct" in page
    assert "(706 characters left out)" in page
    assert "Training rollouts" not in render_run("r", make_summary(), "none")
    assert "Not shown: <bdi" in render_run("r", make_summary(), "none", "file x: damaged")
