"""Text of strangers cannot act on a screen."""

import unicodedata

from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from probes.cli import main
from rlvr.text import visible

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egold\u2066\x9b31m\ud800\r"


def test_controls_and_marks_of_direction_are_shown():
    assert visible(HOSTILE) == "␛]0;owned␇␛[2J[RLO]gold[LRI]\ufffd31m\ufffd␍"
    assert visible("a\tb\nc é 漢") == "a\tb\nc é 漢"


@given(st.text())
def test_nothing_that_acts_is_left(text):
    shown = visible(text)
    shown.encode()
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n"]
    assert not [
        c
        for c in shown
        if unicodedata.bidirectional(c) in ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")
    ]


def test_an_error_message_does_not_act_on_the_terminal(tmp_path):
    (tmp_path / "probe.json").write_text('{"format": "\\u001b[2J\\u202e"}')
    result = CliRunner().invoke(main, ["doctor", str(tmp_path)])
    assert result.exit_code == 2
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output
