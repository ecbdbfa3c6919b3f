"""The code verifier: does a Python program pass the tests of its problem?

Owns: running programs in a sandbox, relaying calls, and the verdict.
Does not own: the sandbox (`rlvr.sandbox`), formats of tests and programs (`rlvr.verifiers.code.tests`).

The verdict is never decided where the program runs. Scripts: their output is compared here. Functions: the tests run in
a second sandbox of their own, and each call of the program's function goes through this process to its sandbox.
Expected values and tests do not enter the program's process, and what comes out of it is data to be compared.
"""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from hashlib import sha256
from platform import python_version_tuple
from signal import SIGALRM, SIGKILL, SIGXCPU

from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.sandbox import LEVELS, DeadlineError, EndedError, Limits, Sandbox, StartError, TooMuchError, make_sandbox
from rlvr.sandbox.child import Child
from rlvr.sandbox.inside import EXIT_MEMORY, EXIT_NOT_PYTHON
from rlvr.sandbox.pool import default_num_workers
from rlvr.verifiers.base import Memory, after_reasoning, one_line, refuse_unusable, unparsed
from rlvr.verifiers.code.tests import CallTests, ScriptTests, program_of, tests_of
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict

RULES = "code@3"
OPTIONS = ("isolation", "deadline", "memory_mb", "workers")
MAX_DEADLINE_S = 3600.0
MAX_MEMORY_MB = 1024**2
GRACE_S = 1.0  # from the end of a channel to the end of its process

Sources = tuple[str, ...]


class CodeVerifier:
    """Judges Python programs by running them in a sandbox.

    The same program for the same problem is judged once; a failure of the sandbox is an `error` and is not remembered.

    Args:
        isolation: `namespace`, `process` or `none`; see docs/isolation.md.
        deadline_s: longest time for all tests of one program together, without the start of interpreters.
        memory_mb: address space of one process.
        num_workers: programs at a time; by default this process's share of the cores, at most 8.

    Raises:
        RecipeError: the level is unknown, or this machine cannot give it.

    Example:
        >>> problem = Problem("Double a number.", "2 * x", {"test_list": ["assert double(4) == 8"]})
        >>> CodeVerifier().verify([(problem, "def double(x): return 2 * x")])[0].outcome
        <Outcome.CORRECT: 'correct'>
    """

    uses_workers = True

    def __init__(
        self,
        isolation: str = "namespace",
        deadline_s: float = 10.0,
        memory_mb: int = 512,
        num_workers: int | None = None,
    ) -> None:
        self.sandbox = make_sandbox(isolation, Limits(deadline_s=deadline_s, memory_mb=memory_mb))
        self.num_workers = default_num_workers() if num_workers is None else num_workers
        python = ".".join(python_version_tuple()[:2])
        self.verifier_id = (
            f"{RULES}?isolation={isolation}&deadline={deadline_s:g}&memory_mb={memory_mb}&python={python}"
        )
        self.memory = Memory[tuple[str, Sources]]()

    @classmethod
    def of(cls, spec: Spec) -> "CodeVerifier":
        """Returns the verifier of a recipe's `code?isolation=...&deadline=...&memory_mb=...&workers=...`."""
        spec.only(*OPTIONS)
        return cls(
            isolation=spec.choice("isolation", list(LEVELS)),
            deadline_s=spec.number("deadline", default=10.0, above=0, at_most=MAX_DEADLINE_S),
            memory_mb=spec.integer("memory_mb", at_least=64, at_most=MAX_MEMORY_MB) or 512,
            num_workers=spec.integer("workers", at_least=1),
        )

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems without usable tests."""
        faults = [(problem, fault) for problem in problems if (fault := _fault(problem))]
        refuse_unusable("code", faults, len(problems), "meta in one of the formats of docs/contracts.md.")

    @after_reasoning
    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order."""
        found = [program_of(problem, completion) for problem, completion in items]
        asked = {
            (problem.problem_id, sources): problem
            for (problem, _), sources in zip(items, found, strict=True)
            if not isinstance(sources, str)
        }
        verdicts = self._judge_all(asked)
        return [
            unparsed(sources) if isinstance(sources, str) else verdicts[problem.problem_id, sources]
            for (problem, _), sources in zip(items, found, strict=True)
        ]

    def close(self) -> None:
        """Does nothing: no process outlives its verdict."""

    def _judge_all(self, asked: dict[tuple[str, Sources], Problem]) -> dict[tuple[str, Sources], Verdict]:
        """Returns the verdicts of distinct programs, several judged at a time; of the remembered ones none again."""
        known = self.memory.recall(asked)
        new = [key for key in asked if key not in known]
        with ThreadPoolExecutor(self.num_workers) as threads:
            verdicts = threads.map(lambda key: judge(self.sandbox, asked[key], key[1]), new)
            fresh = dict(zip(new, verdicts, strict=True))
        self.memory.keep(fresh)
        return known | fresh


def _fault(problem: Problem) -> str:
    """Returns what is wrong with the tests of a problem, or an empty text."""
    try:
        tests_of(problem)
    except (ValueError, TypeError, RecursionError) as error:
        return str(error)
    return ""


def judge(sandbox: Sandbox, problem: Problem, sources: Sources) -> Verdict:
    """Returns the verdict of one program."""
    answer = _normal_form(sources[-1])
    try:
        tests = tests_of(problem)
        run = _run_scripts if isinstance(tests, ScriptTests) else _run_calls
        outcome, reason = run(sandbox, tests, sources)  # type: ignore[arg-type]
    except (StartError, OSError, ValueError, TypeError, RecursionError) as error:
        outcome, reason = Outcome.ERROR, f"{type(error).__name__}: {error}"
    return Verdict(outcome, answer, _printable(reason))


