"""Demonstrations: what is kept, what it cost, where it comes from."""

import json
from itertools import permutations, product

import pytest
from click.testing import CliRunner

from rlvr.cli import main
from rlvr.errors import ProblemError
from rlvr.problems import load_problems
from rlvr.problems.countdown import solutions
from rlvr.problems.prompts import PromptFormat
from rlvr.training.demonstrations import (
    Candidate,
    choose,
    count_rollouts,
    count_tokens,
    judged,
    make_rows,
    read_completions,
    solved,
)
from rlvr.verifiers import make_verifier

PROBLEMS = load_problems("countdown:train?num=8")


def candidates(*rows):
    return [Candidate(PROBLEMS[i], text, ok, tokens) for i, text, ok, tokens in rows]


def test_only_distinct_correct_completions_are_kept_up_to_a_number():
    found = choose(
        candidates((0, "a", True, 2), (0, "a", True, 2), (0, "b", True, 2), (0, "c", False, 2), (1, "d", False, 3)),
        PROBLEMS,
        4,
        0,
    )
    assert sorted(found.pairs, key=lambda pair: pair[1]) == [(PROBLEMS[0], "a"), (PROBLEMS[0], "b")]
    assert (found.num_candidates, found.num_completion_tokens, found.num_unsolved) == (5, 11, 7)


def test_the_choice_is_the_seeds_and_not_the_orders():
    rows = [(0, text, True, 1) for text in "abcdefgh"]
    one = choose(candidates(*rows), PROBLEMS, 3, seed=1)
    assert one == choose(candidates(*reversed(rows)), PROBLEMS, 3, seed=1)
    assert len(one.pairs) == 3
    assert one.content_id != choose(candidates(*rows), PROBLEMS, 3, seed=2).content_id


def test_nothing_correct_is_an_error():
    with pytest.raises(ProblemError, match="none of 1 completions is correct"):
        choose(candidates((0, "a", False, 1)), PROBLEMS, 3, 0)


def test_the_cost_counts_prompts_and_wrong_completions_and_is_unknown_for_a_solver():
    found = choose(candidates((0, "a", True, 2), (1, "b", False, 3)), PROBLEMS, 3, 0)
    assert count_rollouts(found) == 2
    assert count_tokens(found, {problem.problem_id: 10 for problem in PROBLEMS}) == 25
    exhaustive = choose(solved(PROBLEMS), PROBLEMS, 3, 0)
    assert count_rollouts(exhaustive) is None
    assert count_tokens(exhaustive, {}) is None


def test_the_solver_finds_all_and_nothing_else():
    """Brute force over all orders, operators and both ways to put parentheses around three numbers."""

    def brute(numbers, target):
        values = set()
        for (a, b, c), (f, g) in product(permutations(numbers), product("+-*", repeat=2)):
            for text in (f"({a}{f}{b}){g}{c}", f"{a}{f}({b}{g}{c})"):
                if eval(text) == target:
                    values.add((a, f, b, g, c, text[0] == "("))
        return bool(values)

    verifier = make_verifier("countdown")
    for problem in load_problems("countdown:train?num=60"):
        found = solutions(tuple(problem.meta["numbers"]), problem.meta["target"])
        assert found
        assert len(set(found)) == len(found)
        assert all(candidate.correct for candidate in judged([(problem, text) for text in found], verifier))
    for target in range(1, 60):
        assert bool(solutions((3, 5, 7), target)) == brute((3, 5, 7), target)


def test_the_rows_have_the_loss_on_the_completion_and_its_end(tiny_tokenizer):
    found = choose(candidates((0, "1+2", True, 4)), PROBLEMS, 3, 0)
    (row,) = make_rows(found, PromptFormat(), tiny_tokenizer)
    prompt = tiny_tokenizer(PROBLEMS[0].question)["input_ids"]
    assert row["input_ids"][: len(prompt)] == prompt
    assert row["completion_mask"] == [0] * len(prompt) + [1] * 4
    assert tiny_tokenizer.decode(row["input_ids"][len(prompt) :]) == "1+2<eos>"


def write(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_a_file_of_completions_is_matched_by_id_or_question(tmp_path):
    one, two = PROBLEMS[0], PROBLEMS[1]
    rows = [{"problem_id": one.problem_id, "completion": "a"}, {"question": two.question, "completion": "b"}]
    path = write(tmp_path / "t.jsonl", *rows, "", {"question": "of another set", "completion": "c"})
    assert read_completions(path, PROBLEMS) == [(one, "a"), (two, "b")]


def test_a_file_with_a_mark_of_byte_order_and_odd_ends_of_lines_in_its_texts_is_read(tmp_path):
    rows = [{"problem_id": PROBLEMS[i].problem_id, "completion": f"a\u2028b\u0085\x1c{i}"} for i in range(2)]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "t.jsonl").write_text("\ufeff" + text, encoding="utf-8", newline="")
    found = read_completions(tmp_path / "t.jsonl", PROBLEMS)
    assert found == [(PROBLEMS[i], f"a\u2028b\u0085\x1c{i}") for i in range(2)]


@pytest.mark.parametrize(
    ("row", "message"),
    [("{", "is not JSON"), ({"question": "1"}, "has no text `completion`"), ({"completion": "1"}, "none of 1 rows")],
)
def test_a_file_that_cannot_be_used_is_refused(row, message, tmp_path):
    with pytest.raises(ProblemError, match=message):
        read_completions(write(tmp_path / "t.jsonl", row), PROBLEMS)


@pytest.mark.parametrize(
    ("recipe", "flags", "message"),
    [
        ("distill", ["--teacher", ""], "teacher: missing"),
        ("rft", ["--teacher", "solver"], "teacher: 'solver' is given, but rft has none"),
        ("grpo", ["--teacher", "solver"], "teacher: 'solver' is given, but grpo has none"),
        ("distill", ["--teacher_draws", "0"], "teacher_draws: 0 is below 1"),
        ("distill", ["--teacher_max_kept", "0"], "teacher_max_kept: 0 is below 1"),
    ],
)
def test_a_teacher_that_does_not_fit_is_one_clear_error(recipe, flags, message):
    command = ["train", "--config", f"recipes/countdown-tiny/{recipe}.yaml", "--dry-run", *flags]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert message in result.output


def test_joint_problem_sets_are_one():
    joint = load_problems("countdown:train?num=5 + countdown:train?num_numbers=4&num=3")
    assert [len(problem.meta["numbers"]) for problem in joint] == [3] * 5 + [4] * 3
    twice = load_problems("countdown:train?num=5 + countdown:train?num=5")
    assert (len(twice), twice.num_duplicates) == (5, 5)
