"""Pass@k and its draw-sampling error: pure functions of counts.

    Counts         n draws judged and c draws correct, per problem
    fail_at_k      unbiased estimate of q^k, the chance that k draws all fail
    draw_variance  unbiased estimate of the variance of that estimate
    pass_at_k      the mean of 1 - q^k over problems, with its standard error from the draws -> PassAtK
    error_bounds   pass@k if every unjudged draw were wrong, and if every one were correct
    detectable_p   the largest success probability that is compatible with no success in n draws

Owns: `Counts`, the estimates for a fixed number of draws, and everything that holds the set of problems fixed.
Does not own: the estimate under a plan that stops early (`probes.statistics.sequential`); what the choice of problems
adds (`probes.statistics.intervals`); reading counts (`probes.statistics.tables`, `probes.store`).

No estimate is "any of the first k draws" (needlessly noisy) or draws with replacement (biased: one success in n = k = 4
would give 0.68 where the estimate is 1).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from probes.statistics.plan import Plan
from probes.statistics.sequential import fail_at_k_under
from rlvr.errors import InputError, ProblemError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Blocks of problems are sized so that a temporary array stays below 8 MB.
_BLOCK_CELLS = 2**20


def _none_given() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Counts:
    """Draws judged and draws correct, per problem; what every estimate is a function of.

    Shapes:
        n_P, c_P, errors_P: (P,) int64; other integer sequences are converted, and the stored arrays are read-only.

    Attributes:
        problem_ids: distinct names, in the order of all arrays.
        n_P: draws with a verdict other than `error`; at least 1.
        c_P: draws judged `correct`; at most n.
        errors_P: draws whose verdict is `error`. They are not part of n. Left out: none.
        cluster_P: family of each problem, None for a problem of its own. Left out: all None.
        plan_P: the plan whose stopping point (n, c) is. Left out: n was fixed beforehand for every problem.
        extremes: the counts with every `error` as wrong, and with every one as correct. Left out: both count n + errors
            draws, which is right for fixed n only.

    Raises:
        ProblemError: no problem, lengths that differ, a repeated id, n = 0, c > n, a negative or fractional count. The
            message names the problem.
    """

    problem_ids: tuple[str, ...]
    n_P: IntArray
    c_P: IntArray
    errors_P: IntArray = field(default_factory=_none_given)
    cluster_P: tuple[str | None, ...] = ()
    plan_P: tuple[Plan, ...] = ()
    extremes: "tuple[Counts, Counts] | None" = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "problem_ids", tuple(self.problem_ids))
        if not self.problem_ids:
            raise ProblemError("counts: no problems found; expected at least one.")
        if np.size(self.errors_P) == 0:
            object.__setattr__(self, "errors_P", np.zeros(self.num_problems, dtype=np.int64))
        object.__setattr__(self, "cluster_P", tuple(self.cluster_P) or (None,) * self.num_problems)
        object.__setattr__(self, "plan_P", tuple(self.plan_P))
        for name in ("n_P", "c_P", "errors_P"):
            object.__setattr__(self, name, self._read_only(name))
        self._check()

    @property
    def num_problems(self) -> int:
        """P."""
        return len(self.problem_ids)

    @property
    def largest_k(self) -> int:
        """The largest k that can be estimated for every problem: the smallest n, or what the plans allow."""
        return int(min(plan.largest_k for plan in self.plan_P)) if self.plan_P else int(self.n_P.min())

    def aligned_to(self, other: "Counts") -> "Counts":
        """Returns these counts in the order of the other's problems.

        Raises:
            InputError: the two do not hold the same problems; the message names those that differ.
        """
        _require_same_problems(other.problem_ids, self.problem_ids)
        position = {problem_id: row for row, problem_id in enumerate(self.problem_ids)}
        order = [position[problem_id] for problem_id in other.problem_ids]
        clusters = tuple(self.cluster_P[row] for row in order)
        plans = tuple(self.plan_P[row] for row in order) if self.plan_P else ()
        extremes = self.extremes and (self.extremes[0].aligned_to(other), self.extremes[1].aligned_to(other))
        return Counts(
            other.problem_ids, self.n_P[order], self.c_P[order], self.errors_P[order], clusters, plans, extremes
        )

    def _read_only(self, name: str) -> IntArray:
        given = np.asarray(getattr(self, name))
        if given.shape != (self.num_problems,):
            raise ProblemError(
                f"counts: {name} has shape {given.shape}; expected ({self.num_problems},), as problem_ids."
            )
        fractional = np.flatnonzero(given != np.floor(given))
        if fractional.size:
            row = int(fractional[0])
            raise ProblemError(
                f"problem {self.problem_ids[row]!r}: {name} holds {given[row]}; expected a whole number."
            )
        array = given.astype(np.int64)
        array.setflags(write=False)
        return array

    def _check(self) -> None:
        if len(self.cluster_P) != self.num_problems:
            raise ProblemError(
                f"counts: {len(self.cluster_P)} clusters for {self.num_problems} problems; expected equal."
            )
        if self.plan_P and len(self.plan_P) != self.num_problems:
            raise ProblemError(f"counts: {len(self.plan_P)} plans for {self.num_problems} problems; expected equal.")
        repeated = [problem_id for problem_id, times in Counter(self.problem_ids).items() if times > 1]
        if repeated:
            raise ProblemError(f"problem {repeated[0]!r} occurs more than once; expected one row per problem.")
        self._refuse(self.n_P < 1, lambda row: f"n = {self.n_P[row]} draws judged; expected at least 1.")
        self._refuse(self.c_P < 0, lambda row: f"c = {self.c_P[row]} is negative; expected 0 <= c <= n.")
        self._refuse(self.errors_P < 0, lambda row: f"errors = {self.errors_P[row]} is negative; expected at least 0.")
        too_many = self.c_P > self.n_P
        self._refuse(too_many, lambda row: f"c = {self.c_P[row]} exceeds n = {self.n_P[row]}; expected 0 <= c <= n.")

    def _refuse(self, is_bad_P: npt.NDArray[np.bool_], describe: Callable[[int], str]) -> None:
        """Raises for the first problem that is bad."""
        for row in np.flatnonzero(is_bad_P)[:1]:
            raise ProblemError(f"problem {self.problem_ids[row]!r}: {describe(int(row))}")


@dataclass(frozen=True, eq=False)
class PassAtK:
    """Pass@k of one arm on a fixed set of problems.

    Shapes:
        estimate_K, se_draws_K: (K,) float; per_problem_PK: (P, K) float.

    Attributes:
        ks: numbers of attempts.
        estimate_K: mean over problems, unbiased.
        se_draws_K: standard error from the draws, the set of problems held fixed. NaN means "cannot tell": some problem
            has n < 2k, and then no unbiased estimate of the variance exists, since the square of q^k is q^2k, a
            polynomial of degree 2k in q, and n draws identify degrees up to n only.
        per_problem_PK: pass@k of each problem.
    """

    ks: tuple[int, ...]
    estimate_K: FloatArray
    se_draws_K: FloatArray
    per_problem_PK: FloatArray


def fail_at_k(
    n_P: npt.ArrayLike, c_P: npt.ArrayLike, k: int | Sequence[int], problem_ids: Sequence[str] = ()
) -> FloatArray:
    """Returns C(n - c, k) / C(n, k), the unbiased estimate of q^k: the chance that k draws all fail.

    Exact up to rounding: relative error below 1e-12 for n up to 65,536. c = 0 gives 1; k > n - c gives 0. The time
    grows with P times the largest k; the memory is bounded by blocks of problems.

    Shapes:
        n_P, c_P: (P,) int, with 0 <= c <= n. Returns (P,) float for one k, (P, K) for a sequence.

    Args:
        n_P: draws judged.
        c_P: draws correct.
        k: attempts allowed.
        problem_ids: names for messages; without them a problem is named by its row.

    Raises:
        InputError: k < 1, or k > n for some problem; the message names the problem.

    Source: Chen et al. 2021 (arXiv 2107.03374), equation 1.

    Example:
        >>> fail_at_k([4], [1], 2).tolist()
        [0.5]
    """
    n_P, c_P = np.asarray(n_P, dtype=np.int64), np.asarray(c_P, dtype=np.int64)
    ks = np.atleast_1d(np.asarray(k, dtype=np.int64))
    _check_attempts(n_P, ks, problem_ids)
    q_PK = _fail_PK(n_P, c_P, ks)
    return q_PK if isinstance(k, Sequence) else q_PK[:, 0]


def draw_variance(n_P: npt.ArrayLike, c_P: npt.ArrayLike, ks: Sequence[int]) -> FloatArray:
    """Returns (q^k estimate)^2 - (q^2k estimate), the unbiased estimate of the variance of one problem's pass@k.

    The first term estimates E[estimate^2], the second the square of E[estimate]. With a fixed number of draws it is
    never negative, up to rounding. It is NaN where n < 2k: no unbiased estimate exists there (see `PassAtK`).

    Shapes:
        n_P, c_P: (P,) int, with 0 <= c <= n. Returns (P, K) float.

    Raises:
        InputError: k < 1, or k > n for some problem.
    """
    n_P, c_P = np.asarray(n_P, dtype=np.int64), np.asarray(c_P, dtype=np.int64)
    ks_K = np.asarray(ks, dtype=np.int64)
    _check_attempts(n_P, ks_K, ())
    doubled_K = np.minimum(2 * ks_K, n_P.max())
    q_PK = _fail_PK(n_P, c_P, np.concatenate([ks_K, doubled_K]))
    variance_PK = q_PK[:, : len(ks_K)] ** 2 - q_PK[:, len(ks_K) :]
    return np.where(2 * ks_K <= n_P[:, None], variance_PK, np.nan)


def fail_of(counts: Counts, ks: Sequence[int]) -> FloatArray:
    """Returns the unbiased estimate of q^k for every problem, under the plan of each.

    Shapes:
        Returns (P, K) float.

    Raises:
        InputError: k < 1, or k above n or above what the plan allows, for some problem.
    """
    if not counts.plan_P:
        return fail_at_k(counts.n_P, counts.c_P, tuple(ks), counts.problem_ids)
    q_PK = np.empty((counts.num_problems, len(ks)))
    for plan in dict.fromkeys(counts.plan_P):
        rows = [row for row, other in enumerate(counts.plan_P) if other == plan]
        q_PK[rows] = fail_at_k_under(plan, counts.n_P[rows], counts.c_P[rows], ks)
    return q_PK


def variance_of(counts: Counts, ks: Sequence[int]) -> FloatArray:
    """Returns the unbiased estimate of the variance of each problem's pass@k, under the plan of each.

    It is (q^k estimate)^2 - (q^2k estimate), for any plan: see `draw_variance`. Where a plan stops early, a single
    value may be negative; only sums are meant to be read. NaN where 2k exceeds what the plan allows.

    Shapes:
        Returns (P, K) float.
    """
    if not counts.plan_P:
        return draw_variance(counts.n_P, counts.c_P, ks)
    most = counts.largest_k
    doubled = [min(2 * k, most) for k in ks]
    variance_PK = fail_of(counts, ks) ** 2 - fail_of(counts, doubled)
    return np.where([2 * k <= most for k in ks], variance_PK, np.nan)


def pass_at_k(counts: Counts, ks: Sequence[int]) -> PassAtK:
    """Returns pass@k of the counts, with the standard error that the draws cause.

    The variance of the mean over problems is the sum of `variance_of` divided by P^2. It stays signed until the final
    square root, where a negative total counts as 0. With fixed n, a problem with c = 0 or c = n adds 0: a standard
    error of 0 means that the draws seen do not vary, not that the value is certain.

    Raises:
        InputError: k < 1, or k above n or above what the plan allows, for some problem.

    Example:
        >>> counts = Counts(("a", "b"), np.array([4, 4]), np.array([1, 4]))
        >>> pass_at_k(counts, [1, 2]).estimate_K.tolist()
        [0.625, 0.75]
    """
    passed_PK = 1.0 - fail_of(counts, ks)
    total_K = variance_of(counts, ks).sum(axis=0)
    return PassAtK(
        ks=tuple(ks),
        estimate_K=passed_PK.mean(axis=0),
        se_draws_K=np.sqrt(np.maximum(total_K, 0.0)) / counts.num_problems,
        per_problem_PK=passed_PK,
    )


def error_bounds(counts: Counts, ks: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Returns pass@k with every draw of verdict `error` counted as wrong, and with every one counted as correct.

    Without errors both equal `pass_at_k`.

    Shapes:
        Returns two arrays (K,): all wrong, all correct.

    Raises:
        InputError: k < 1, or k above n + errors or above what the plan allows, for some problem.
    """
    all_wrong, all_correct = counts.extremes or _fixed_extremes(counts)
    return 1.0 - fail_of(all_wrong, ks).mean(axis=0), 1.0 - fail_of(all_correct, ks).mean(axis=0)


