"""What is taken for the program: the table of cases, the rule for HumanEval's prompts, and work on hostile text.

extraction.tsv has, for each case, the names that the tests need (none for a script), the completion with newlines as
`\\n`, what ours takes, and what the rules of LiveCodeBench (the last two lines with fences) and EvalPlus (the longest
part that parses, reduced to what the entry point needs) take: `right` where that program does what the case is about.
"""

import csv
import time
from itertools import product
from pathlib import Path

import pytest

from rlvr.problems import Problem
from rlvr.verifiers.code import tests as formats
from rlvr.verifiers.code.extraction import program_text
from rlvr.verifiers.code.tests import MAX_PROGRAM_CHARS, program_of

with Path(__file__).with_name("extraction.tsv").open(newline="") as file:
    CASES = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def unescaped(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\r", "\r")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_cases(case):
    """The right program is seen by what it leaves behind: `f(3)` is 6, or 6 is printed for the input 3."""
    names = case["names"].split()
    text = program_text(unescaped(case["completion"]), names)
    assert (result_of(text, names) == "right") == (case["ours"] == "right"), text


def result_of(text: str, names: list[str]) -> str:
    """What becomes of a program of the table; these are our own."""
    printed: list[object] = []
    space = {"__name__": "program" if names else "__main__", "print": printed.append, "input": lambda: "3"}
    try:
        exec(compile(text, "<program>", "exec"), space)
        owner = space["Solution"]() if "Solution" in space else None
        values = [getattr(owner, n)(3) if owner else space[n](3) for n in names] if names else printed
    except (Exception, SystemExit) as error:
        return type(error).__name__
    return "right" if values and all(str(value) == "6" for value in values) else "other"


def test_the_table_has_all_kinds_and_says_where_others_differ():
    assert len(CASES) >= 40
    assert len({case["case"] for case in CASES}) == len(CASES)
    assert {case[column] for case in CASES for column in ("ours", "livecodebench", "evalplus")} <= {"right", "other"}


# Around a solution, each of these changes nothing.
BEFORE = (
    "",
    "I think in steps.\n",
    "```bash\npip install x\n```\n",
    "First try:\n```python\ndef f(x):\n    return x\n```\n",
)
FENCES = (
    "```python\n{}\n```\n",
    "```\n{}\n```\n",
    "**Final answer:** ```python\n{}\n```\n",
    "````py\n{}\n````\n",
    "~~~python\n{}\n~~~\n",
    "```python\n{}```\n",
    "> ```python\n> {}\n> ```\n",
    "2. Code:\n   ```python\n   {}\n   ```\n",
    "```python\n{}\n\nprint(f(1))\nassert f(1) == 3\n```\n",
)
AFTER = (
    "",
    "It doubles `x`; see **above**.\n",
    "Output:\n```\n4\n```\n",
    "Usage:\n```python\nfor n in range(3):\n    print(f(n), undefined)\n```\n",
    "Tests:\n```python\ndef test_f():\n    assert f(2) == 5\ntest_f()\n```\n",
    "In C:\n```c\nint f(int x) { return 2 * x; }\n```\n",
    "And more:\n```python\ndef g(x):\n    return f(f(",
)
BODIES = (
    "def f(x):\n    return 2 * x",
    "class Solution:\n    def f(self, x):\n        return 2 * x",
    'import math\n\ndef g(x):\n    """As ```g(1)```."""\n    return math.floor(x)\n\ndef f(x):\n    return g(x) + g(x)',
)


@pytest.mark.parametrize("fence", FENCES)
@pytest.mark.parametrize("body", BODIES, ids=["function", "class", "helper"])
def test_what_stands_around_a_solution_changes_nothing(fence, body):
    start = fence.partition("{}")[0].rpartition("\n")[2]  # what quotation or list puts before each line
    block = fence.format(body.replace("\n", f"\n{start}"))
    for before, after, last in product(BEFORE, AFTER, AFTER):
        text = f"{before}{block}{after}{last}"
        assert result_of(program_text(text, ["f"]), ["f"]) == "right", text


CALLS = Problem("q", "a", {"test_list": ["assert f(3) == 6"]})
PROMPTED = Problem("q", "a", {"entry_point": "f", "prompt": 'import math\ndef f(x):\n    """d"""\n', "test": "pass"})


def sources(problem: Problem, completion: str):
    return program_of(problem, formats.tests_of(problem, 0.0), completion)


def test_programs_and_prompts():
    prompt = PROMPTED.meta["prompt"]
    assert sources(PROMPTED, "def f(x): return 1") == (prompt, "def f(x): return 1")
    assert sources(PROMPTED, "    return 1\n\nprint(f(2)") == (f"{prompt}    return 1\n\n",)
    assert sources(PROMPTED, "    return 1\n```\nIt is one.") == (f"{prompt}    return 1\n",)
    assert sources(PROMPTED, "```python\n    return 1\n```") == (f"{prompt}    return 1\n",)
    assert sources(PROMPTED, "```python\nf = lambda x: 2\n```") == (prompt, "f = lambda x: 2\n")


def test_no_program():
    assert sources(CALLS, " \n") == "no program"
    assert sources(CALLS, "```python\n\n```") == "no program"
    assert sources(CALLS, "```cpp\nint f(int x);\n```") == "no program"
    assert "more than" in sources(CALLS, "x" * 100_000)


def test_usual_imports_are_given_where_they_are_used():
    """Only for tests of inputs and outputs, as in the harnesses of LiveCodeBench and APPS."""
    script = Problem("q", "a", {"inputs": ["3"], "outputs": ["6"]})
    given, _ = sources(script, "n = int(input())\nprint(gcd(2 * n, 0), deque, math.pi)")
    assert given.splitlines()[3:] == ["from collections import deque", "from math import gcd", "import math"]
    given, _ = sources(script, "def gcd(a): return a\nfrom x import *\nprint(gcd(int(input())))")
    assert len(given.splitlines()) == 3
    assert len(sources(CALLS, "def f(x): return gcd(x, 6)")) == 1


HOSTILE = {
    "backticks": "`" * MAX_PROGRAM_CHARS,
    "backticks and letters": "`a" * (MAX_PROGRAM_CHARS // 2),
    "fences": "```\n" * (MAX_PROGRAM_CHARS // 4),
    "python fences": "```python\n" * (MAX_PROGRAM_CHARS // 10),
    "blocks that use each other": "".join(f"```python\na{n}=b{n}\n```\n" for n in range(2500)),
    "docstrings that hold fences": "```python\nx = '''\n```\n" * (MAX_PROGRAM_CHARS // 25),
    "triple quotes": "'''\n" * (MAX_PROGRAM_CHARS // 4),
    "brackets": "(" * MAX_PROGRAM_CHARS,
    "lines of brackets": "x = (\n" * (MAX_PROGRAM_CHARS // 6),
    "minus signs": "```python\nx = " + "-" * (MAX_PROGRAM_CHARS - 40) + "1\n```",
    "nested lambdas": "```python\nx = " + "lambda: " * 8000 + "1\n```",
    "attributes": "```python\nx" + ".x" * 30_000 + "\n```",
    "prose": "Sure, here it is\n" * (MAX_PROGRAM_CHARS // 17),
    "decorators": "@f\n" * (MAX_PROGRAM_CHARS // 3),
    "list marks": "- " * 30_000 + "x```",
    "odd characters": "```python\nx = '\ud800\x00\x0c\r\u2028'\n```",
    "escapes": "```python\nf = '\\d' " + "'\\d' " * 10_000 + "\n```",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("names", [(), ("f",)], ids=["script", "function"])
def test_hostile_text_ends(name, names):
    """Each of these would take minutes or hours if the work grew with the square of the length."""
    started = time.process_time()
    program_text(HOSTILE[name][:MAX_PROGRAM_CHARS], names)
    assert time.process_time() - started < 60
