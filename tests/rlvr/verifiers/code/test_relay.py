"""Objects of a program in tests: what works as in one process, and what a program must not decide."""

import shutil

import pytest

from rlvr.problems import Problem
from rlvr.verifiers.code.verifier import CodeVerifier
from rlvr.verifiers.verdicts import Outcome


def verifier_of(level: str, deadline_s: float = 30.0) -> CodeVerifier:
    if level == "namespace" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed (scripts/install_sandbox.sh)")
    return CodeVerifier(isolation=level, deadline_s=deadline_s, num_workers=2, packages=("numpy", "pytest"))


@pytest.fixture(scope="module")
def plain():
    return verifier_of("none")


@pytest.fixture(scope="module")
def namespace():
    return verifier_of("namespace")


@pytest.fixture(scope="module")
def hasty():
    return verifier_of("namespace", deadline_s=4.0)


def verdict(verifier, program: str, *tests: str, imports: str = ""):
    problem = Problem("q", "-", {"test_list": list(tests), "test_setup_code": imports})
    return verifier.verify([(problem, f"```python\n{program}\n```")])[0]


def runs_here(program: str, tests: tuple[str, ...], imports: str) -> bool:
    """Whether the tests pass where program and tests share a process."""
    names: dict = {}
    try:
        for source in (imports, program, *tests):
            exec(source, names)
    except Exception:
        return False
    return True


# --- what works ---------------------------------------------------------------------------------------------------

STACK = """
class Stack:
    limit = 3
    def __init__(self, *items): self._items = list(items)
    def push(self, item): self._items.append(item); return self
    def pop(self):
        if not self._items: raise EmptyError("nothing to pop", 7)
        return self._items.pop()
    def __len__(self): return len(self._items)
    def __bool__(self): return bool(self._items)
    def __contains__(self, item): return item in self._items
    def __iter__(self): return iter(self._items)
    def __getitem__(self, index): return self._items[index]
    def __setitem__(self, index, value): self._items[index] = value
    def __delitem__(self, index): del self._items[index]
    def __eq__(self, other): return isinstance(other, Stack) and self._items == other._items
    def __hash__(self): return hash(tuple(self._items))
    def __lt__(self, other): return len(self) < len(other)
    def __repr__(self): return f"Stack{tuple(self._items)}"
    def __str__(self): return "|".join(map(str, self._items))
    def __call__(self, x): return x + len(self)
    def __reversed__(self): return iter(self._items[::-1])
    @property
    def top(self): return self._items[-1]
    @top.setter
    def top(self, value): self._items[-1] = value
    @staticmethod
    def twice(x): return 2 * x
    @classmethod
    def of(cls, items): return cls(*items)
    def merge(self, other): return Stack(*self._items, *other._items)
class EmptyError(LookupError):
    def __init__(self, text, code): super().__init__(text); self.code = code
class Deep(Stack):
    def pop(self): return (super().pop(), "deep")
def total(stack): return sum(stack._items)
LIMITS = {"depth": 9}
"""
VECTOR = """
import enum, dataclasses, collections
class Vector:
    def __init__(self, x, y): self.x, self.y = x, y
    def __add__(self, o): return Vector(self.x + o.x, self.y + o.y)
    def __iadd__(self, o): self.x += o.x; self.y += o.y; return self
    def __mul__(self, k): return Vector(self.x * k, self.y * k)
    __rmul__ = __mul__
    def __sub__(self, k): return self.x - k
    def __neg__(self): return Vector(-self.x, -self.y)
    def __abs__(self): return (self.x ** 2 + self.y ** 2) ** 0.5
    def __eq__(self, o): return isinstance(o, Vector) and (self.x, self.y) == (o.x, o.y)
    def __matmul__(self, o): return self.x * o.x + self.y * o.y
    def __float__(self): return float(abs(self))
    def __format__(self, spec): return f"<{self.x:{spec}}>"
    def __enter__(self): self.x += 1; return self
    def __exit__(self, *_): self.y = 100
class Color(enum.Enum): RED = 1; BLUE = 2
@dataclasses.dataclass(order=True)
class Point: x: int; y: int = 0
Pair = collections.namedtuple("Pair", "a b")
def swap(p): return Pair(p.b, p.a) if hasattr(p, "b") else p[::-1]
class Bag(dict):
    def total(self): return sum(self.values())
"""
FUNCTIONS = """
import itertools
def gen(n):
    for i in range(n): yield i * i
def forever(): return itertools.count(1)
def odd(n):
    yield 1
    raise ValueError("odd")
def apply(f, *args, **kw): return f(*args, **kw)
def compose(f, g): return lambda x: f(g(x))
def make_adder(n): return lambda x: x + n
def sort_in_place(xs): xs.sort()
def edit(a, b): a.append(9); return b
def fill(d, s, b): d['k'] = [1]; s.add(2); b.extend(b'xy'); d['k'].append(s)
def same_one(x): return x
def nested(rows): rows[0][0] = 5; rows.append(rows[0])
async def later(x): return x + 1
def retry(f):
    try: return f()
    except KeyError as e: return str(e)
def key_error(d): return d['missing']
def window(xs, k): return [xs[i:i + k] for i in range(len(xs) - k + 1)]
"""
ARRAYS = """
import numpy as np
def scale(a, k): return np.asarray(a) * k
def zero(a): a[...] = 0
def mean(a): return np.mean(a)
def objects(): return np.array([1, 'a', None], dtype=object)
"""

