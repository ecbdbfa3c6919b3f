"""Modules of tests in pytest's style, as KodCode publishes them: `from solution import ...` and functions `test_...`.

Owns: which names of the program such a module needs, which tests it has, and what it is refused for.
Does not own: running it (`rlvr.verifiers.code.beside_tests`, whose stand-in takes pytest's place).
"""

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field

SOLUTION = "solution"  # the module that the program stands for
PYTEST = frozenset({"approx", "raises", "fail", "param", "mark"})
REFUSED_MARKS = frozenset({"skip", "skipif", "xfail", "usefixtures", "asyncio"})

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class ModuleTests:
    """The tests of a module that needs no runner.

    Attributes:
        imports: source of its own imports, which must succeed before there is a program.
        source: source without the import of the program.
        names: of the program.
        tests: functions `test_x` and methods `Class.test_x`; none where the module itself is the test.
    """

    imports: str
    source: str
    names: tuple[str, ...]
    tests: tuple[str, ...]


def read_module(source: str) -> ModuleTests:
    """Returns a module of tests.

    Raises:
        ValueError: it is not Python, or needs what only pytest's runner gives.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ValueError(f"test is not Python ({error.msg})") from None
    tree.body = [each for each in tree.body if not _is_main_guard(each)]
    _refuse(tree)
    program = _Program(_star_names(tree))
    tree = ast.fix_missing_locations(program.visit(tree))
    names = program.names or _star_names(tree)
    if not names:
        raise ValueError("test uses no name of the program")
    imports = [each for each in tree.body if isinstance(each, (ast.Import, ast.ImportFrom))]
    return ModuleTests(
        imports="\n".join(map(ast.unparse, imports)),
        source=ast.unparse(tree),
        names=tuple(sorted(names)),
        tests=tuple(_tests(tree)),
    )


def _is_main_guard(statement: ast.stmt) -> bool:
    """Returns whether a statement is for a module that is run as a script."""
    return isinstance(statement, ast.If) and "__name__" in {
        node.id for node in ast.walk(statement.test) if isinstance(node, ast.Name)
    }


def _star_names(tree: ast.Module) -> set[str]:
    """Returns names that are read and that the module does not define."""
    nodes = list(ast.walk(tree))
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    known = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    known |= {node.name for node in nodes if isinstance(node, (*_Function, ast.ClassDef))}
    known |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    known |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    known |= {(node.asname or node.name).partition(".")[0] for node in nodes if isinstance(node, ast.alias)}
    return read - known - set(dir(builtins)) - {"__name__", "__file__"}


@dataclass
class _Program(ast.NodeTransformer):
    """Takes the import of the program out of a module, and keeps its names.

    Attributes:
        all_names: what `import *` stands for.
        names: names that are imported, or read as attributes of the module.
        modules: names that stand for the module itself.
        renamed: other names of imported ones.
    """

    all_names: set[str]
    names: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """Leaves out `from solution import f as g`, and keeps that `g` is `f`."""
        if node.module != SOLUTION:
            return node
        for alias in node.names:
            self.names |= self.all_names if alias.name == "*" else {alias.name}
        self.renamed |= {alias.asname: alias.name for alias in node.names if alias.asname}
        return ast.Pass()

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Replaces `g` by `f`."""
        return ast.Name(self.renamed.get(node.id, node.id), node.ctx)

    def visit_Import(self, node: ast.Import) -> ast.AST:
        """Leaves out `import solution`."""
        found = [alias for alias in node.names if alias.name == SOLUTION]
        self.modules |= {alias.asname or alias.name for alias in found}
        node.names = [alias for alias in node.names if alias.name != SOLUTION]
        return node if node.names else ast.Pass()

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Replaces `solution.f` by `f`."""
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id in self.modules:
            self.names.add(node.attr)
            return ast.Name(node.attr, node.ctx)
        return node


def _tests(tree: ast.Module) -> Iterator[str]:
    """Yields the tests of a module in its order."""
    for each in tree.body:
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test"):
            yield each.name
        elif isinstance(each, ast.ClassDef) and _is_test_class(each):
            methods = [item.name for item in each.body if isinstance(item, ast.FunctionDef)]
            yield from (f"{each.name}.{name}" for name in methods if name.startswith("test"))


def _is_test_class(node: ast.ClassDef) -> bool:
    """Returns whether a runner would look for tests in a class."""
    return node.name.startswith("Test") or any("TestCase" in ast.unparse(base) for base in node.bases)


def _refuse(tree: ast.Module) -> None:
    """Raises `ValueError` naming the first thing that only pytest's runner gives."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pytest":
            _refuse_name(node.attr)
        if isinstance(node, ast.ImportFrom) and node.module == "pytest":
            for alias in node.names:
                _refuse_name(alias.name)
        if isinstance(node, ast.Attribute) and node.attr in REFUSED_MARKS and ast.unparse(node.value).endswith("mark"):
            raise ValueError(f"test uses pytest.mark.{node.attr}, which needs pytest's runner")
    for each in tree.body:
        if isinstance(each, _Function) and each.name.startswith("test"):
            _refuse_fixtures(each, is_method=False)
        elif isinstance(each, ast.ClassDef) and _is_test_class(each):
            for item in each.body:
                if isinstance(item, _Function) and item.name.startswith("test"):
                    _refuse_fixtures(item, is_method=True)


def _refuse_name(name: str) -> None:
    if name not in PYTEST:
        raise ValueError(f"test uses pytest.{name}, which needs pytest's runner")


def _refuse_fixtures(function: ast.FunctionDef | ast.AsyncFunctionDef, is_method: bool) -> None:
    """Raises `ValueError` where a test is async, or has a parameter that no `parametrize` gives."""
    if isinstance(function, ast.AsyncFunctionDef):
        raise ValueError(f"{function.name} is async, which needs pytest's runner")
    given = {name.strip() for each in function.decorator_list for name in _parametrized(each)}
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    defaults = len(function.args.defaults)
    wanted = [each.arg for each in arguments[: len(arguments) - defaults]][1 if is_method else 0 :]
    for name in wanted:
        if name not in given:
            raise ValueError(f"{function.name} takes the fixture {name}, which needs pytest's runner")


def _parametrized(decorator: ast.expr) -> list[str]:
    """Returns the names that a decorator `parametrize` gives."""
    if not (isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("parametrize") and decorator.args):
        return []
    if any(keyword.arg == "indirect" for keyword in decorator.keywords):
        raise ValueError("test uses parametrize with indirect, which needs pytest's runner")
    try:
        names = ast.literal_eval(decorator.args[0])
    except ValueError:
        raise ValueError("test names the parameters of parametrize by an expression") from None
    return names.split(",") if isinstance(names, str) else [str(each) for each in names]
