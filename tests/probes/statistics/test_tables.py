import csv

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probes.statistics.tables import read_counts
from rlvr.errors import ProblemError


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "counts.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_columns_in_any_order_beside_others(tmp_path):
    counts = read_counts(table(tmp_path, "c,model,problem_id,n\n1,base,a,4\n2,base,b,8\n"))
    assert counts.problem_ids == ("a", "b")
    assert counts.n_P.tolist() == [4, 8]
    assert counts.c_P.tolist() == [1, 2]
    assert counts.errors_P.tolist() == [0, 0]
    assert counts.cluster_P == (None, None)


def test_errors_and_clusters_are_read_where_present(tmp_path):
    counts = read_counts(table(tmp_path, "problem_id,n,c,errors,cluster\na,4,1,2,x\nb,4,1,,\n"))
    assert counts.errors_P.tolist() == [2, 0]
    assert counts.cluster_P == ("x", None)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffproblem_id,n,c\na,4,1\n",
        "problem_id,n,c\r\na,4,1\r\n",
        "problem_id, n, c\na, 4, 1",
        "problem_id,n,c\n\na,4,1\n\n",
        'problem_id,n,c\n"a",4,1\n',
    ],
    ids=["byte-order mark", "Windows line ends", "spaces", "empty lines", "quotes"],
)
def test_harmless_variations(tmp_path, text):
    counts = read_counts(table(tmp_path, text))
    assert (counts.problem_ids, counts.n_P.tolist(), counts.c_P.tolist()) == (("a",), [4], [1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "counts.csv:1: no column problem_id, n, c; expected a header"),
        ("problem_id,n\na,4\n", "counts.csv:1: no column c;"),
        ("a,4,1\nb,4,2\n", "counts.csv:1: no column problem_id, n, c"),
        ("problem_id,n,c\n", "counts.csv: no problems found"),
        ("problem_id,n,c\na,4,1\nb,4\n", "counts.csv:3: 2 values; expected 3"),
        ("problem_id,n,c\nf(1,2),4,1\n", "counts.csv:2: 4 values; expected 3"),
        ("problem_id,n,c\na,4,x\n", "counts.csv:2: c is 'x'; expected a whole number"),
        ("problem_id,n,c\na,4.0,1\n", r"counts.csv:2: n is '4.0'; expected a whole number"),
        ("problem_id,n,c\na,4,-1\n", "counts.csv:2: c is '-1'"),
        ("problem_id,n,c\na,4,\n", "counts.csv:2: c is ''"),
        ("problem_id,n,c\na," + "9" * 30 + ",1\n", "counts.csv:2: n is '999"),
        ("problem_id,n,c\na,4,٣\n", "counts.csv:2: c is '٣'"),
        ("problem_id,n,c\na,0,0\n", "counts.csv:2: n = 0 draws judged for problem 'a'; expected at least 1"),
        ("problem_id,n,c\na,4,5\n", "counts.csv:2: c = 5 exceeds n = 4 for problem 'a'"),
        ("problem_id,n,c\n,4,1\n", "counts.csv:2: problem_id is empty"),
        ("problem_id,n,c,errors\na,4,1,?\n", r"counts.csv:2: errors is '\?'"),
        ("problem_id,n,c\na,4,1\n\nb,4,1\na,4,2\n", "counts.csv:5: problem 'a' is already on line 2"),
        ('problem_id,n,c\n"a,4,1\n', "counts.csv: cannot be read as CSV"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(tmp_path, text, message):
    with pytest.raises(ProblemError, match=message):
        read_counts(table(tmp_path, text))


def test_other_encodings_are_refused(tmp_path):
    with pytest.raises(ProblemError, match=r"cannot be read as CSV .* expected UTF-8 text"):
        read_counts(table(tmp_path, "problem_id,n,c\né,4,1\n", encoding="latin-1"))


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ProblemError, match=r"nowhere\.csv: cannot be read"):
        read_counts(tmp_path / "nowhere.csv")


names = st.text(st.characters(exclude_categories=["C"]), min_size=1).map(str.strip).filter(bool)
rows = st.lists(
    st.tuples(names, st.integers(1, 10**6), st.floats(0, 1)), min_size=1, max_size=8, unique_by=lambda row: row[0]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows)
def test_what_was_written_is_read(tmp_path, rows):
    rows = [(name, n, int(share * n)) for name, n, share in rows]
    path = tmp_path / "counts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("problem_id", "n", "c"), *rows])
    counts = read_counts(path)
    assert list(zip(counts.problem_ids, counts.n_P.tolist(), counts.c_P.tolist(), strict=True)) == rows