RIGHT = [
    (STACK, "s = Stack()\ns.push(1)\nassert s.pop() == 1"),
    (STACK, "s = Stack(1, 2, 3)\nassert len(s) == 3 and 2 in s and 5 not in s and list(s) == [1, 2, 3] and s"),
    (STACK, "assert not Stack() and Stack.limit == 3 and Stack.twice(4) == 8 and len(Stack.of([1, 2])) == 2"),
    (STACK, "s = Stack(1, 2)\nassert s[0] == 1 and s[-1] == 2 and s[0:1] == [1]\ns[0] = 7\ndel s[1]\n"
     "assert list(s) == [7]"),
    (STACK, "s = Stack(1, 2)\nassert s.top == 2\ns.top = 5\nassert s.top == 5 and str(s) == '1|5' and "
     "repr(s) == 'Stack(1, 5)'"),
    (STACK, "assert Stack(1) == Stack(1) and Stack(1) != Stack(2) and Stack(1) < Stack(1, 2) and "
     "Stack(1, 2) > Stack(1)"),
    (STACK, "assert isinstance(Deep(1), Stack) and not isinstance(Stack(1), Deep) and not isinstance(3, Stack)"),
    (STACK, "assert Deep(4).pop() == (4, 'deep') and issubclass(Deep, Stack)"),
    (STACK, "assert total(Stack(1, 2)) == 3 and Stack(1).merge(Stack(2)) == Stack(1, 2) and Stack(1, 2)(3) == 5"),
    (STACK, "with pytest.raises(EmptyError, match='nothing to pop') as caught:\n    Stack().pop()\n"
     "assert caught.value.code == 7"),
    (STACK, "try:\n    Stack().pop()\nexcept LookupError as e:\n    assert str(e) == 'nothing to pop'\nelse:\n"
     "    assert False"),
    (STACK, "assert issubclass(EmptyError, LookupError) and not issubclass(EmptyError, KeyError)"),
    (STACK, "assert len({Stack(1), Stack(1), Stack(2)}) == 2 and sorted([Stack(1, 2), Stack(1)])[0] == Stack(1)"),
    (STACK, "assert LIMITS == {'depth': 9} and LIMITS['depth'] == 9"),
    (STACK, "assert hasattr(Stack(), 'push') and not hasattr(Stack(), 'peek') and callable(Stack.of)"),
    (STACK, "with pytest.raises(AttributeError):\n    Stack().peek()\nwith pytest.raises(IndexError):\n    Stack()[0]"),
    (STACK, "assert list(reversed(Stack(1, 2))) == [2, 1] and Stack(1).push(2).push(3).pop() == 3"),
    (STACK, "s = Stack()\ndef fill(n):\n    for i in range(n): s.push(i)\nfill(3)\nassert [x for x in s] == [0, 1, 2]"),
    (VECTOR, "v = Vector(1, 2) + Vector(3, 4)\nassert (v.x, v.y) == (4, 6) and v == Vector(4, 6)"),
    (VECTOR, "assert Vector(1, 2) * 3 == Vector(3, 6) == 3 * Vector(1, 2) and (Vector(1, 2) * 3).x == 3"),
    (VECTOR, "assert abs(Vector(3, 4)) == 5 and -Vector(1, 2) == Vector(-1, -2) and Vector(1, 2) @ Vector(3, 4) == 11"),
    (VECTOR, "v = w = Vector(1, 1)\nv += Vector(2, 2)\nassert v is w and w.x == 3 and float(Vector(3, 4)) == 5.0"),
    (VECTOR, "with Vector(1, 1) as v:\n    assert v.x == 2\nassert v.y == 100 and f'{v:03d}' == '<002>'"),
    (VECTOR, "assert Color.RED is Color.RED and Color.RED != Color.BLUE and Color.RED.value == 1 and "
     "Color(2) is Color.BLUE"),
    (VECTOR, "assert Point(1) == Point(1, 0) and Point(1, 2) < Point(2) and repr(Point(1)) == 'Point(x=1, y=0)'"),
    (VECTOR, "p = swap(Pair(1, 2))\nassert p == (2, 1) and p.a == 2 and p._fields == ('a', 'b')"),
    (VECTOR, "b = Bag(a=1, b=2)\nassert b.total() == 3 and b['a'] == 1 and len(b) == 2"),
    (FUNCTIONS, "assert list(gen(4)) == [0, 1, 4, 9] and sum(gen(3)) == 5 and 4 in gen(3)"),
    (FUNCTIONS, "it = gen(2)\nassert next(it) == 0 and next(it) == 1 and next(it, None) is None and iter(it) is it"),
    (FUNCTIONS, "it = gen(0)\nwith pytest.raises(StopIteration):\n    next(it)"),
    (FUNCTIONS, "import itertools\nassert list(itertools.islice(forever(), 3)) == [1, 2, 3]"),
    (FUNCTIONS, "for x, y in zip(forever(), 'ab'):\n    pass\nassert x == 3 or x == 2"),
    (FUNCTIONS, "it = odd(1)\nassert next(it) == 1\nwith pytest.raises(ValueError):\n    next(it)"),
    (FUNCTIONS, "assert apply(lambda x: x + 1, 3) == 4 and apply(lambda **k: k, a=1) == {'a': 1} and "
     "apply(int, '7') == 7"),
    (FUNCTIONS, "assert compose(lambda x: x + 1, lambda x: 2 * x)(5) == 11 and make_adder(2)(3) == 5"),
    (FUNCTIONS, "seen = []\napply(seen.append, 3)\nassert seen == [3]"),
    (FUNCTIONS, "xs = [3, 1, 2]\nassert sort_in_place(xs) is None and xs == [1, 2, 3]"),
    (FUNCTIONS, "a = [1]\nr = edit(a, a)\nassert a == [1, 9] and r is a"),
    (FUNCTIONS, "d, s, b = {}, {1}, bytearray(b'a')\nfill(d, s, b)\nassert s == {1, 2} and b == b'axy' and "
     "d['k'][1] is s"),
    (FUNCTIONS, "rows = [[1, 2], [3]]\nfirst = rows[0]\nnested(rows)\nassert rows[0] is first and "
     "rows[2] is first and first == [5, 2]"),
    (FUNCTIONS, "x = []\nx.append(x)\nassert same_one(x) is x"),
    (FUNCTIONS, "import asyncio\nassert asyncio.run(later(1)) == 2"),
    (FUNCTIONS, "import asyncio\nasync def main():\n    return await later(1) + await later(2)\n"
     "assert asyncio.run(main()) == 5"),
    (FUNCTIONS, "def fail():\n    raise KeyError('k')\nassert retry(fail) == repr('k')"),
    (FUNCTIONS, "with pytest.raises(KeyError) as e:\n    key_error({})\nassert e.value.args == ('missing',)"),
    (FUNCTIONS, "assert apply(lambda f: f(2), make_adder(1)) == 3 and apply(apply, apply, lambda: 5) == 5"),
    (FUNCTIONS, "def change(xs): xs.append(1)\nys = [0]\napply(change, ys)\nassert ys == [0, 1]"),
    (ARRAYS, "r = scale(np.arange(3), 2)\nassert np.allclose(r, [0, 2, 4]) and "
     "r.dtype == np.arange(3).dtype and r.shape == (3,)"),
    (ARRAYS, "np.testing.assert_array_equal(scale([[1.5]], 2), np.array([[3.0]]))\nassert mean([1, 2]) == 1.5"),
    (ARRAYS, "a = np.ones((2, 2))\nb = a\nzero(a)\nassert b.sum() == 0 and scale(np.zeros((0, 3)), 1).shape == (0, 3)"),
    (ARRAYS, "assert objects().tolist() == [1, 'a', None] and isinstance(mean(np.ones(2)), np.floating)"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "test"), RIGHT, ids=[test.replace("\n", "; ")[:60] for _, test in RIGHT])
