r"""What is taken for the program in a completion.

Owns: fenced blocks, code without fences, the choice among blocks, what is joined to a block and what is cut from it.
Does not own: what the tests are (`rlvr.verifiers.code.tests`), running (`rlvr.verifiers.code.verifier`).

What the tests need decides. For functions it is the last block that defines their names; for a script the last block
that reads and prints. Names that the block uses and does not define are taken from the other blocks. What a completion
shows after its solution (calls, prints, asserts) is no part of it. docs/contracts.md compares this with the extractors
of LiveCodeBench and EvalPlus. Text is parsed and never run here; the work is nearly linear in its length.
"""

import ast
import builtins
import re
import textwrap
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

PYTHON = {"python", "python3", "py", "py3"}
UNMARKED = {"", "text", "txt", "plaintext", "plain", "code"}
WRAPPERS = {"markdown", "md"}
MAX_BLOCKS = 256  # the last ones of a completion
MAX_LOOKS = 8  # at fences that may stand within a text of the program, in one completion

_LEAD = frozenset(" \t>-*+.)0123456789")  # of a line that starts with a fence: indent, list marker, quotation
_GOES_ON = re.compile(r"[)\]}]|(?:else|elif|except|finally)\b")  # lines at the margin that start no statement
_TRIPLE = re.compile(r"\"\"\"|'''")
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__"}
_TAG = re.compile(r"</?\|?\w+\|?>")
_TEST_RUNNERS = frozenset({"doctest", "pytest", "unittest"})
_SHOWING = frozenset({"print", "input"})
_READERS = frozenset({"input", "open", "stdin", "fileinput"})
_PRINTERS = frozenset({"print", "stdout"})
_Scope = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_Named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_Assignment = (ast.Assign, ast.AnnAssign, ast.AugAssign)


