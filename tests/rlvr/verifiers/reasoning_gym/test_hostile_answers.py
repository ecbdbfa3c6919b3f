"""Hostile answers to the families whose scorers evaluate: no code runs, nothing leaks out, neighbours stay right.

Seventeen kinds of programs, each for three of the nine families. They act on a file, on a port that listens, on the
scorer, and on the process that reads its result.
"""

import shutil
import socket
from importlib.util import find_spec

import pytest

from rlvr.problems import Problem
from rlvr.problems.reasoning_gym import SIZE, make_entries
from rlvr.verifiers.reasoning_gym.families import EVALUATING
from rlvr.verifiers.reasoning_gym.guard import is_arithmetic
from rlvr.verifiers.reasoning_gym.verifier import ReasoningGymVerifier
from rlvr.verifiers.verdicts import Outcome

needs_package = pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="reasoning-gym is not installed")
needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

# Programs, which an answer hands to exec, and expressions; with FILE, PORT, and NUMBER, which differs each time.
TOUCH = "open(FILE, 'w').write('x')"
WORKER = "import sys\nworker = next(m for n, m in sys.modules.items() if 'gym' in n and n.endswith('worker'))"
PROGRAMS = {
    "a file": f"{TOUCH}; n = NUMBER",
    "another scorer": """
import reasoning_gym.dataset as d
for c in d.ProceduralDataset.__subclasses__(): c.score_answer = lambda *a, **k: 1.0 + 0 * NUMBER
""",
    "another worker": WORKER + "\nworker.work = lambda *a: 1.0 + 0 * NUMBER",
    "a result that unpickles into a call": WORKER
    + """
reduced = (__import__('os').system, ('touch ' + FILE + ' # NUMBER',))
worker.R = type('R', (), {'__reduce__': lambda self, reduced=reduced: reduced})
worker.work = lambda *a, made=worker.R: made()
""",
    "an exit hook": f"import atexit, os\natexit.register(lambda: {TOUCH}); n = NUMBER",
}
EXPRESSIONS = {
    "a shell": "__import__('os').system('touch ' + FILE + ' NUMBER')",
    "a program": "__import__('subprocess').run(['touch', FILE, 'NUMBER'])",
    "a connection": "__import__('socket').create_connection(('127.0.0.1', PORT), 1 + NUMBER)",
    "a walk over classes": "().__class__.__base__.__subclasses__()[NUMBER].__init__.__globals__['sys'].modules['os']",
    "a function of its own": f"(lambda n: {TOUCH})(NUMBER)",
    "a comprehension": f"[n for n in [{TOUCH}] * (1 + NUMBER)]",
    "an assignment": f"(n := NUMBER) + {TOUCH}",
    "bytes on every pipe": "[__import__('os').write(n, b'r[1.0, \"\"]') for n in range(NUMBER % 3, 64)]",
    "an end of the process": "__import__('os')._exit(NUMBER)",
    "a signal to the parent": "__import__('os').kill(__import__('os').getppid(), 9 + 0 * NUMBER)",
    "other built-ins": "__import__('builtins').__dict__.update(float=lambda n: 1.0, int=lambda n: 24, n=NUMBER)",
    "a helper of sympy": f"sympify({TOUCH!r}) + lambdify(NUMBER, 1)()",
}
KINDS = PROGRAMS | EXPRESSIONS
LOCALS = (  # the scorer's own names hold the gold answer
    "[entry['answer']]",
    "[*entry['answer']]",
    "['%(answer)s' % entry]",
    "[f\"{entry['answer']}\"]",
    "['{answer}'.format(**entry)]",
    "[oracle_answer]",
)


def wrapped(family: str, expression: str) -> str:
    """An expression as an answer that the family's scorer evaluates."""
    return f"[{expression}]" if EVALUATING[family] == "eval" else expression