def _printable(text: str) -> str:
    """Returns a text, parts of which a program wrote, in one line that any terminal and any store takes."""
    return "".join(char if char.isprintable() else "?" for char in one_line(text))


def _normal_form(program: str) -> str:
    """Returns the program itself where it is short, else a hash; blank space at line ends does not count."""
    text = "\n".join(line.rstrip() for line in program.strip().split("\n"))
    text = text.encode(errors="replace").decode()
    if len(text) <= MAX_VERDICT_CHARS:
        return text
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def _run_scripts(sandbox: Sandbox, tests: ScriptTests, sources: Sources) -> tuple[Outcome, str]:
    """Runs the program once for each pair, and compares its output line by line, whatever the blank space."""
    left = sandbox.limits.deadline_s
    for number, (given, wanted) in enumerate(tests.pairs, start=1):
        with sandbox.start() as child:
            child.begin(_task(sandbox, "script", sources), stdin=given.encode(errors="replace"))
            started = time.monotonic()
            outcome, reason = _script_verdict(child, wanted, started + left)
            left -= time.monotonic() - started
        if outcome is not Outcome.CORRECT:
            return outcome, f"test {number} of {len(tests.pairs)}: {reason}"
    return Outcome.CORRECT, ""


def _task(sandbox: Sandbox, role: str, sources: Sources = ()) -> dict[str, object]:
    """Returns what a driver is told."""
    return {"role": role, "limits": sandbox.limits_of_process(), "sources": list(sources)}


def _script_verdict(child: Child, wanted: str, deadline: float) -> tuple[Outcome, str]:
    """Returns outcome and reason of one run."""
    try:
        output, code = child.finish(deadline)
    except DeadlineError as error:
        return Outcome.TIMEOUT, str(error)
    except TooMuchError as error:
        return Outcome.WRONG, str(error)
    if code == EXIT_NOT_PYTHON:
        return Outcome.UNPARSED, f"not a Python program: {child.complaint}"
    if code != 0:
        outcome, reason = _end_of(code)
        return outcome, f"{reason} {child.complaint}"
    return _compare(output.decode(errors="replace"), wanted)


def _end_of(code: int) -> tuple[Outcome, str]:
    """Returns what the end of a program means."""
    if code == EXIT_MEMORY:
        return Outcome.TIMEOUT, "exceeded the memory limit"
    if code in (-SIGXCPU, -SIGALRM, -SIGKILL):
        return Outcome.TIMEOUT, "killed at a limit of time or memory"
    return Outcome.WRONG, f"the program ended by signal {-code}" if code < 0 else f"the program ended, exit code {code}"


def _compare(output: str, wanted: str) -> tuple[Outcome, str]:
    """Returns whether two outputs have the same lines of words."""
    seen, expected = _word_lines(output), _word_lines(wanted)
    if seen == expected:
        return Outcome.CORRECT, ""
    number = next((i for i, pair in enumerate(zip(seen, expected, strict=False)) if pair[0] != pair[1]), None)
    if number is None:
        return Outcome.WRONG, f"{len(seen)} lines of output, expected {len(expected)}"
    return Outcome.WRONG, f"line {number + 1} is {seen[number][:100]!r}, expected {expected[number][:100]!r}"


def _word_lines(text: str) -> list[str]:
    """Returns the lines of a text, blank space within them reduced and around all of them removed."""
    return [" ".join(line.split()) for line in text.strip().split("\n")]


def _run_calls(sandbox: Sandbox, tests: CallTests, sources: Sources) -> tuple[Outcome, str]:
    """Runs tests in one sandbox and the program in another, and relays calls until the tests give a verdict."""
    with sandbox.start() as tester, sandbox.start() as program:
        program.begin(_task(sandbox, "functions", sources))
        tester.begin(_task(sandbox, "tests") | asdict(tests))
        deadline = time.monotonic() + sandbox.limits.deadline_s
        is_answered = False
        while True:
            message = _from_tester(tester, deadline, is_answered)
            if isinstance(message, tuple):
                return message
            program.send(message)
            try:
                tester.send(program.receive(deadline))
                is_answered = True
            except DeadlineError as error:
                return Outcome.TIMEOUT, str(error)
            except TooMuchError as error:
                return Outcome.WRONG, f"the program {error}"
            except EndedError:
                return _after_end(program)


def _from_tester(tester: Child, deadline: float, is_answered: bool) -> bytes | tuple[Outcome, str]:
    """Returns the next call, or outcome and reason.

    Where the program has answered a call, a call too large may be of its making, and `error` is not its to choose.
    """
    try:
        message = tester.receive(deadline)
    except DeadlineError as error:
        return Outcome.TIMEOUT, str(error)
    except EndedError:
        code = tester.exit_code() if tester.ends_within(GRACE_S) else 1
        outcome, _ = _end_of(code)
        return (outcome if outcome is Outcome.TIMEOUT else Outcome.ERROR), f"the tests ended, exit code {code}"
    except TooMuchError as error:
        return (Outcome.WRONG if is_answered else Outcome.ERROR), f"the tests {error}"
    if message[:1] == b"c":
        return message[1:]
    outcome, reason = json.loads(message[1:])
    return Outcome(outcome), reason


def _after_end(program: Child) -> tuple[Outcome, str]:
    """Returns the outcome of a program that ended, or closed its channel, while a call waited for an answer."""
    if program.ends_within(GRACE_S):
        return _end_of(program.exit_code())
    return Outcome.WRONG, "the program closed its channel"