def test_objects_work_as_in_one_process(plain, program, test):
    imports = "import pytest\nimport numpy as np"
    assert runs_here(program, (test,), imports)
    found = verdict(plain, program, test, imports=imports)
    assert found.outcome is Outcome.CORRECT, found


WRONG = [
    (STACK, "s = Stack(1)\nassert s.pop() == 2"),
    (STACK, "assert Stack(1) == Stack(2)"),
    (STACK, "with pytest.raises(EmptyError):\n    Stack(1).pop()"),
    (STACK, "assert 5 in Stack(1)"),
    (FUNCTIONS, "assert list(gen(2)) == [0, 2]"),
    (FUNCTIONS, "xs = [2, 1]\nsort_in_place(xs)\nassert xs == [2, 1]"),
    (FUNCTIONS, "assert apply(lambda x: x, 3) == 4"),
    (ARRAYS, "assert np.allclose(scale([1], 2), [3])"),
    (VECTOR, "assert Color.RED is Color.BLUE"),
]


@pytest.mark.parametrize(("program", "test"), WRONG, ids=[test.replace("\n", "; ")[:60] for _, test in WRONG])
def test_what_is_wrong_stays_wrong(plain, program, test):
    found = verdict(plain, program, test, imports="import pytest\nimport numpy as np")
    assert found.outcome is Outcome.WRONG, found
    assert found.reason


