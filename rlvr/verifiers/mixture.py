"""`mixture`: several verifiers, each for the problems that name it.

    mixture?of=math                              `math` judges the problems that name no verifier
    mixture?of=math&with=my_project.judges:f     rows may name `my_project.judges:f`, too, which runs code

A problem names its verifier in `meta.verifier`. That is data, which may come from a stranger: a name that runs code, or
leaves the sandbox, is followed only where whoever asks for the judging has written it, too.

Owns: which verifier judges which problem, which names are followed, the id of the whole.
Does not own: the verdicts. A mixture has one mode: outcomes in another mode (`Verdict.other`) are left out, as not all
of its verifiers have one.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rlvr.errors import ProblemError, RecipeError
from rlvr.problems import Problem, ProblemSet
from rlvr.problems.spec import Spec, joined, parse_spec
from rlvr.verifiers.verdicts import MAX_VERDICT_CHARS, Outcome, Verdict

if TYPE_CHECKING:
    from rlvr.verifiers import Verifier

NAME, VERSION = "mixture", 1
MAX_PARTS = 32  # each may have workers
LIMITS = {"workers", "concurrency", "deadline", "memory_mb"}  # options that say how much of the machine is taken
NONE = ""  # what names the verifier of problems that name none


class MixtureVerifier:
    """Has each problem judged by the verifier that it names.

    Args:
        pool: verifiers by the name that problems have for them, `NONE` for those that name none; mixtures that are made
            of one another share it, with its workers.
        names: those of the pool that are part of this mixture.
        trusted: names that a person has written.
        think: where reasoning stands, for verifiers that are made later.
    """

    def __init__(
        self, pool: dict[str, "Verifier"], names: Collection[str], trusted: Collection[str], think: str
    ) -> None:
        self.pool, self.trusted, self.think = pool, frozenset(trusted), think
        self.parts = {name: pool[name] for name in names}
        ids = {part.verifier_id for part in self.parts.values()}
        default = self.parts[NONE].verifier_id if NONE in self.parts else None
        said = [f"of={default}"] if default else []
        self.verifier_id = f"{NAME}@{VERSION}({';'.join([*said, *sorted(ids - {default})])})"
        self.uses_workers = all(getattr(part, "uses_workers", False) for part in self.parts.values())

    @classmethod
    def of(cls, spec: Spec) -> "MixtureVerifier":
        """Returns the mixture of the verifiers that a spec names.

        Raises:
            RecipeError: a name or an option is wrong.
        """
        from rlvr.verifiers import make_verifier

        spec.only("of", "with", "think")
        think, default = spec.options.get("think", "on"), spec.options.get("of")
        trusted = sorted({*filter(None, [default, *joined(spec.options.get("with", ""))])})
        for name in trusted:
            _refuse_mixture(name, RecipeError)
        pool = {name: make_verifier(name, think) for name in trusted}
        if default:
            pool[NONE] = pool[default]
        return cls(pool, list(pool), trusted, think)

    @classmethod
    def around(cls, text: str, default: "Verifier", think: str = "on") -> "MixtureVerifier":
        """Returns `default`, which `text` names, as a mixture that others can be made of."""
        if isinstance(default, cls):
            return default
        return cls({NONE: default, text: default}, [NONE], {text}, think)

    def over(self, problems: ProblemSet) -> "MixtureVerifier":
        """Returns the mixture of the verifiers that these problems name, and of the one for those that name none.

        Raises:
            ProblemError: a row names what is not known or cannot be made here, or what runs code and nobody has named;
                or the names are too many.
        """
        names = sorted({name for problem in problems if (name := problem.verifier) is not None})
        num = len({*self.pool, *names} - {NONE})
        if num > MAX_PARTS:
            raise ProblemError(f"the problems name {num} verifiers; expected at most {MAX_PARTS}.")
        trusted = self.trusted | problems.trusted
        for name in names:
            if name not in self.pool:
                self.pool[name] = _part(name, trusted, self.think)
        return MixtureVerifier(self.pool, [*([NONE] if NONE in self.pool else []), *names], trusted, self.think)

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Raises `ProblemError` naming the first problems that no part, or not the one that they name, can judge."""
        for name, places in _by_name(problems).items():
            theirs = [problems[place] for place in places]
            if name not in self.parts:
                raise ProblemError(
                    f"{len(theirs)} problems, the first of them {theirs[0].question[:60]!r}, {self._unknown(name)}"
                )
            self.parts[name].check_problems(theirs)

    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """Returns one verdict per (problem, completion), in order; an `error` where no part has the problem's name."""
        verdicts: dict[int, Verdict] = {}
        for name, places in _by_name([problem for problem, _ in items]).items():
            theirs = [items[place] for place in places]
            found = self.parts[name].verify(theirs) if name in self.parts else [self._refused(name)] * len(theirs)
            verdicts |= {place: replace(verdict, other=None) for place, verdict in zip(places, found, strict=True)}
        return [verdicts[place] for place in range(len(items))]

    def close(self) -> None:
        """Frees the workers of the whole pool."""
        for each in self.pool.values():
            each.close()

    def _refused(self, name: str) -> Verdict:
        return Verdict(Outcome.ERROR, reason=f"the problem would {self._unknown(name)}"[:MAX_VERDICT_CHARS])

    def _unknown(self, name: str) -> str:
        """Returns what is said of problems with a name that no part has."""
        known = ", ".join(map(repr, filter(None, self.parts))) or "no verifier"
        return f"name {f'the verifier {name!r:.200}' if name else 'no verifier'}; this mixture knows {known} by name."


def is_mixture(verifier_id: str) -> bool:
    """Returns whether verdicts under this id are a mixture's."""
    return verifier_id.startswith(f"{NAME}@")


def _part(name: str, trusted: Collection[str], think: str) -> "Verifier":
    """Returns the verifier that rows name."""
    from rlvr.verifiers import make_verifier, needs_trust

    _refuse_mixture(name, ProblemError)
    try:
        if name in trusted or not (needs_trust(name) or _sets_limits(name)):
            return make_verifier(name, think)
    except RecipeError as error:
        raise ProblemError(f"rows name the verifier {name!r:.200}: {error}") from error
    raise ProblemError(
        f"rows name the verifier {name!r:.200}, which runs code that does not come with rlvr, leaves the sandbox, or "
        f"says how much of the machine it takes. If you trust it, name it, too: mixture?of=...&with={name:.200}"
    )


def _sets_limits(name: str) -> bool:
    """Returns whether a name says how many processes, how long or how much memory it takes: no row's to say."""
    return not LIMITS.isdisjoint(parse_spec(name, field="verifier").options)


def _refuse_mixture(name: str, error: type[RecipeError] | type[ProblemError]) -> None:
    """Raises where a part is a mixture itself, or wraps one."""
    spec = parse_spec(name, field="verifier")
    if NAME in (spec.name, spec.options.get("of", "").partition("?")[0]):
        raise error(f"verifier: {name!r:.200} cannot be a part of a mixture; name a verifier that judges.")


def _by_name(problems: Sequence[Problem]) -> dict[str, list[int]]:
    """Returns the places of the problems by the verifier that they name."""
    places: dict[str, list[int]] = {}
    for place, problem in enumerate(problems):
        places.setdefault(problem.verifier or NONE, []).append(place)
    return places