def program_text(completion: str, names: Collection[str]) -> str:
    """Returns the text of a completion's program; where nothing parses, the text that stands in its place.

    Args:
        completion: what a model wrote.
        names: functions and classes that the tests need; none for a script.
    """
    completion = completion.replace("\r\n", "\n").replace("\r", "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escape sequences of the text that is parsed
        blocks = _blocks(completion)[-MAX_BLOCKS:]
        found = [block for block in blocks if block.language in PYTHON | UNMARKED]
        candidates = [each for block in found for each in _candidates(block)]
        if not blocks:
            candidates = _loose(completion)[-MAX_BLOCKS:]
        if candidates:
            return _chosen(candidates, frozenset(names))
    return "" if blocks else completion


def defines(text: str, name: str) -> bool:
    """Returns whether a text that may not parse defines a name at its left margin."""
    name = re.escape(name)
    return re.search(rf"^(?:(?:async[ \t]+)?def[ \t]+{name}\b|{name}[ \t]*=[^=])", text, re.MULTILINE) is not None


# --- fences -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A text in fences."""

    language: str
    text: str


@dataclass(frozen=True)
class _Fence:
    """A run of three or more backticks or tildes on a line, with what stands around it."""

    before: str
    mark: str
    after: str

    @property
    def leads(self) -> bool:
        """Whether the line starts with it."""
        return _LEAD.issuperset(self.before)

    @property
    def opens(self) -> bool:
        """Whether it can open a block: at a line's start, or after text, with nothing but a language after it."""
        if self.leads:
            return True
        is_short = len(self.after.split()) <= 1 or self.language in PYTHON
        return self.mark[0] == "`" and "```" not in self.before and is_short

    def closes(self, opening: "_Fence") -> bool:
        """Whether it can close the block of `opening`: at a line's start, or at the end of a line of code."""
        is_as_long = self.mark[0] == opening.mark[0] and len(self.mark) >= len(opening.mark)
        return is_as_long and (self.leads or (self.mark[0] == "`" and not _TAG.sub("", self.after, 1).strip()))

    @property
    def language(self) -> str:
        """The word after it, in small letters."""
        found = re.match(r"[ \t{.]*([\w+-]*)", self.after)
        return found[1].lower() if found else ""


def _fence(line: str) -> _Fence | None:
    """Returns the last fence of a line."""
    for char in "`~":
        end = line.rfind(char) + 1
        before = line[:end].rstrip(char)
        if end - len(before) >= 3:
            return _Fence(before, line[len(before) : end], line[end:])
    return None


def _blocks(text: str) -> list[Block]:
    """Returns the fenced blocks of a text, the text before a closing fence without an opening one among them."""
    lines = text.split("\n")
    fences = {number: fence for number, line in enumerate(lines) if (fence := _fence(line))}
    found: list[Block] = []
    start, looks = -1, MAX_LOOKS
    for number, fence in fences.items():
        if start >= 0:
            opening = fences[start]
            if not fence.closes(opening):
                continue
            content = _content(lines[start + 1 : number], opening, "" if fence.leads else fence.before)
            if looks and _in_quotes(content):
                looks -= 1
                if _is_within_text(lines, fences, start, number):
                    continue
            found += _block(opening, content)
            start = number if fence.leads and fence.language and len(fence.after.split()) == 1 else -1
        elif "```" in fence.before:
            found.append(_inline(fence))
        elif fence.opens:
            if not found and not fence.language and number and _parsed("\n".join(lines[:number])):
                found.append(Block("", "\n".join(lines[:number])))  # the prompt has opened the fence
            start = number
    if start >= 0:
        found += _block(fences[start], _content(lines[start + 1 :], fences[start], ""))
    return found


def _content(lines: Sequence[str], opening: _Fence, last: str) -> str:
    """Returns the lines of a block without the indent or the quotation marks of its fence."""
    if opening.leads and ">" in opening.before:
        lines = [re.sub(r"^[ \t]{0,3}> ?", "", line) for line in lines]
    elif opening.leads and opening.before:
        width = len(opening.before)
        lines = [line[:width].lstrip(" \t") + line[width:] for line in lines]
    return "".join(f"{line}\n" for line in lines) + last


def _block(opening: _Fence, content: str) -> list[Block]:
    """Returns a block, or those that stand in it."""
    if opening.language in WRAPPERS:
        return _blocks(content)
    return [Block(opening.language, content)]


def _inline(fence: _Fence) -> Block:
    """Returns the block that stands on one line."""
    text = fence.before.rpartition("```")[2].strip()
    first, _, rest = text.partition(" ")
    return Block("", rest if first.lower() in PYTHON else text)


def _in_quotes(text: str) -> bool:
    """Returns whether a text may end within triple quotes."""
    return text.count('"""') % 2 == 1 or text.count("'''") % 2 == 1


def _is_within_text(lines: list[str], fences: dict[int, _Fence], start: int, number: int) -> bool:
    """Returns whether the fence of a line stands in a docstring: the block parses up to one of the next fences."""
    ends = [other for other in fences if other > number and fences[other].closes(fences[start])][:4]
    lasts = ["" if fences[end].leads else fences[end].before for end in ends]
    if not ends:
        ends, lasts = [len(lines)], [""]
    return any(
        _parsed(_content(lines[start + 1 : end], fences[start], last)) for end, last in zip(ends, lasts, strict=True)
    )


# --- code without fences ------------------------------------------------------------------------------------------


def _parsed(text: str) -> ast.Module | None:
    """Returns the tree of a text that is Python and does something."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if any(map(_has_effect, tree.body)) else None


def _has_effect(statement: ast.stmt) -> bool:
    """Returns whether a statement is more than words that happen to parse, such as `Sure, here` or `Note: this`."""
    if isinstance(statement, ast.Expr):
        return any(isinstance(node, (ast.Call, ast.Await, ast.NamedExpr)) for node in ast.walk(statement))
    if isinstance(statement, ast.AnnAssign):
        return statement.value is not None
    return not isinstance(statement, (ast.Return, ast.Pass))


def _is_text(statement: ast.stmt) -> bool:
    """Returns whether a statement is a constant, such as a docstring."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _runs(text: str) -> list[str]:
    """Returns the stretches of a text that are Python: statements at the margin, one after the other."""
    found, current = [], ""
    for chunk in _chunks(text):
        source = chunk if _parsed(chunk) or not _words(chunk) else ""
        if not source:  # a line of prose may stand before indented code
            rest = textwrap.dedent(chunk.partition("\n")[2])
            if current:
                found.append(current)
            found, current = ([*found, rest], "") if rest.strip() and _parsed(rest) else (found, "")
        current += source
    return [run for run in [*found, current] if _parsed(run)]


def _words(chunk: str) -> bool:
    """Returns whether a text is more than comments."""
    return any(line.strip() and not line.lstrip().startswith("#") for line in chunk.split("\n"))


def _chunks(text: str) -> Iterator[str]:
    """Yields the parts of a text that begin at the left margin and are not within triple quotes."""
    lines = text.split("\n")
    last = {mark: number for number, line in enumerate(lines) for mark in _TRIPLE.findall(line)}
    chunk: list[str] = []
    quote = None
    for number, line in enumerate(lines):
        starts = bool(line) and not line[0].isspace() and not _GOES_ON.match(line)
        if starts and quote is None and chunk and not chunk[-1].startswith("@"):
            yield "".join(chunk)
            chunk = []
        chunk.append(f"{line}\n")
        for mark in _TRIPLE.findall(line):
            if quote is None and (last[mark] > number or line.count(mark) > 1):
                quote = mark
            elif quote == mark:
                quote = None
    yield "".join(chunk)


# --- the choice ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Candidate:
    """A text that may be the program, or a part of it.

    Attributes:
        text: Python, where there is a tree.
        tree: None where it does not parse.
        is_marked: its fence says Python.
    """

    text: str
    tree: ast.Module | None
    is_marked: bool

    @cached_property
    def bound(self) -> frozenset[str]:
        """Names that it binds at module level, and methods of a class `Solution`."""
        return frozenset(_bound(self.tree.body)) if self.tree else frozenset()

    @cached_property
    def words(self) -> frozenset[str]:
        """Names and attributes that it reads."""
        nodes = list(ast.walk(self.tree)) if self.tree else []
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        return frozenset(names | {node.attr for node in nodes if isinstance(node, ast.Attribute)})

    @cached_property
    def missing(self) -> frozenset[str]:
        """Names that it reads, and that neither it nor Python defines."""
        if self.tree is None:
            return frozenset()
        known: set[str] = set()
        read: set[str] = set()
        for node in ast.walk(self.tree):
            known |= _own_names(node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                read.add(node.id)
        return frozenset(read - known - _BUILTINS)

    @cached_property
    def runs(self) -> bool:
        """Whether it does something beside definitions."""
        body = self.tree.body if self.tree else []
        return any(_has_effect(each) and not isinstance(each, (*_Definition, *_Assignment)) for each in body)

    @property
    def reads(self) -> bool:
        """Whether it reads standard input."""
        return not _READERS.isdisjoint(self.words)

    @property
    def prints(self) -> bool:
        """Whether it writes to standard output."""
        return not _PRINTERS.isdisjoint(self.words)


def _candidate(text: str, is_marked: bool) -> _Candidate:
    """Returns a text with its tree."""
    return _Candidate(text, _parsed(text), is_marked)


def _candidates(block: Block) -> list[_Candidate]:
    """Returns a block as candidates: as it is, without its indent, or the longest part that is Python."""
    is_marked = block.language in PYTHON
    if not block.text.strip():
        return []
    whole = _candidate(block.text, is_marked)
    if whole.tree is None and block.text.lstrip("\n")[:1].isspace():
        shifted = _candidate(textwrap.dedent(block.text), is_marked)
        if shifted.tree is not None:
            return [shifted]
    if whole.tree is None and (runs := _runs(block.text)):
        return [whole, _candidate(max(runs, key=len), is_marked)]
    return [whole]


def _loose(text: str) -> list[_Candidate]:
    """Returns the candidates of a text without fences."""
    whole = _candidate(text, is_marked=False)
    if whole.tree is not None and all(_has_effect(each) or _is_text(each) for each in whole.tree.body):
        return [whole]
    lines = [_TAG.sub("", line, 1) if line.lstrip().startswith("<") else line for line in text.split("\n")]
    lines = [line[: line.rindex("<")] if _TAG.fullmatch(line[line.rfind("<") :]) else line for line in lines]
    return [_candidate(run, is_marked=False) for run in _runs("\n".join(lines))]


def _own_names(node: ast.AST) -> set[str]:
    """Returns the names that one node binds, in whatever scope."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.Name):
        return set() if isinstance(node.ctx, ast.Load) else {node.id}
    if isinstance(node, ast.arg):
        return {node.arg}
    if isinstance(node, ast.alias):
        return {(node.asname or node.name).partition(".")[0]}
    bound = getattr(node, "name", None) if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) else None
    return {bound} if bound else set()


def _bound(body: Sequence[ast.AST]) -> Iterator[str]:
    """Yields the names that statements bind at their own level."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield from _own_names(node)
        if isinstance(node, ast.ClassDef) and node.name == "Solution":
            yield from (each.name for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)))
        if not isinstance(node, _Scope):
            waiting += ast.iter_child_nodes(node)