def test_levels_agree(namespace):
    imports = "import pytest\nimport numpy as np"
    for program in (STACK, VECTOR, FUNCTIONS, ARRAYS):
        tests = [test for each, test in RIGHT if each is program]
        found = verdict(namespace, program, *tests, imports=imports)
        assert found.outcome is Outcome.CORRECT, found


# --- attacks ------------------------------------------------------------------------------------------------------

LIAR = """
class Liar:
    def __getattr__(self, name): return lambda *a, **k: True
    def _yes(self, *a): return True
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = _yes
    __hash__ = lambda self: 7
    def _zero(self, *a): return 0
    __sub__ = __rsub__ = __mod__ = __abs__ = __round__ = __xor__ = __truediv__ = __floordiv__ = __pow__ = _zero
    __index__ = __int__ = _zero
    def __float__(self): return 0.0
    def _self(self, *a): return self
    __add__ = __radd__ = __mul__ = __rmul__ = __and__ = __neg__ = _self
    def __exit__(self, *a): return True
    __enter__ = _self
"""
LIES = [
    "assert f(3) == 6",
    "assert 6 == f(3)",
    "assert not f(3) != 6",
    "assert [f(3)] == [6]",
    "assert f(3) in [6, 7]",
    "assert {6: 'a'}[f(3)] == 'a'",
    "assert f(3) in {6}",
    "assert abs(f(3) - 6.5) < 1e-6",
    "assert abs(6.5 - f(3)) < 1e-6",
    "assert abs((f(3) + 0) - 6.5) < 1e-6",
    "assert round(f(3) - 6.5, 3) == 0",
    "assert 5 < f(3) < 7",
    "assert f(3) >= 6",
    "assert max(6, f(3)) == 6",
    "assert f(3) is True",
    "assert isinstance(f(3), int)",
    "assert type(f(3)) is int",
    "assert f(3).startswith('abc')",
    "assert f(3).issubset({1})",
    "assert f(3).__eq__(6)",
    "assert f(3).__contains__(6)",
    "assert 6 in f(3)",
    "assert f(3) % 7 == 6 - 6",
    "assert f(3) ^ 6 == 0",
    "import math\nassert math.isclose(f(3), 6.5)",
    "import numpy as np\nassert np.allclose(f(3), 6.5)",
    "import numpy as np\nassert np.array_equal(f(3), np.array([6.5]))",
    "import numpy as np\nassert np.linalg.norm(f(3) - np.array([6.5])) < 1",
    "import numpy as np\nassert (np.array([6.5]) == f(3)).all()",
    "import pytest\nassert f(3) == pytest.approx(6.5)",
    "with f(3) as y:\n    assert y == 6",
    "assert __same__(f(3), [6]) or __same__(f(3), 6)",
    "assert sorted([f(3), 6]) == [6, 6]",
    "assert str(f(3)) == '6'",
    "assert f'{f(3)}' == '6'",
    "assert dict(a=f(3)) == dict(a=6)",
    "assert any(x == 6 for x in [f(3)])",
    "match f(3):\n    case 6:\n        pass\n    case _:\n        assert False",
    "match f(3):\n    case int():\n        pass\n    case _:\n        assert False",
    "import copy\nassert copy.deepcopy(f(3)) == 6",
    "import operator\nassert operator.eq(f(3), 6)",
    "import unittest\nunittest.TestCase().assertEqual(f(3), 6)",
    "import unittest\nunittest.TestCase().assertAlmostEqual(f(3), 6.5)",
]
GIVEN = {
    "a function returns it": LIAR + "def f(x): return Liar()",
    "the function is a class": LIAR + "class f(Liar):\n    def __init__(self, x): pass",
    "the function makes a class": LIAR + "def f(x): return type('Liar', (Liar,), {'__class__': int})()",
}


