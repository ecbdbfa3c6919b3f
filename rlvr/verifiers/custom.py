"""A user's own verifier: a Python function of a problem and a completion.

Owns: the import of the function, and the translation of its results and failures into verdicts.
Does not own: deadlines. The function runs in this process; one that can hang must guard itself.
"""

import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from rlvr.errors import RecipeError
from rlvr.problems import Problem
from rlvr.verifiers.base import one_line
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict


class CustomVerifier:
    """Judges with `function(problem, completion)`, which returns a bool or a `Verdict`.

    An exception, or any other result, is the outcome `error` with a reason. The verifier's id holds a hash of the
    module's source file, so that verdicts of an edited function are not mixed with older ones.

    Args:
        spec: `package.module:function`. Modules are also looked up in the current folder.

    Raises:
        RecipeError: the function cannot be imported.
    """

    def __init__(self, spec: str) -> None:
        module_name, _, name = spec.partition(":")
        module = _import_module(spec, module_name)
        self.function = _function_of(module, name, spec)
        self.verifier_id = f"{spec}@{_source_hash(module)}"

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Does nothing: what the function needs of a problem is not known."""

    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order."""
        return [self._judge(problem, completion) for problem, completion in items]

    def close(self) -> None:
        """Does nothing: there are no workers."""

    def _judge(self, problem: Problem, completion: str) -> Verdict:
        """Returns the verdict that the function's result means."""
        try:
            result = self.function(problem, completion)
        except Exception as error:
            return Verdict(Outcome.ERROR, reason=one_line(f"{type(error).__name__}: {error}"))
        if isinstance(result, Verdict):
            return _within_limits(result)
        if isinstance(result, bool):
            return Verdict(Outcome.CORRECT if result else Outcome.WRONG)
        return Verdict(Outcome.ERROR, reason=f"returned {type(result).__name__}, expected bool or Verdict")


def _import_module(spec: str, name: str) -> ModuleType:
    """Returns the module, found on the path or in the current folder."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise RecipeError(
                f"verifier: {spec!r}: no module {name!r} on the path or in {folder}; expected package.module:function."
            ) from None
        raise _cannot_import(spec, error) from error
    except (Exception, SystemExit) as error:
        raise _cannot_import(spec, error) from error


def _cannot_import(spec: str, error: BaseException) -> RecipeError:
    """Returns the error of a module that fails while it is imported."""
    reason = one_line(f"{type(error).__name__}: {error}")
    return RecipeError(f"verifier: {spec!r} cannot be imported ({reason}); correct the module.")


def _function_of(module: ModuleType, name: str, spec: str) -> Callable[[Problem, str], Any]:
    """Returns the module's function."""
    function = getattr(module, name, None)
    if callable(function):
        return function  # type: ignore[no-any-return]
    if function is not None:
        raise RecipeError(
            f"verifier: {spec!r} is a {type(function).__name__}; expected a function(problem, completion)."
        )
    functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    near = get_close_matches(name, functions, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(functions[:10]) or 'its functions'}."
    raise RecipeError(f"verifier: {spec!r}: {module.__name__} has no {name!r}; {hint}")


def _source_hash(module: ModuleType) -> str:
    """Returns 8 hex digits of the module's source file, or `unknown` where there is none."""
    file = getattr(module, "__file__", None)
    if file is None or not os.access(file, os.R_OK):
        return "unknown"
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:8]


def _within_limits(verdict: Verdict) -> Verdict:
    """Returns the verdict with its texts cut to what a verdict may hold."""
    answer = verdict.answer if verdict.answer is None else verdict.answer[:MAX_VERDICT_CHARS]
    return replace(verdict, answer=answer, reason=one_line(verdict.reason))