def _chosen(candidates: list[_Candidate], names: frozenset[str]) -> str:
    """Returns the program among candidates, which stand in the order of the text."""
    rank: Callable[[int], tuple[int, bool, bool]] = (
        (lambda i: _function_rank(candidates[i], names)) if names else (lambda i: _script_rank(candidates, i))
    )
    start = max(range(len(candidates)), key=lambda i: (*rank(i), i))
    if candidates[start].tree is None:
        return candidates[start].text
    return _joined(candidates, start, names)


def _function_rank(candidate: _Candidate, names: frozenset[str]) -> tuple[int, bool, bool]:
    """Returns how good a candidate is where tests call functions."""
    num_defined = len(names & candidate.bound)
    return num_defined, not num_defined and candidate.is_marked, candidate.tree is not None


def _script_rank(candidates: list[_Candidate], start: int) -> tuple[int, bool, bool]:
    """Returns how good a candidate is where tests run it: it reads and prints by itself, or with what it uses."""
    own = candidates[start]
    if own.runs and own.reads and own.prints:
        return 3, False, True
    used = [candidates[i] for i in _needed(candidates, start, frozenset())] if own.runs else []
    if any(each.reads for each in used) and any(each.prints for each in used):
        return 2, False, True
    return int(own.runs and own.prints), own.is_marked, own.tree is not None


