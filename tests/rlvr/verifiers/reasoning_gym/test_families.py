"""Which families evaluate an answer: the lists against what the interpreter executes, and against the sources."""

import ast
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.verifiers import needs_trust
from rlvr.verifiers.reasoning_gym import verifier as module
from rlvr.verifiers.reasoning_gym.families import EVALUATING, EXAMINED, PLAIN, evaluates
from rlvr.verifiers.reasoning_gym.verifier import ReasoningGymVerifier

pytestmark = pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="reasoning-gym is not installed")

# Runs in a process of its own, since an audit hook stays. Prints the families whose scorers executed code that was made
# from the answer, started something, or opened a file for writing.
WATCH = r"""
import json, re, sys
import sympy
from reasoning_gym import create_dataset
from reasoning_gym.factory import DATASETS

MARK = "canary"
seen = set()
family = None

def is_of_the_answer(code):
    texts = [*code.co_names, *map(str, code.co_consts)]
    return code.co_filename.startswith("<") and any(MARK in text for text in texts)

def watch(event, args):
    if family is None:
        return
    if event == "exec" and is_of_the_answer(args[0]):
        seen.add((family, "evaluates"))
    if event.split(".")[0] in ("subprocess", "socket", "ctypes", "shutil") or event in ("os.system", "os.exec"):
        seen.add((family, event))
    if event == "open" and any(letter in (args[1] or "") for letter in "wax+"):
        seen.add((family, event))

sys.addaudithook(watch)

def shapes(gold):
    forms = ("X", "[X]", "[[X]]", "(X,)", "3+X", "X(1)", '"X"', "X=X", "{'X': X}", '{"a": X}', "X\nX", "X X", "$ X $")
    yield from (form.replace("X", MARK) for form in (*forms, "['X']", r"\frac{X}{2}", "lambda: X", "X;X", "X, X"))
    yield from ("1/3", "[1,2]", "[[1,2],[3,4]]", "true", "", "1 2\n3 4", "1.5")
    if gold:
        yield from (gold, f"[{gold}]", gold.upper(), gold + MARK)
        for word in list(re.finditer(r"\w+", gold))[:4]:
            yield gold[: word.start()] + MARK + gold[word.end() :]

families = sorted(set(DATASETS) - {"composite"})
for name in families:
    data = create_dataset(name, size=4000, seed=3)
    entry = data[1]
    family = name
    for answer in shapes(None if entry["answer"] is None else str(entry["answer"])):
        try:
            data.score_answer(answer, entry)
        except Exception:
            pass
    family = None
print()  # some families print a dot
print(json.dumps([families, sorted(seen)]))
"""


@pytest.fixture(scope="module")
def watched():
    """All families, and what each did while it scored answers."""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", WATCH], capture_output=True, text=True, check=True)
    families, seen = json.loads(run.stdout.strip().splitlines()[-1])
    return families, [tuple(each) for each in seen]


@pytest.mark.slow
def test_the_families_that_evaluate_an_answer_are_those_of_the_list(watched):
    _, seen = watched
    assert sorted(seen) == [(family, "evaluates") for family in sorted(EVALUATING)]


@pytest.mark.slow
def test_every_family_of_the_installed_version_is_in_one_list(watched):
    """A new family, or a new version, has to be read and run before it may do without the sandbox."""
    families, _ = watched
    assert module.installed_version() == EXAMINED
    assert sorted(PLAIN | EVALUATING.keys()) == families
    assert not PLAIN & EVALUATING.keys()


def test_a_family_that_nobody_knows_and_another_version_count_as_evaluating():
    assert evaluates("countdown", EXAMINED)
    assert not evaluates("gcd", EXAMINED)
    assert evaluates("a_family_of_tomorrow", EXAMINED)
    assert evaluates("gcd", "0.1.26")


# Sources that name something which evaluates, though no answer gets there: each with the reason.
HARMLESS = {
    "algorithmic/number_sorting.py": "eval of the entry's own answer",
    "arithmetic/basic_arithmetic.py": "eval of a generated expression",
    "arithmetic/bitwise_arithmetic.py": "eval of a generated problem",
    "arithmetic/gsm_symbolic/generators_00_49.py": "eval of a generated fraction",
    "arithmetic/gsm_symbolic/generators_50_99.py": "eval of a generated fraction",
    "code/codeio.py": "exec of the data set's own programs, to make an entry",
    "logic/propositional_logic.py": "a parser of its own that is named parse_expr",
}
NAMES = {
    "eval",
    "exec",
    "parse_expr",
    "sympify",
    "parse_latex",
    "literal_eval",
    "lambdify",
    "Popen",
    "system",
    "run_path",
}


@pytest.mark.slow
def test_no_other_source_of_the_package_names_what_evaluates():
    """What the shapes of answers above might not reach is found by its name."""
    (folder,) = find_spec("reasoning_gym").submodule_search_locations
    found = set()
    for path in sorted(Path(folder).rglob("*.py")):
        called = {
            node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        }
        if called & NAMES:
            found.add(str(path.relative_to(folder)))
    of_families = {name for name in found if re.sub(r".*/|\.py", "", name) in EVALUATING}
    assert found - of_families == HARMLESS.keys()
    assert len(of_families) == len(EVALUATING)


def test_where_no_sandbox_can_be_had_a_family_that_evaluates_is_refused_by_name(monkeypatch):
    """Unless a weaker level is asked for by its name; the other families are judged as ever."""
    refusal = "verifier: isolation=namespace cannot be given on this machine: no."

    def refuse(level, limits):
        if level == "namespace":
            raise RecipeError(refusal)

    monkeypatch.setattr(module, "make_sandbox", refuse)
    evaluated = Problem("q", "a", {"family": "puzzle24", "config": {}, "seed": 0, "index": 0})
    plain = Problem("q", "a", {"family": "gcd", "config": {}, "seed": 0, "index": 0})
    verifier = ReasoningGymVerifier()
    for ask in (lambda: verifier.check_problems([plain, evaluated]), lambda: verifier.verify([(evaluated, "4")])):
        with pytest.raises(RecipeError, match=r"reasoning_gym:puzzle24 gives answers to sympy's parse_expr") as caught:
            ask()
        assert refusal in str(caught.value)
    assert not verifier.sandboxed.running
    verifier._ensure_sandbox(["gcd"])
    ReasoningGymVerifier(isolation="process")._ensure_sandbox(["puzzle24"])


def test_the_level_is_part_of_the_id_and_a_weaker_one_needs_trust():
    assert "isolation=namespace" in ReasoningGymVerifier().verifier_id
    assert "isolation=process" in ReasoningGymVerifier(isolation="process").verifier_id
    assert not needs_trust("reasoning_gym")
    assert needs_trust("reasoning_gym?isolation=none")