@pytest.mark.parametrize("given", GIVEN)
def test_objects_that_say_yes_to_everything(namespace, given):
    """Each test alone: no lie about a comparison with the test's own data is believed."""
    problems = [Problem("q", "-", {"test_list": [test]}) for test in LIES]
    found = namespace.verify([(problem, f"```python\n{GIVEN[given]}\n```") for problem in problems])
    passed = {test: v for test, v in zip(LIES, found, strict=True) if v.outcome not in (Outcome.WRONG, Outcome.TIMEOUT)}
    assert passed == {}


OBJECT = "class A:\n    {}\ndef f(x): return A()"
SHAPES = {
    "an iterator that lies about its end": (
        OBJECT.format("def __iter__(self): return self\n    def __next__(self): raise StopIteration"),
        "assert list(f(1)) == [1]",
    ),
    "an end of iteration from a method": (
        OBJECT.format("def g(self, x): raise StopIteration"),
        "assert all(map(lambda x: f(1).g(x) == x, [1, 2]))",
    ),
    "an end of iteration from an attribute": (
        OBJECT.format("def __getattr__(self, name): raise StopIteration"),
        "assert all(map(lambda x: f(1).y == x, [1, 2]))",
    ),
    "an end of iteration from indexing": (
        OBJECT.format("def __getitem__(self, i): raise StopIteration"),
        "a = f(1)\nassert all(map(lambda x: a[x] == x, [1, 2]))",
    ),
    "an end of iteration from a length": (
        OBJECT.format("def __len__(self): raise StopIteration"),
        "a = f(1)\nassert all(map(lambda x: len(a) == x, [1, 2]))",
    ),
    "a negative length": (OBJECT.format("def __len__(self): return -1"), "assert len(f(1)) < 0"),
    "a huge length": (OBJECT.format("def __len__(self): return 10 ** 30"), "assert len(f(1)) > 3"),
    "a length that is an object": (OBJECT.format("def __len__(self): return A()"), "assert len(f(1)) == 3"),
    "a truth that is none": (OBJECT.format("def __bool__(self): return 7"), "assert f(1)"),
    "an iterator that is none": (OBJECT.format("def __iter__(self): return 7"), "assert list(f(1)) == []"),
    "items without end": (
        OBJECT.format("def __iter__(self):\n        while True: yield 2"),
        "assert 1 in f(1)",
    ),
    "objects in objects without end": (
        OBJECT.format("def __getattr__(self, name): return A()"),
        "a = f(1)\nwhile a.next: a = a.next",
    ),
    "a hash that hashes": (
        OBJECT.format("def __hash__(self): return hash(A())"),
        "assert {f(1): 1}",
    ),
    "recursion between the sides": ("def f(g): return g(g)", "assert f(lambda g: f(g)) == 1"),
    "a callback that is called for ever": ("def f(g):\n    while True: g(1)", "assert f(lambda x: x) == 1"),
    "a callback that gets an object": (
        LIAR + "def f(g):\n    return g(Liar())",
        "assert f(lambda x: 1 if x == 6 else 2) == 1",
    ),
    "a context that hides a failure": (
        OBJECT.format("def __enter__(self): return 1\n    def __exit__(self, *a): return True"),
        "with f(1) as x:\n    assert x == 2",
    ),
    "a context that makes an expected exception of a failure": (
        OBJECT.format("def __enter__(self): return 1\n    def __exit__(self, *a): raise ValueError"),
        "import pytest\nwith pytest.raises(ValueError):\n    with f(1) as x:\n        assert x == 2",
    ),
    "an exception of the tests' own name": (
        "class AssertionError(Exception): pass\ndef f(x): raise AssertionError",
        "import pytest\nwith pytest.raises(ValueError):\n    f(1)",
    ),
    "an exception that skips": (
        "class Skipped(Exception): pass\nSkipped.__module__ = '_pytest.outcomes'\ndef f(x): raise Skipped",
        "assert f(1) == 2",
    ),
    "an exception that derives from what ends a loop": (
        "class E(StopIteration): pass\ndef f(x): raise E",
        "assert all(map(lambda x: f(x) == 2, [1]))",
    ),
    "an edit of what is expected": ("def f(x): x.clear(); return [1]", "assert f([2]) == [2]"),
    "an object that stands for an argument": (
        "class L(list):\n    __eq__ = lambda a, b: True\n    __hash__ = None\ndef f(x): return L()",
        "assert f([2]) == [2]",
    ),
    "a class that says that all are its instances": (
        "class M(type):\n    __instancecheck__ = lambda c, o: True\nclass Shape(metaclass=M): pass",
        "assert isinstance(3, Shape)",
    ),
    "a constant that is an object": (LIAR + "LIMIT = Liar()", "assert LIMIT == 9"),
    "a repr that is none": (OBJECT.format("def __repr__(self): return 3"), "assert repr(f(1)) == '3'"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_attacks_by_way_of_objects(hasty, name):
    program, test = SHAPES[name]
    found = verdict(hasty, program, test)
    assert found.outcome in (Outcome.WRONG, Outcome.TIMEOUT), found


FORGED = {
    "an object without a number": """{"value": {"object": ["x", "A", "object"]}, "edits": []}""",
    "an object of no kind": """{"value": {"object": 3}, "edits": []}""",
    "an alias of nothing": """{"value": {"same": 5}, "edits": []}""",
    "an alias of a negative number": """{"value": {"same": -1}, "edits": []}""",
    "an edit of nothing": """{"value": 7, "edits": [[9, [1]]]}""",
    "an edit of another kind": """{"value": 7, "edits": [[0, {"dict": []}]]}""",
    "edits that are none": """{"value": 7, "edits": 5}""",
    "no edits": """{"value": 7}""",
    "an array of another size": """{"value": {"array": ["<f8", [1000000000, 1000000], "00"]}, "edits": []}""",
    "an array of objects by pointer": """{"value": {"array": ["|O", [1], "0000000000000001"]}, "edits": []}""",
    "an array of a type that is code": """{"value": {"array": ["f8,(2,)i4", [1], "00"]}, "edits": []}""",
    "a call of what is no function": """{"callback": 5, "args": [], "kwargs": {}}""",
    "a call of nothing": """{"callback": "x"}""",
    "a slice of objects": """{"value": {"range": [1, {"set": []}, 2]}, "edits": []}""",
    "an exception of exceptions": """{"raised": "E", "kind": ["own", 1, "E", [["own", 1, "E", []]]], "args": [[]]}""",
    "an exception that exits": """{"raised": "E", "kind": ["known", "builtins", "SystemExit"], "args": [0]}""",
    "an exception of a module": """{"raised": "E", "kind": ["known", "_pytest.outcomes", "Skipped"]}""",
    "an exception that is a function": """{"raised": "E", "kind": ["known", "os", "_exit"], "args": [0]}""",
    "an exception without a kind": """{"raised": "E"}""",
    "an end of the tests": """{"raised": "Stop", "kind": ["known", "builtins", "BaseException"]}""",
    "a named tuple of code": """{"value": {"named": ["x", ["__class__", "a b", "def"], [1, 2, 7]]}, "edits": []}""",
    "a verdict": """["correct", ""]""",
    "a builtin": """{"value": {"builtin": "print"}, "edits": []}""",
}


@pytest.mark.parametrize("name", FORGED)
def test_messages_that_no_driver_writes(namespace, name):
    """A program can write what it likes to its channel, which is descriptor 4."""
    program = (
        f"import os\nraw = {FORGED[name]!r}.encode()\ndef f(x): os.write(4, b'%08x' % len(raw) + raw); os._exit(0)"
    )
    found = verdict(namespace, program, "assert f([1, 2]) == 6", imports="import pytest, numpy")
    assert found.outcome is Outcome.WRONG, found


def test_the_tests_own_faults_are_errors_still(plain):
    found = verdict(plain, "def f(x): return 1", "class A: pass\nassert f(A()) == 1")
    assert found.outcome is Outcome.ERROR, found
    assert verdict(plain, "x = 1", "assert True").outcome is Outcome.ERROR


def test_tests_that_derive_from_a_class_of_the_program_are_an_error(plain):
    found = verdict(plain, STACK, "class Mine(Stack):\n    pass\nassert len(Mine()) == 0")
    assert found.outcome is Outcome.ERROR, found


def test_an_argument_that_is_too_large_is_an_error_of_the_tests(plain):
    found = verdict(plain, "def f(x): return len(x)", "assert f('x' * 9_000_000) == 9_000_000")
    assert found.outcome is Outcome.ERROR, found
    fed_back = verdict(plain, "f = 'x' * 5_000_000\ndef g(x): return 1", "assert g(f + f) == 1")
    assert fed_back.outcome is Outcome.WRONG, fed_back


def test_classes_of_the_tests_see_the_programs_names(plain):
    test = (
        "class TestStack:\n    stack = Stack(1)\n    def check(self): assert self.stack.pop() == 1\nTestStack().check()"
    )
    assert verdict(plain, STACK, test).outcome is Outcome.CORRECT


def test_a_coroutine_that_a_test_passes_on_is_no_way_to_an_error(plain):
    found = verdict(plain, "async def double(x): return 2 * x", "assert double(double(2)) == 8")
    assert found.outcome is Outcome.WRONG, found


def test_each_call_of_a_solution_has_a_new_instance(plain):
    program = "class Solution:\n    n = 0\n    def f(self): self.n += 1; return self.n"
    problem = Problem("q", "-", {"fn_name": "f", "inputs": [[], []], "outputs": [1, 1]})
    assert plain.verify([(problem, f"```python\n{program}\n```")])[0].outcome is Outcome.CORRECT
