"""What math-verify evaluates of an answer: arithmetic on digits, and no name that stands in it.

It hands a text to sympy's `parse_expr`, which evaluates, only where the text consists of digits, operators and
brackets; LaTeX is parsed by a grammar. This is watched here, and each pair is judged in a process of its own anyway.
"""

import json
import subprocess
import sys

# Runs in a process of its own, since an audit hook stays. Prints the names in code that was made from text, and the
# files, programs and sockets that were opened while answers were compared.
WATCH = r"""
import itertools, json, random, sys
import sympy
from rlvr.verifiers.answers import math_worker

names, acts, on = set(), set(), False

def watch(event, args):
    if not on:
        return
    if event == "exec" and args[0].co_filename.startswith("<"):
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        if not caller.startswith(("sympy.polys", "dataclasses")):
            names.update(args[0].co_names)
    if event.split(".")[0] in ("subprocess", "socket", "ctypes", "shutil", "os"):
        acts.add(event)
    if event == "open" and "w" in str(args[1]):
        acts.add(event)

sys.addaudithook(watch)

CALLS = ["canary(1)", "__import__('canary').system('canary')", "open('canary','w')", "(lambda: canary)()"]
FORMS = [r"X", r"\text{X}", r"\mathrm{X}", r"\operatorname{X}(2)", r"\frac{X}{2}", r"1+X", r"(1+2)*3X", r"X=2"]
FORMS += [r"\{X,2\}", r"(X,2)", r"[1,X]", r"\begin{pmatrix}X&1\end{pmatrix}", r"\sqrt{X}", r"X\%", r"2^{X}", r"x=X"]
FORMS += [r"\left(X\right)", r"\int X dx", r"f(X)", r"X_2", r"$X$", r"\boxed{X}", r"X \text{ or } 3", r"3 > X"]
FORMS += [r"\log_{X} 3", r"3*(4+X)"]
rng = random.Random(7)
pieces = [*"0123456789+-*/^().,= _'\"[]{}\\", "canary", "eval", "S", "\\frac", "\\text{", "}", "lambda", "import", "x"]
answers = [form.replace("X", call) for form, call in itertools.product(FORMS, CALLS)]
answers += ["".join(rng.choices(pieces, k=rng.randrange(2, 25))) for _ in range(150)]
answers += ["3*(4+5)", "2^3 - 1", "(1+2)/4", "12 x 2"]
on = True
for number, answer in enumerate(answers):
    try:
        math_worker.work("compare", ("12", r"\{1,2\}", "x=2")[number % 3], answer)
    except Exception:
        pass
found = sorted(names)
sympy.parse_expr("canary(1)")  # is seen
print(json.dumps([len(answers), found, sorted(acts), sorted(names)]))
"""
CONSTRUCTORS = {"Add", "Float", "Integer", "Mul", "Pow", "Rational", "Symbol", "sympy"}


def test_no_name_of_an_answer_is_evaluated():
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", WATCH], capture_output=True, text=True, check=True)
    num, names, acts, control = json.loads(run.stdout.splitlines()[-1])
    assert num > 250
    assert set(names) <= CONSTRUCTORS
    assert set(control) - set(names) >= {"Function"}
    assert acts == []