def _needed(candidates: list[_Candidate], start: int, names: frozenset[str]) -> list[int]:
    """Returns the indices of a candidate and of those that define what it lacks: the nearest before it, then after."""
    chosen = {start}
    lacking = (names | candidates[start].missing) - candidates[start].bound
    for other in [*range(start - 1, -1, -1), *range(start + 1, len(candidates))]:
        each = candidates[other]
        if lacking & each.bound:
            chosen.add(other)
            lacking = (lacking | each.missing) - each.bound
    return sorted(chosen)


def _joined(candidates: list[_Candidate], start: int, names: frozenset[str]) -> str:
    """Returns a candidate with the definitions that it needs from others; for functions without what only shows it."""
    parts = []
    for index in _needed(candidates, start, names):
        each = candidates[index]
        body = each.tree.body if each.tree else []
        if index != start:
            parts.append(_kept(each, list(filter(_is_definition, body))))
        elif names & each.bound:
            parts.append(_kept(each, _without_usage(body)))
        else:
            parts.append(each.text)
    return "\n".join(parts)


def _is_definition(statement: ast.stmt) -> bool:
    """Returns whether a statement defines something, and neither reads nor prints on the way."""
    if isinstance(statement, _Definition):
        return True
    return isinstance(statement, _Assignment) and _called(statement).isdisjoint(_SHOWING)


def _called(node: ast.AST) -> set[str]:
    """Returns the names that are called in a part of a program."""
    calls = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
    return {each.id for each in calls if isinstance(each, ast.Name)}


def _without_usage(body: list[ast.stmt]) -> list[ast.stmt]:
    """Returns the statements of a program without those at its end that show it.

    Such a statement asserts, prints, reads input, calls a function that prints or reads, or starts a runner of tests.
    """
    showing = _SHOWING | {
        each.name for each in body if isinstance(each, _Named) and not _called(each).isdisjoint(_SHOWING)
    }
    last = len(body)
    while last and not isinstance(body[last - 1], _Definition) and _shows(body[last - 1], showing):
        last -= 1
    return body[:last]


def _shows(statement: ast.stmt, showing: frozenset[str]) -> bool:
    """Returns whether a statement only shows a program, where `showing` names the functions that print or read."""
    if any(isinstance(node, ast.Assert) for node in ast.walk(statement)):
        return True
    roots = {
        node.value.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    return not _called(statement).isdisjoint(showing) or not roots.isdisjoint(_TEST_RUNNERS)


def _kept(candidate: _Candidate, statements: list[ast.stmt]) -> str:
    """Returns the lines of some statements; all of them are the text itself."""
    if candidate.tree is not None and len(statements) == len(candidate.tree.body):
        return candidate.text
    lines = candidate.text.split("\n")
    numbers = {n for each in statements for n in range(_first_line(each) - 1, each.end_lineno or each.lineno)}
    return "".join(f"{lines[number]}\n" for number in sorted(numbers))


def _first_line(statement: ast.stmt) -> int:
    """Returns the line on which a statement begins, decorators included."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return min([statement.lineno, *(each.lineno for each in statement.decorator_list)])
    return statement.lineno
