"""The code verifier: does a Python program pass the tests of its problem?

Owns: running programs in a sandbox, relaying calls, and the verdict.
Does not own: the sandbox (`rlvr.sandbox`), formats of tests and programs (`rlvr.verifiers.code.tests`).

The verdict is never decided where the program runs. Scripts: their output is compared here. Functions: the tests run in
a second sandbox of their own, and each call of the program's function goes through this process to its sandbox.
Expected values and tests do not enter the program's process, and what comes out of it is data to be compared.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from hashlib import sha256
from platform import python_version_tuple
from signal import SIGALRM, SIGKILL, SIGXCPU

from rlvr.problems import Problem
from rlvr.problems.spec import Spec
from rlvr.sandbox import LEVELS, DeadlineError, EndedError, Limits, Sandbox, StartError, TooMuchError, make_sandbox
from rlvr.sandbox.child import Child
from rlvr.sandbox.inside import EXIT_MEMORY, EXIT_NOT_PYTHON
from rlvr.sandbox.levels import MEBIBYTE
from rlvr.sandbox.packages import find_packages
from rlvr.sandbox.pool import default_num_workers
from rlvr.verifiers.base import Memory, after_reasoning, one_line, refuse_unusable, unparsed
from rlvr.verifiers.code.checker import CheckerError, CheckerTimeoutError, ask_checker
from rlvr.verifiers.code.compare import Expected, Kept
from rlvr.verifiers.code.tests import CallTests, ScriptTests, program_of, tests_of
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict

RULES = "code@4"
OPTIONS = ("isolation", "deadline", "memory_mb", "packages", "workers", "tolerance", "credit")
CREDITS = ("all", "fraction")
DEFAULT_PACKAGES = ("numpy",)
MAX_DEADLINE_S = 3600.0
MAX_MEMORY_MB = 1024**2
FIND, OBJECT = b'{"op": "find"', b'{"value": {"object": ['  # a name that is looked up, and found to be no data
GRACE_S = 1.0  # from the end of a channel to the end of its process

Sources = tuple[str, ...]
Tests = CallTests | ScriptTests


class CodeVerifier:
    """Judges Python programs by running them in a sandbox.

    The same program for the same problem is judged once; a failure of the sandbox is an `error` and is not remembered.

    Args:
        isolation: `namespace`, `process` or `none`; see docs/isolation.md.
        deadline_s: longest time for all tests of one program together, without the start of interpreters.
        memory_mb: address space of one process.
        num_workers: programs at a time; by default this process's share of the cores, at most 8.
        tolerance: of floats in results and numbers in outputs, where a row has no `atol` of its own.
        credit: `all`: a program passes all tests or is wrong. `fraction`: the share that it passes is its score, too.
        packages: installed packages that programs and tests can import, with what these require.

    Raises:
        RecipeError: the level is unknown, or this machine cannot give it; a package is not installed.

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
        tolerance: float = 0.0,
        credit: str = "all",
        packages: Sequence[str] = DEFAULT_PACKAGES,
    ) -> None:
        found = find_packages(list(packages))
        self.sandbox = make_sandbox(isolation, Limits(deadline_s=deadline_s, memory_mb=memory_mb), found)
        self.num_workers = default_num_workers() if num_workers is None else num_workers
        python = ".".join(python_version_tuple()[:2])
        self.verifier_id = (
            f"{RULES}?isolation={isolation}&deadline={deadline_s:g}&memory_mb={memory_mb}"
            f"&packages={found}&python={python}"
        )
        self.tolerance, self.credit = tolerance, credit
        self.verifier_id += f"&tolerance={tolerance!r}" if tolerance else ""
        self.verifier_id += f"&credit={credit}" if credit != CREDITS[0] else ""
        self.memory = Memory[tuple[str, Sources]]()

    @classmethod
    def of(cls, spec: Spec) -> "CodeVerifier":
        """Returns the verifier of a recipe's `code?isolation=...&deadline=...`, with any of `OPTIONS`."""
        spec.only(*OPTIONS)
        return cls(
            isolation=spec.choice("isolation", list(LEVELS)),
            deadline_s=spec.number("deadline", default=10.0, above=0, at_most=MAX_DEADLINE_S),
            memory_mb=spec.integer("memory_mb", at_least=64, at_most=MAX_MEMORY_MB) or 512,
            num_workers=spec.integer("workers", at_least=1),
            tolerance=spec.number("tolerance", default=0.0, at_most=1.0),
            credit=spec.choice("credit", CREDITS),
            packages=_package_names(spec),
        )

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems without usable tests."""
        faults = [(problem, fault) for problem in problems if isinstance(fault := self._tests(problem), str)]
        refuse_unusable("code", faults, len(problems), "meta in one of the formats of docs/contracts.md.")

    @after_reasoning
    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order."""
        tests = {name: self._tests(problem) for name, problem in {p.problem_id: p for p, _ in items}.items()}
        found = [_sources(problem, tests[problem.problem_id], completion) for problem, completion in items]
        asked = {
            (problem.problem_id, sources): each
            for (problem, _), sources in zip(items, found, strict=True)
            if not isinstance(sources, Verdict) and not isinstance(each := tests[problem.problem_id], str)
        }
        verdicts = self._judge_all(asked)
        return [
            sources if isinstance(sources, Verdict) else verdicts[problem.problem_id, sources]
            for (problem, _), sources in zip(items, found, strict=True)
        ]

    def close(self) -> None:
        """Does nothing: no process outlives its verdict."""

    def _tests(self, problem: Problem) -> Tests | str:
        """Returns the tests of a problem, or what is wrong with them."""
        try:
            return tests_of(problem, self.tolerance)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            return f"{type(error).__name__}: {error}" if type(error) is not ValueError else str(error)

    def _judge_all(self, asked: Mapping[tuple[str, Sources], Tests]) -> dict[tuple[str, Sources], Verdict]:
        """Returns the verdicts of distinct programs, several judged at a time; of the remembered ones none again."""
        known = self.memory.recall(asked)
        new = [key for key in asked if key not in known]
        with ThreadPoolExecutor(self.num_workers) as threads:
            verdicts = threads.map(lambda key: judge(self.sandbox, asked[key], key[1], self.credit), new)
            fresh = dict(zip(new, verdicts, strict=True))
        self.memory.keep(fresh)
        return known | fresh


