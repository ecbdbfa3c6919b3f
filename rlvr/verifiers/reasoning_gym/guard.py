"""What a scorer may evaluate: arithmetic on numbers, lists of literals, sympy's expressions. Nothing else is run.

Owns: the rules for code that is about to be executed, and the audit hook that applies them.
Does not own: what a process could do if a rule failed (`rlvr.sandbox`).

Python tells an audit hook of each code object before it runs it. One that comes from no file was made from text. It may
run where it holds no name and no function, and can only compute with constants; or where sympy's parser made it, and it
holds nothing but names that mean symbols, numbers and functions of mathematics. What is refused is an exception in the
scorer, and to it an answer that it cannot read.
"""

import builtins
import dis
import sys
from functools import cache
from types import CodeType
from typing import Any

PARSER = "sympy.parsing.sympy_parser"
GENERATORS = ("sympy.polys.", "collections", "dataclasses", "enum", "importlib")  # make code, and not from answers
FROZEN = "<frozen "  # modules that are part of the interpreter
STAR_IMPORT = ("sympy",)  # the names in `from sympy import *`, by which the parser makes its name space
_NUMBERS = """
    Add Derivative E Float Function I Integer Integral Mul Number Pow Product Rational Sum Symbol cbrt nan oo pi root
    sqrt zoo
    """
NUMBERS = frozenset(_NUMBERS.split())  # and what makes them
_COMPUTES_NOT = ("ATTR", "METHOD", "STORE", "DELETE", "IMPORT", "MAKE_FUNCTION", "BINARY_SUBSCR")
REFUSED_STEPS = frozenset(step for name, step in dis.opmap.items() if any(part in name for part in _COMPUTES_NOT))


def arm() -> None:
    """Applies the rules to all that this process executes from now on."""
    sys.addaudithook(_watch)


def _watch(event: str, args: tuple[Any, ...]) -> None:
    """Raises `PermissionError` where code that was made from text is about to do more than compute."""
    if event == "exec" and _is_made_from_text(args[0]):
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        if not caller.startswith(GENERATORS) and not is_arithmetic(args[0], by_parser=caller == PARSER):
            raise PermissionError("the answer is a program")


def _is_made_from_text(code: object) -> bool:
    """Returns whether code comes from no file."""
    return isinstance(code, CodeType) and code.co_filename.startswith("<") and not code.co_filename.startswith(FROZEN)


def is_arithmetic(code: CodeType, by_parser: bool) -> bool:
    """Returns whether code can do nothing but compute.

    Args:
        code: compiled from one expression.
        by_parser: whether sympy's parser made it, so that its names are looked up in sympy's name space.
    """
    if any(isinstance(constant, CodeType) for constant in code.co_consts):
        return False
    if not by_parser or not code.co_names:
        return not code.co_names
    if code.co_names == STAR_IMPORT:
        return True
    return REFUSED_STEPS.isdisjoint(code.co_code[::2]) and all(map(_is_mathematics, code.co_names))


def _is_mathematics(name: str) -> bool:
    """Returns whether a name means a symbol, a number or a function of mathematics to sympy's parser."""
    if len(name) == 1 or name in NUMBERS:
        return True
    functions, others = safe_names()
    return name in functions or not (name.startswith("_") or name in others)


@cache
def safe_names() -> tuple[frozenset[str], frozenset[str]]:
    """Returns the names of sympy's functions of mathematics, and all others that mean something to Python or sympy."""
    import sympy
    from sympy.core.function import FunctionClass

    functions = frozenset(name for name, value in vars(sympy).items() if isinstance(value, FunctionClass))
    return functions, frozenset((*vars(sympy), *vars(builtins))) - functions
