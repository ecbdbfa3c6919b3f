r"""reasoning-gym's families as problem sets and as verifier: identity, scores, hostile answers."""

from importlib.util import find_spec

import pytest

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems import Problem, load_problems
from rlvr.problems import reasoning_gym as entries
from rlvr.verifiers import make_verifier
from rlvr.verifiers.reasoning_gym.verifier import ReasoningGymVerifier, answer_of
from rlvr.verifiers.verdicts import Outcome

needs_package = pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="reasoning-gym is not installed")


@pytest.fixture(scope="module")
def verifier():
    made = ReasoningGymVerifier(deadline_s=60.0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared():
    """A pool that stays when it is closed: each start of its servers takes seconds."""
    pool = entries.entry_pool(entries.ENTRY_DEADLINE_S)
    end, pool.close = pool.close, lambda: None
    yield pool
    end()


@pytest.fixture
def started(shared, monkeypatch):
    """Problem sets are made by servers that run already."""
    monkeypatch.setattr(entries, "entry_pool", lambda _: shared)


@needs_package
def test_a_family_is_a_problem_set_and_its_answers_are_correct(verifier):
    problems = load_problems("reasoning_gym:chain_sum?num=12&seed=1&min_terms=2")
    assert len(problems) == 12
    verifier.check_problems(list(problems))
    right = verifier.verify([(problem, f"Let me see. <answer>{problem.answer}</answer>") for problem in problems])
    assert [verdict.outcome for verdict in right] == [Outcome.CORRECT] * 12
    assert right[0].reason == "score 1"
    wrong = verifier.verify([(problems[0], text) for text in ("<answer>x</answer>", "", r"\boxed{1.5}", "9" * 20_000)])
    assert [verdict.outcome.value for verdict in wrong] == ["wrong", "unparsed", "wrong", "wrong"]


@needs_package
@pytest.mark.slow
def test_every_family_makes_an_entry_again_and_accepts_its_own_answer(verifier):
    """Families whose entries have no answer of their own, only rules, are judged too, and their answer is empty."""
    families, _ = verifier.pool.run([("names", "gcd")], entries.as_names)[0]
    metas = [{"family": family, "config": {}, "seed": 3, "index": 1} for family in families]
    made = entries.make_entries(verifier.pool, metas)
    problems = [Problem(*entry, meta) for entry, meta in zip(made, metas, strict=True)]
    verifier.check_problems(problems)
    answered = [problem for problem in problems if problem.answer]
    verdicts = verifier.verify([(problem, f"<answer>{problem.answer}</answer>") for problem in answered])
    refused = {p.meta["family"]: v for p, v in zip(answered, verdicts, strict=True) if not v.correct}
    assert refused == {}
    assert len(answered) >= 95


@needs_package
def test_identity_depends_on_the_entry_and_not_on_how_many_are_asked_for(started):
    few, more = load_problems("reasoning_gym:gcd?num=3"), load_problems("reasoning_gym:gcd?num=5")
    assert [problem.problem_id for problem in few] == [problem.problem_id for problem in more][:3]
    other = load_problems("reasoning_gym:gcd?num=3&seed=1")
    assert not {problem.problem_id for problem in few} & {problem.problem_id for problem in other}


@needs_package
@pytest.mark.parametrize("family", ["isomorphic_strings", "word_ladder"])
def test_families_that_depend_on_the_hash_seed_are_the_same_in_every_process(family, verifier, monkeypatch):
    """Their entries come from the order of a set; a resumed run would have been refused as one of other problems."""
    spec = f"reasoning_gym:{family}?num=4"
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    first = load_problems(spec)
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    assert load_problems(spec).content_id == first.content_id
    verifier.check_problems(list(first))


@needs_package
def test_repeated_entries_count_once(started):
    problems = load_problems("reasoning_gym:chain_sum?num=60&min_terms=2&max_terms=2&min_digits=1&max_digits=1")
    assert len({problem.question for problem in problems}) == len(problems)
    assert problems.num_duplicates == 60 - len(problems)


@needs_package
def test_partial_scores_are_wrong_below_the_threshold(verifier, started):
    """The base class of all families gives an answer that holds more than the gold answer a part of the score."""
    problem = load_problems("reasoning_gym:caesar_cipher?num=1")[0]
    item = (problem, f"<answer>{problem.answer} </answer> and <answer>{problem.answer} x</answer>")
    verdict = verifier.verify([item])[0]
    assert verdict.outcome is Outcome.WRONG
    assert 0 < float(verdict.reason.removeprefix("score ")) < 1
    loose = make_verifier("reasoning_gym?threshold=0.1")
    assert loose.verify([item])[0].outcome is Outcome.CORRECT
    assert loose.verifier_id == verifier.verifier_id.replace("1.0", "0.1")
    loose.close()


@needs_package
def test_answers_that_are_evaluated_can_neither_hang_nor_write_nor_start_programs(
    verifier, started, tmp_path, monkeypatch
):
    """string_insertion gives an answer of the form of a list to `eval`; spiral_matrix and puzzle24 evaluate, too."""
    monkeypatch.setattr(verifier.sandboxed, "deadline_s", 2.0)
    problem = load_problems("reasoning_gym:string_insertion?num=1")[0]
    file = tmp_path / "made"
    hostile = [
        f"[open({str(file)!r}, 'w').write('x')]",
        f"[__import__('os').system('touch {file}')]",
        f"[__import__('subprocess').run(['touch', {str(file)!r}])]",
        f"[__import__('pathlib').Path({str(file)!r}).mkdir()]",
        "[__import__('os').kill(__import__('os').getppid(), 9)]",
        "[__import__('os')._exit(3)]",
        "[exit(3)]",
        "[9**9**9**9]",
        "['a' * 10**12]",
        "[" * 3000,
    ]
    items = [(problem, f"<answer>{text}</answer>") for text in (*hostile, problem.answer)]
    verdicts = verifier.verify(items)
    assert not file.exists()
    assert all(verdict.outcome is not Outcome.CORRECT for verdict in verdicts[:-1])
    assert verdicts[-1].outcome is Outcome.CORRECT
    assert verdicts[hostile.index("[9**9**9**9]")].outcome is Outcome.TIMEOUT


@needs_package
def test_an_entry_that_the_installed_version_makes_differently_is_an_error(verifier, started):
    made = load_problems("reasoning_gym:gcd?num=1")[0]
    other = Problem("Another question", made.answer, made.meta)
    assert verifier.verify([(other, "3"), (Problem("q", "3"), "3")])[0].outcome is Outcome.ERROR
    with pytest.raises(ProblemError, match="2 of 3 problems cannot be judged by the reasoning_gym verifier") as caught:
        verifier.check_problems([made, other, Problem("q", "3")])
    assert "made again, it differs" in str(caught.value)
    assert "no entry is named" in str(caught.value)


@needs_package
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("chain_sam", "did you mean 'chain_sum'"),
        ("chain_sum?min_term=2", "unknown option 'min_term'; did you mean 'min_terms'"),
        ("chain_sum?size=3", "unknown option 'size'"),
        ("chain_sum?min_terms=9&max_terms=3", "max_terms must be >= min_terms"),
        ("chain_sum?num=20000", "expected at most 4000"),
        ("composite", "join families with ' + '"),
    ],
)
def test_a_bad_spec_is_one_clear_error(spec, message, started):
    with pytest.raises(ProblemError) as caught:
        load_problems(f"reasoning_gym:{spec}")
    assert message in str(caught.value)


@needs_package
@pytest.mark.parametrize("threshold", ["0", "1.5", "x"])
def test_a_bad_threshold(threshold):
    with pytest.raises(RecipeError, match=f"threshold is '{threshold}'"):
        make_verifier(f"reasoning_gym?threshold={threshold}")


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(entries, "PACKAGE", "reasoning-gym-that-is-absent")
    with pytest.raises(RecipeError, match="is not installed; run: pip install"):
        make_verifier("reasoning_gym")
    with pytest.raises(RecipeError, match="is not installed"):
        load_problems("reasoning_gym:chain_sum")


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("<answer>1</answer> <answer>\n2\n</answer>", "2"),
        (r"<answer>1</answer> \boxed{2}", "1"),
        (r"\boxed{2}", "2"),
        (" a\nb ", "a\nb"),
        ("<answer> </answer>", ""),
        ("<answer>" * 20_000, "<answer>" * 20_000),
    ],
)
def test_where_the_answer_stands(completion, answer):
    assert answer_of(completion) == answer
