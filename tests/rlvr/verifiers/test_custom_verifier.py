"""A user's own function as verifier."""

import pytest

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.verifiers import make_verifier
from rlvr.verifiers.verdicts import Outcome

SOURCE = """
def judge(problem, completion):
    if completion == "raise":
        raise RuntimeError("no idea")
    return completion == problem.answer
"""


def test_a_function_is_found_called_and_may_fail(tmp_path, monkeypatch):
    (tmp_path / "my_judge.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    verifier = make_verifier("my_judge:judge")
    verdicts = verifier.verify([(Problem("q", "1"), text) for text in ("1", "2", "raise")])
    assert [verdict.outcome for verdict in verdicts] == [Outcome.CORRECT, Outcome.WRONG, Outcome.ERROR]
    assert "no idea" in verdicts[2].reason


@pytest.mark.parametrize("name", ["no_such_module_here:f", "json:no_such_function", "json:__doc__"])
def test_what_cannot_be_imported_is_named(name):
    with pytest.raises(RecipeError, match=name.split(":")[0]):
        make_verifier(name)