def _sources(problem: Problem, tests: Tests | str, completion: str) -> Sources | Verdict:
    """Returns the sources of a program, or the verdict where there are none, or no tests."""
    if isinstance(tests, str):
        return Verdict(Outcome.ERROR, reason=_printable(f"the tests cannot be used: {tests}"))
    sources = program_of(problem, tests, completion)
    return unparsed(sources) if isinstance(sources, str) else sources


def _package_names(spec: Spec) -> list[str]:
    """Returns the names in the option `packages`; raises `RecipeError` where they are none."""
    value = spec.options.get("packages", ",".join(DEFAULT_PACKAGES))
    names = [] if value == "none" else value.split(",")
    if not all(re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", name) for name in names):
        raise spec.refusal("packages", "names of installed packages with commas between them, or none")
    return names


def judge(sandbox: Sandbox, tests: Tests, sources: Sources, credit: str = CREDITS[0]) -> Verdict:
    """Returns the verdict of one program."""
    score = None
    try:
        if credit == "fraction":
            outcome, reason, score = _graded(sandbox, tests, sources)
        else:
            outcome, reason, _ = _run(sandbox, tests, sources)
    except (StartError, CheckerError, OSError, ValueError, TypeError, RecursionError) as error:
        outcome, reason = Outcome.ERROR, f"{type(error).__name__}: {error}"
    return Verdict(outcome, _normal_form(sources[-1]), _printable(reason), score=score)


def _graded(sandbox: Sandbox, tests: Tests, sources: Sources) -> tuple[Outcome, str, float | None]:
    """Returns outcome, reason and share of the tests that a program passes.

    All are run together, as without credit, and that alone decides whether it is correct. Where it is not, each is run
    by itself; the first that exceeds a limit is the last that is run, and those after it are not passed.
    """
    outcome, reason, score = _run(sandbox, tests, sources)
    if outcome in (Outcome.ERROR, Outcome.UNPARSED):
        return outcome, reason, None
    each: list[Tests] = list(tests.each())
    if outcome is Outcome.CORRECT or score > 0 or len(each) == 1:  # above 0: a checker has judged all that was printed
        return outcome, reason, score
    scores: list[float] = []
    for test in each:
        alone, why, score = _run(sandbox, test, sources)
        if alone in (Outcome.ERROR, Outcome.UNPARSED):
            return alone, why, None
        scores.append(score)
        if alone is Outcome.TIMEOUT:
            break
    share = min(sum(scores), len(each) - 1) / len(each)
    passed = sum(score == 1 for score in scores)
    return Outcome.WRONG if share else outcome, f"{passed} of {len(each)} tests passed alone; {reason}", share


def _run(sandbox: Sandbox, tests: Tests, sources: Sources) -> tuple[Outcome, str, float]:
    """Returns outcome and reason of a program, and what the tests say of it from 0 to 1."""
    if isinstance(tests, CallTests):
        outcome, reason = _run_calls(sandbox, tests, sources)
    elif tests.checker:
        return _run_checked(sandbox, tests, sources)
    else:
        outcome, reason = _run_scripts(sandbox, tests, sources)
    return outcome, reason, float(outcome is Outcome.CORRECT)


def _run_checked(sandbox: Sandbox, tests: ScriptTests, sources: Sources) -> tuple[Outcome, str, float]:
    """Runs the program for each input, and asks the problem's checker about what it printed."""
    kept = Kept()
    runs = replace(tests, pairs=tuple((given, kept) for given, _ in tests.pairs))
    outcome, reason = _run_scripts(sandbox, runs, sources)
    if outcome is not Outcome.CORRECT:
        return outcome, reason, 0.0
    told = [
        (given, output, wanted.text)
        for (given, wanted), output in zip(tests.pairs, kept.outputs, strict=True)
        if isinstance(wanted, Expected)
    ]
    try:
        scores = ask_checker(sandbox, tests.checker, told)
    except CheckerTimeoutError as error:
        return Outcome.TIMEOUT, str(error), 0.0
    number = next((number for number, score in enumerate(scores, start=1) if score < 1), None)
    if number is None:
        return Outcome.CORRECT, "", 1.0
    reason = f"the checker gives {scores[number - 1]:g} to {one_line(kept.outputs[number - 1])[:100]!r}"
    where = f"test {number} of {len(scores)}: " if len(scores) > 1 else ""
    return Outcome.WRONG, where + reason, sum(scores) / len(scores)


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
    """Runs the program once for each pair, and compares its output line by line, whatever the blank space.

    The runs share a sandbox while they leave its folders as they were; after one that does not, a new one is started.
    """
    left, number = sandbox.limits.deadline_s, 0
    while number < len(tests.pairs):
        with sandbox.start(forks=True) as child:
            child.begin(_pairs_task(sandbox, sources))
            started = time.monotonic()
            is_clean = True
            while is_clean and number < len(tests.pairs):
                given, wanted = tests.pairs[number]
                child.send(given.encode(errors="replace"))
                outcome, reason, is_clean = _script_verdict(child, wanted, started + left)
                number += 1
                if outcome is not Outcome.CORRECT:
                    return outcome, f"test {number} of {len(tests.pairs)}: {reason}"
            left -= time.monotonic() - started
    return Outcome.CORRECT, ""


def _pairs_task(sandbox: Sandbox, sources: Sources) -> dict[str, object]:
    """Returns what a driver is told that forks for each run: limits are of the runs, its own is an alarm."""
    limits = sandbox.limits_of_process()
    return _task(sandbox, "pairs", sources) | {
        "limits": {name: limits[name] for name in ("alarm",) if name in limits},
        "run_limits": limits,
        "filter": sandbox.filter_of_process().hex(),
        "max_bytes": sandbox.limits.output_mb * MEBIBYTE,
    }


def _task(sandbox: Sandbox, role: str, sources: Sources = ()) -> dict[str, object]:
    """Returns what a driver is told."""
    return {"role": role, "limits": sandbox.limits_of_process(), "sources": list(sources)}


def _script_verdict(child: Child, wanted: Expected | Kept, deadline: float) -> tuple[Outcome, str, bool]:
    """Returns outcome and reason of one run, and whether the sandbox is as it was before."""
    try:
        report, output = json.loads(child.receive(deadline)), child.receive(deadline)
        code, complaint, is_clean = int(report["code"]), str(report["complaint"]), report["clean"] is True
        is_too_much = report["too_much"] is True
    except DeadlineError as error:
        return Outcome.TIMEOUT, str(error), False
    except EndedError:
        return *_after_end(child), False
    except (TooMuchError, ValueError, TypeError, KeyError, RecursionError):  # no driver writes it
        return Outcome.WRONG, "the program broke the channel of its driver", False
    if is_too_much:
        return Outcome.WRONG, f"wrote more than {child.max_bytes} bytes", is_clean
    if code == EXIT_NOT_PYTHON:
        return Outcome.UNPARSED, f"not a Python program: {complaint}", is_clean
    if code != 0:
        outcome, reason = _end_of(code)
        return outcome, f"{reason} {complaint}", is_clean
    return *wanted.compare(output.decode(errors="replace")), is_clean


def _end_of(code: int) -> tuple[Outcome, str]:
    """Returns what the end of a program means."""
    if code == EXIT_MEMORY:
        return Outcome.TIMEOUT, "exceeded the memory limit"
    if code in (-SIGXCPU, -SIGALRM, -SIGKILL):
        return Outcome.TIMEOUT, "killed at a limit of time or memory"
    return Outcome.WRONG, f"the program ended by signal {-code}" if code < 0 else f"the program ended, exit code {code}"


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
                reply = program.receive(deadline)
                is_answered = is_answered or not (message.startswith(FIND) and reply.startswith(OBJECT))
                tester.send(reply)
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
