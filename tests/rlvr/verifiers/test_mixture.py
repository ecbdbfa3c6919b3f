"""Mixtures: each problem goes to the verifier that it names, and a name in a row runs no code that nobody has named."""

import json

import pytest

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems import Problem, ProblemSet, load_problems
from rlvr.verifiers import make_verifier, needs_trust, verifier_for
from rlvr.verifiers.verdicts import Outcome

OURS = "tests.length_verifier:even_length"


def named(verifier, question="q", answer="17"):
    return Problem(question, answer, {} if verifier is None else {"verifier": verifier})


def set_of(*names, trusted=()):
    problems = [named(name, f"{place}?") for place, name in enumerate(names)]
    return ProblemSet.of("rows", problems, frozenset(trusted))


def test_problems_that_name_none_leave_the_verifier_as_it_is():
    default = make_verifier("exact")
    assert verifier_for(set_of(None, None), "exact", like=default) is default
    assert verifier_for(set_of(None), "exact").verifier_id == default.verifier_id


def test_each_problem_goes_to_the_verifier_that_it_names():
    """17.0 is the number 17 and another string."""
    problems = set_of("numeric", None, "exact", "numeric?tolerance=0.9&kind=relative")
    verifier = verifier_for(problems, "exact")
    verifier.check_problems(list(problems))
    verdicts = verifier.verify([(problem, "17.0") for problem in problems])
    assert [verdict.correct for verdict in verdicts] == [True, False, False, True]
    verdicts = verifier.verify([(problem, "9") for problem in problems])
    assert [verdict.correct for verdict in verdicts] == [False, False, False, True]


def test_the_id_covers_the_parts_that_the_problems_name():
    exact, numeric = make_verifier("exact").verifier_id, make_verifier("numeric").verifier_id
    found = verifier_for(set_of("numeric", None), "exact").verifier_id
    assert found == f"mixture@1(of={exact};{numeric})"
    assert verifier_for(set_of(None, "numeric"), "exact").verifier_id == found
    assert verifier_for(set_of("numeric", "choice"), "exact").verifier_id != found
    opened = verifier_for(set_of("numeric", None), "exact", think="open").verifier_id
    assert opened.count("think=open") == 2
    mixture = verifier_for(set_of("numeric", None), "mixture?of=exact&think=open")
    assert mixture.verifier_id == opened


def test_reasoning_is_left_out_by_every_part():
    problems = set_of("numeric", None)
    opened = verifier_for(problems, "exact", think="open")
    text = "<think>18"
    assert {verdict.outcome for verdict in opened.verify([(each, text) for each in problems])} == {Outcome.UNPARSED}
    assert all(verdict.correct for verdict in opened.verify([(each, "18</think>17") for each in problems]))
    off = verifier_for(problems, "exact", think="off")
    assert off.verify([(problems[0], "<think>17")])[0].correct


def test_a_part_names_the_problem_that_it_cannot_judge():
    problems = ProblemSet.of("rows", [named(None, answer="Paris"), named("numeric", answer="Paris")])
    with pytest.raises(ProblemError, match="1 of 1 problems cannot be judged by the numeric verifier"):
        verifier_for(problems, "exact").check_problems(list(problems))


def test_graded_scores_are_kept_and_other_modes_are_not():
    text = "tests.rlvr.verifiers.test_mixture:half"
    problems = set_of("math", None)
    verifier = verifier_for(problems, text)
    graded, judged = verifier.verify([(problems[1], "x"), (problems[0], r"\boxed{17}")])
    verifier.close()
    assert (graded.score, judged.outcome, judged.other) == (0.5, Outcome.CORRECT, None)


def half(problem, completion):
    return 0.5


@pytest.mark.parametrize(
    "name", [OURS, "code?isolation=none", "code?isolation=process", f"fault?of={OURS}&fpr=1", "not.there:f"]
)
def test_a_row_runs_no_code_that_nobody_has_named(name):
    assert needs_trust(name)
    with pytest.raises(ProblemError, match="If you trust it, name it, too"):
        verifier_for(set_of(name), "exact")


def test_a_row_does_not_say_how_many_processes_run():
    for name in ("math?workers=64", "code?memory_mb=1000000", "code?deadline=3600", "fault?of=code&deadline=3600"):
        with pytest.raises(ProblemError, match="says how much of the machine it takes"):
            verifier_for(set_of(name), "exact")
    assert verifier_for(set_of("math?workers=2", trusted=["math?workers=2"]), "exact").parts


@pytest.mark.parametrize("verifier", [OURS, f"mixture?of=exact&with={OURS}", f"mixture?with=exact + {OURS}"])
def test_a_row_may_name_what_whoever_asks_has_named(verifier):
    made = verifier_for(set_of(OURS), verifier)
    assert [verdict.correct for verdict in made.verify([(set_of(OURS)[0], text) for text in ("ab", "abc")])] == [1, 0]
    made.close()
    assert needs_trust(verifier)


def test_a_location_of_the_recipe_is_a_persons_word_and_its_rows_are_not(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"question": "a", "answer": "b", "meta": {"verifier": OURS}}))
    with pytest.raises(ProblemError, match="rows name the verifier"):
        verifier_for(load_problems(str(file)), "exact")
    trusted = load_problems(f"{file}?verifier={OURS} + {file}?verifier=exact")
    assert len(trusted) == 2
    verifier_for(trusted, "exact").close()
    assert [each.verifier for each in load_problems(f"{file}?verifier=exact")] == ["exact"]


def test_names_that_cannot_be_used_are_one_clear_error():
    for name, said in [("nummeric", "did you mean 'numeric'"), ("mixture?of=exact", "cannot be a part of a mixture")]:
        with pytest.raises(ProblemError, match=said):
            verifier_for(set_of(name), "exact")
    for name in (3, "", ["exact"]):
        with pytest.raises(ProblemError, match="expected the name of a verifier"):
            verifier_for(set_of(name), "exact")
    with pytest.raises(ProblemError, match="name 34 verifiers; expected at most 32"):
        verifier_for(set_of(*(f"numeric?tolerance=0.{n + 1}" for n in range(33))), "exact")
    with pytest.raises(RecipeError, match="cannot be a part of a mixture"):
        make_verifier("mixture?of=mixture")
    with pytest.raises(RecipeError, match="of is 'mixture'"):
        make_verifier("fault?of=mixture&fpr=1")
    with pytest.raises(RecipeError, match="unknown option"):
        make_verifier("mixture?of=exact&fpr=1")


def test_problems_without_a_verifier_are_named():
    problems = set_of("exact", None)
    verifier = verifier_for(problems, "mixture")
    with pytest.raises(ProblemError, match="the first of them '1\\?', name no verifier"):
        verifier.check_problems(list(problems))
    assert [each.outcome for each in verifier.verify([(each, "17") for each in problems])] == ["correct", "error"]


def test_mixtures_made_of_one_another_share_their_workers():
    """A run's probe judges with the processes of its training."""
    trained = verifier_for(set_of("numeric", None), "exact")
    probed = verifier_for(set_of("choice", "numeric"), "exact", like=trained)
    assert probed.parts["numeric"] is trained.parts["numeric"]
    assert "choice" not in trained.verifier_id
    assert "choice" in probed.verifier_id
