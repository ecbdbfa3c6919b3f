"""Logs that are made to fill memory are refused before they do."""

import gzip
import io
import json
import zipfile

import pytest

from probes.importers import files
from probes.importers.files import read_rows, read_value
from probes.importers.formats.inspect import read
from probes.importers.records import ImportOptions
from rlvr.errors import ProblemError


def test_a_gzip_bomb_is_refused_after_a_part_of_it(tmp_path):
    """64 MiB of blank lines in 64 KiB."""
    log = tmp_path / "log.jsonl.gz"
    log.write_bytes(gzip.compress((b" " * 1023 + b"\n") * 2**16))
    with pytest.raises(ProblemError, match="unfolds to more than 250 times its size"):
        list(read_rows(log))


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_VALUE_BYTES", 2**20)
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"a": "' + b"x" * 2**21 + b'"}\n')
    with pytest.raises(ProblemError, match=r"log\.jsonl:1: has more than"):
        list(read_rows(log))


def test_a_value_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 2**10)
    log = tmp_path / "log.json"
    log.write_text(json.dumps({"samples": ["x" * 2**11]}))
    with pytest.raises(ProblemError, match="no sample is so large"):
        read_value(log)


def test_a_zip_bomb_is_refused_by_what_it_says_of_itself(tmp_path):
    log = tmp_path / "log.eval"
    with zipfile.ZipFile(log, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({"eval": {"model": "m"}}))
        archive.writestr("samples/1.json", io.BytesIO(b" " * 2**25).getvalue())
    with pytest.raises(ProblemError, match="unfolds to more than 250 times its size"):
        list(read(log, ImportOptions()))


def test_what_compresses_well_and_is_small_is_read(tmp_path):
    log = tmp_path / "log.jsonl.gz"
    log.write_bytes(gzip.compress(b'{"a": "' + b"x" * 2**20 + b'"}\n'))
    assert len(list(read_rows(log))) == 1


def test_a_message_names_a_few_of_many_fields():
    row = {f"{number}" * 100: 1 for number in range(1000)}
    with pytest.raises(ProblemError) as caught:
        files.field(row, "x", str, "log:1")
    assert len(str(caught.value)) < 1200
    assert "..." in str(caught.value)
