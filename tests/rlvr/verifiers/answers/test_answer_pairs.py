r"""The table of answer pairs: our verdict on each, and where math-verify's own verdict is another one.

`answer_pairs.tsv` has a gold answer, an answer as it stands in `\boxed{...}`, the verdict that a careful reader gives,
math-verify's verdict by itself, and a reason where the two differ. A reason that begins with "known miss" marks a pair
that we judge wrong, too.
"""

import csv
import logging
from pathlib import Path

import pytest

from rlvr.problems import Problem
from rlvr.verifiers.answers.math import MathVerifier

with (Path(__file__).parent / "answer_pairs.tsv").open(encoding="utf-8", newline="") as file:
    PAIRS = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def completion(answer: str) -> str:
    return rf"The answer is $\boxed{{{answer}}}$."


def judge(rows: list[dict], **changes) -> list[str]:
    verifier = MathVerifier(**changes)
    verdicts = verifier.verify([(Problem("q", row["gold"]), completion(row["answer"])) for row in rows])
    verifier.close()
    return [verdict.outcome.value for verdict in verdicts]


def is_missed(row: dict) -> bool:
    return row["why they differ"].startswith("known miss")


@pytest.fixture(scope="module")
def outcomes():
    return judge(PAIRS, num_workers=2)


def test_the_table_is_large_and_says_why():
    assert len({(row["gold"], row["answer"]) for row in PAIRS}) == len(PAIRS) >= 500
    assert {row["expected"] for row in PAIRS} == {"correct", "wrong"}
    for row in PAIRS:
        assert bool(row["why they differ"]) == (row["expected"] != row["math_verify"]), row


def test_verdicts_are_those_of_the_table(outcomes):
    found = dict(zip(((row["gold"], row["answer"]) for row in PAIRS), outcomes, strict=True))
    expected = {(row["gold"], row["answer"]): "wrong" if is_missed(row) else row["expected"] for row in PAIRS}
    assert {pair: outcome for pair, outcome in found.items() if outcome != expected[pair]} == {}
    assert sum(map(is_missed, PAIRS)) <= 6


def test_math_verify_differs_where_the_table_says_so():
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    for row in PAIRS:
        gold, answer = (parse(text, parsing_timeout=None) for text in (f"${row['gold']}$", completion(row["answer"])))
        is_equal = verify(gold, answer, timeout_seconds=None)
        assert row["math_verify"] == ("correct" if is_equal else "wrong"), row


@pytest.mark.parametrize("num_workers", [1, 3])
def test_a_verdict_depends_on_its_pair_alone(outcomes, num_workers):
    """Not on its neighbours, their order, duplicates, or the number of workers."""
    rows = PAIRS[::-7] + PAIRS[::20] + PAIRS[::20]
    of_pair = {(row["gold"], row["answer"]): outcome for row, outcome in zip(PAIRS, outcomes, strict=True)}
    assert judge(rows, num_workers=num_workers) == [of_pair[row["gold"], row["answer"]] for row in rows]
