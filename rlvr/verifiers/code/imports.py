"""Imports that the harnesses of LiveCodeBench and APPS put before a program, which is often written without them.

Owns: the names, and which of them a program needs. Does not own: what is taken for the program.

Only what a program reads and does not bind is imported, so that nothing of its own is hidden, and a start stays quick.
"""

import ast
import warnings

RECURSION_LIMIT = 50_000  # of those harnesses; solutions by recursion rely on it

_MODULES = (
    "array bisect cmath collections copy datetime decimal fractions functools heapq io itertools json math operator os "
    "queue random re statistics string sys time typing"
)
_MEMBERS = {
    "bisect": "bisect bisect_left bisect_right insort insort_left insort_right",
    "collections": "ChainMap Counter OrderedDict defaultdict deque namedtuple",
    "copy": "deepcopy",
    "dataclasses": "dataclass",
    "datetime": "date timedelta",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "functools": "cache cached_property cmp_to_key lru_cache partial reduce total_ordering",
    "heapq": "heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest",
    "io": "BytesIO StringIO",
    "itertools": (
        "accumulate chain combinations combinations_with_replacement compress count cycle dropwhile filterfalse "
        "groupby islice pairwise permutations product repeat starmap takewhile tee zip_longest"
    ),
    "math": (
        "acos asin atan atan2 ceil comb cos degrees dist e exp fabs factorial floor fmod gcd hypot inf isclose isinf "
        "isnan isqrt lcm log log10 log2 modf nan perm pi prod radians sin sqrt tan tau trunc"
    ),
    "operator": "add and_ attrgetter eq floordiv ge gt itemgetter le lt mod mul ne neg or_ sub truediv xor",
    "random": "choice randint randrange shuffle",
    "statistics": "mean median mode",
    "string": "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits octdigits punctuation",
    "sys": "maxsize setrecursionlimit stdin stdout",
    "typing": (
        "Any Callable Deque DefaultDict Dict FrozenSet Generator Generic Hashable Iterable Iterator List Mapping "
        "NamedTuple Optional Sequence Set Tuple Type TypeVar Union"
    ),
}
_NUMPY = {"np": "import numpy as np", "numpy": "import numpy"}
_SOURCES = (
    _NUMPY
    | {name: f"import {name}" for name in _MODULES.split()}
    | {name: f"from {module} import {name}" for module, names in _MEMBERS.items() for name in names.split()}
)


def usual_imports(program: str) -> str:
    """Returns a source to run before a program: what it reads and binds nowhere, and a higher recursion limit."""
    lines = ["import sys as _sys", f"_sys.setrecursionlimit({RECURSION_LIMIT})", "del _sys"]
    return "\n".join([*lines, *sorted(_SOURCES[name] for name in _lacking(program))]) + "\n"


def _lacking(program: str) -> set[str]:
    """Returns the names of the list that a program reads and binds nowhere."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nodes = list(ast.walk(ast.parse(program)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names = [node for node in nodes if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)} & _SOURCES.keys()
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    bound |= {(node.asname or node.name).partition(".")[0] for node in nodes if isinstance(node, ast.alias)}
    return read - bound