def hostile(file: str, port: int) -> list[tuple[str, str, str]]:
    """Kind, family and answer of each."""
    families = sorted(EVALUATING)
    found = []
    for place, (kind, text) in enumerate(KINDS.items()):
        for number in range(3):
            filled = (
                text.replace("FILE", f'"{file}"').replace("PORT", str(port)).replace("NUMBER", str(3 * place + number))
            )
            family = families[(3 * place + number + place // 3) % len(families)]
            expression = f"exec({filled!r})" if kind in PROGRAMS else filled
            found.append((kind, family, wrapped(family, expression)))
    return found


@pytest.fixture(scope="module")
def verifier():
    made = ReasoningGymVerifier(deadline_s=5.0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def problems(verifier):
    """A problem of each family."""
    return {family: made_by(verifier, family, 1)[0] for family in EVALUATING}


def made_by(verifier, family: str, num: int) -> list[Problem]:
    """The first problems of a family, made by workers that run already."""
    metas = [{"family": family, "config": {}, "seed": 5, "index": index} for index in range(num)]
    return [Problem(*made, meta) for made, meta in zip(make_entries(verifier.sandboxed, metas), metas, strict=True)]


def test_the_answers_are_many_and_of_many_kinds():
    answers = hostile("/tmp/x", 1)
    assert len({answer for *_, answer in answers}) == 51
    assert len(KINDS) >= 12
    assert all(sum(kind == each for each, *_ in answers) <= len(answers) / 10 for kind in KINDS)
    assert {family for _, family, _ in answers} == EVALUATING.keys()


@needs_package
@needs_sandbox
@pytest.mark.slow
def test_hostile_answers_run_no_code_and_harm_no_neighbour(problems, verifier, tmp_path):
    """After one such answer every later one of that worker was `correct`, and its result ran in the trainer."""
    file = tmp_path / "made"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        answers = hostile(str(file), listener.getsockname()[1])
        items = []
        for _, family, answer in answers:
            problem = problems[family]
            items += [
                (problem, f"<answer>{text}</answer>") for text in (answer, problem.answer, f"banana {len(items)}")
            ]
        verdicts = verifier.verify(items)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert not file.exists()
    bad = [(answer, v) for answer, v in zip(answers, verdicts[::3], strict=True) if v.outcome is not Outcome.WRONG]
    assert bad == []
    assert {verdict.outcome for verdict in verdicts[1::3]} == {Outcome.CORRECT}
    assert {verdict.outcome for verdict in verdicts[2::3]} == {Outcome.WRONG}


@needs_package
@needs_sandbox
def test_an_answer_cannot_read_the_gold_answer_from_its_scorer(problems, verifier):
    families = [family for family, what in EVALUATING.items() if what == "eval"]
    items = [(problems[family], f"<answer>{text}</answer>") for family in families for text in LOCALS]
    assert {verdict.outcome for verdict in verifier.verify(items)} == {Outcome.WRONG}


@needs_package
@needs_sandbox
def test_answers_that_only_compute_end_at_a_limit(problems, verifier):
    """Constants alone can take for ever, or all memory; that is the answer's own doing."""
    problem = problems["string_insertion"]
    texts = ["[9**9**9**9]", "['a' * 10**12]", f"[{'(' * 3000}]", f"[{'-' * 9000}1]", problem.answer]
    outcomes = [v.outcome.value for v in verifier.verify([(problem, f"<answer>{text}</answer>") for text in texts])]
    assert outcomes[0] == "timeout"
    assert set(outcomes[1:4]) <= {"timeout", "wrong"}
    assert outcomes[4] == "correct"


@needs_package
@needs_sandbox
@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(EVALUATING))
def test_the_entries_own_answers_are_not_taken_for_programs(family, verifier):
    """`Integral` stands in answers of intermediate_integration."""
    entries = made_by(verifier, family, 20)
    verdicts = verifier.verify([(problem, f"<answer>{problem.answer}</answer>") for problem in entries])
    assert [problem.answer for problem, verdict in zip(entries, verdicts, strict=True) if not verdict.correct] == []


@needs_package
@needs_sandbox
@pytest.mark.parametrize(
    ("family", "answers"),
    [
        ("string_insertion", ["['A', 'B']", "ABC", '["A","B"]']),
        (
            "simple_integration",
            ["x**2/2 + C", "X**3 + sin(2*X)/4 - sqrt(X) + C", "log(x) + exp(x)*pi", "theta*Rational(1,2)"],
        ),
        ("puzzle24", ["3*(4 + 4)", "abs(3)", "2**3!", "0.5 + 1/3", "max(2, 3)"]),
    ],
)
def test_honest_answers_are_scored_as_without_a_guard(family, answers, problems, verifier):
    """The score is the one that reasoning-gym gives in this process."""
    from reasoning_gym import create_dataset

    problem = problems[family]
    bare = create_dataset(family, size=SIZE, seed=problem.meta["seed"])
    entry = bare[problem.meta["index"]]
    expected = [f"score {bare.score_answer(answer, entry):g}" for answer in answers]
    assert [v.reason for v in verifier.verify([(problem, f"<answer>{a}</answer>") for a in answers])] == expected


@pytest.mark.parametrize("text", ["[1, 2, [3]]", "'a' + 'b'", "-1e5", "{'a': (1, None, True)}", "1 if 2 > 1 else 3"])
def test_what_a_scorer_may_evaluate(text):
    assert is_arithmetic(compile(text, "<string>", "eval"), by_parser=False)


@pytest.mark.parametrize("text", ["a", "[a]", "f'{a}'", "(lambda: 1)", "().x", "print(1)", "(a := 1)", "'%(a)s' % a"])
def test_what_a_scorer_may_not_evaluate(text):
    assert not is_arithmetic(compile(text, "<string>", "eval"), by_parser=False)


@needs_package
@pytest.mark.parametrize(
    ("text", "is_allowed"),
    [
        ("Integer (3 )*Symbol ('x' )+sin (Integer (2 ))", True),
        ("Function ('f' )(theta )", True),
        ("Symbol ('x' ).__class__ ", False),
        ("Symbol ('x' ).subs (Integer (1 ))", False),
        ("eval (Integer (1 ))", False),
        ("sympify ('x' )", False),
        ("lambdify (Symbol ('x' ))", False),
        ("preview (Symbol ('x' ))", False),
        ("(lambda :Integer (1 ))()", False),
        ("Symbol ('x' )[Integer (1 )]", False),
        ("__import__ ('os' )", False),
    ],
)
def test_what_sympy_s_parser_may_evaluate(text, is_allowed):
    assert is_arithmetic(compile(text, "<string>", "eval"), by_parser=True) is is_allowed