def _fixed_extremes(counts: Counts) -> tuple[Counts, Counts]:
    """Returns the counts with all errors wrong, and with all correct, where n was fixed beforehand."""
    drawn_P = counts.n_P + counts.errors_P
    all_wrong = Counts(counts.problem_ids, drawn_P, counts.c_P, plan_P=counts.plan_P)
    return all_wrong, Counts(counts.problem_ids, drawn_P, counts.c_P + counts.errors_P, plan_P=counts.plan_P)


def detectable_p(n: int, confidence: float = 0.95) -> float:
    """Returns 1 - (1 - confidence)^(1/n): no success in n draws says only that p lies below this value.

    About 3 / n at 95 %. Exact (the Clopper-Pearson upper bound for c = 0).

    Raises:
        InputError: n < 1, or a confidence outside (0, 1).

    Example:
        >>> round(detectable_p(128), 4)
        0.0231
    """
    if n < 1 or not 0.0 < confidence < 1.0:
        raise InputError(f"n = {n}, confidence = {confidence}; expected n >= 1 and 0 < confidence < 1.")
    return float(-np.expm1(np.log1p(-confidence) / n))


def _fail_PK(n_P: IntArray, c_P: IntArray, ks: IntArray) -> FloatArray:
    """Returns C(n - c, k) / C(n, k) without checks; 0 where k > n."""
    q_PK = np.empty((len(n_P), len(ks)))
    num_rows = max(1, _BLOCK_CELLS // int(ks.max()))
    for start in range(0, len(n_P), num_rows):
        block = slice(start, start + num_rows)
        q_PK[block] = _fail_block(n_P[block, None], c_P[block, None], ks)
    return q_PK


def _fail_block(n_P1: IntArray, c_P1: IntArray, ks: IntArray) -> FloatArray:
    """Returns the product over t < k of (n - c - t) / (n - t), read off at each k.

    A product rounds each factor once. Logarithms of factorials would lose 5 digits to cancellation at n = 65,536.
    """
    draws_T = np.arange(ks.max())
    factors_PT = np.maximum(n_P1 - c_P1 - draws_T, 0) / np.maximum(n_P1 - draws_T, 1)
    return np.asarray(np.cumprod(factors_PT, axis=1)[:, ks - 1], dtype=np.float64)


def _check_attempts(n_P: IntArray, ks: IntArray, problem_ids: Sequence[str]) -> None:
    if ks.size == 0 or ks.min() < 1:
        raise InputError(f"k: {ks.tolist()} cannot be estimated; expected one or more whole numbers >= 1.")
    row, k_max = int(n_P.argmin()), int(ks.max())
    if k_max > n_P[row]:
        name = repr(problem_ids[row]) if problem_ids else f"number {row}"
        raise InputError(f"k = {k_max} exceeds n = {n_P[row]} of problem {name}; ask for k <= {n_P[row]} or draw more.")


def _require_same_problems(expected: Sequence[str], seen: Sequence[str]) -> None:
    known, given = set(expected), set(seen)
    missing = [problem_id for problem_id in expected if problem_id not in given]
    added = [problem_id for problem_id in seen if problem_id not in known]
    if missing or added:
        parts = [_listed("only in the first", missing), _listed("only in the second", added)]
        found = "; ".join(part for part in parts if part)
        raise InputError(f"the two arms hold different problems ({found}); compare arms drawn on the same problems.")


def _listed(label: str, problem_ids: Sequence[str], most: int = 5) -> str:
    more = f" and {len(problem_ids) - most} more" if len(problem_ids) > most else ""
    return f"{label}: {', '.join(problem_ids[:most])}{more}" if problem_ids else ""
