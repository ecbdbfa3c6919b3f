import errno
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rlvr.console import ErrorGroup, SpreadCommand, SpreadOption
from rlvr.errors import RecipeError, RlvrError, StoreFullError

FULL = Path("/dev/full")


def run_raising(error, arguments=("work",)):
    @click.group(cls=ErrorGroup)
    def main():
        pass

    @main.command()
    def work():
        raise error

    return CliRunner().invoke(main, arguments)


def spread(*arguments):
    """What a command with two spread flags and one argument reads."""
    seen = {}

    @click.command(cls=SpreadCommand)
    @click.argument("rest", nargs=-1)
    @click.option("--k", cls=SpreadOption, value_pattern="[0-9]+", multiple=True)
    @click.option("--name", "-n", cls=SpreadOption, value_pattern="[a-z]+", multiple=True)
    @click.option("--json", is_flag=True)
    def command(**values):
        seen.update(values)

    result = CliRunner().invoke(command, arguments)
    return seen if result.exit_code == 0 else result.exit_code


@pytest.mark.parametrize(
    ("error", "code"), [(RlvrError("odd"), 1), (RecipeError("k: 0 seen"), 2), (StoreFullError("full"), 2)]
)
def test_errors_end_with_one_line_and_their_exit_code(error, code):
    result = run_raising(error)
    assert result.exit_code == code
    assert result.stderr == f"error: {error}\n"
    assert result.stdout == ""


def test_a_message_of_several_lines_becomes_one():
    assert run_raising(RecipeError("first\n  second")).stderr == "error: first second\n"


def test_full_disk_names_the_file():
    result = run_raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/run/report.html"))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: disk full while writing /run/report.html; ")
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_a_disk_that_is_really_full():
    @click.group(cls=ErrorGroup)
    def main():
        pass

    @main.command()
    def work():
        with FULL.open("w") as file:
            file.write("text")

    result = CliRunner().invoke(main, ["work"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: disk full")


@pytest.mark.parametrize("error", [ValueError("defect"), OSError(errno.EIO, "broken disk")])
def test_other_exceptions_keep_their_traceback(error):
    assert run_raising(error).exception is error


def test_usage_errors_exit_with_two():
    assert run_raising(ValueError(), ["unknown"]).exit_code == 2


def test_spread_flags_take_values_until_the_next_flag():
    assert spread("--k", "1", "4", "256", "--json") == {"k": ("1", "4", "256"), "name": (), "json": True, "rest": ()}


def test_spread_flags_end_at_the_first_word_that_does_not_look_like_a_value():
    seen = spread("--k", "1", "4", "file.csv", "7")
    assert seen["k"] == ("1", "4")
    assert seen["rest"] == ("file.csv", "7")


def test_the_first_value_always_belongs_to_the_flag():
    assert spread("--k", "odd", "--json")["k"] == ("odd",)


def test_spread_flags_may_alternate_and_repeat():
    seen = spread("-n", "a", "b", "--k=1", "2", "--name", "c", "--k", "3")
    assert seen["k"] == ("1", "2", "3")
    assert seen["name"] == ("a", "b", "c")


def test_two_dashes_end_the_flags():
    assert spread("--k", "1", "--", "2", "--k") == {"k": ("1",), "name": (), "json": False, "rest": ("2", "--k")}


def test_a_flag_without_value_is_a_usage_error():
    assert spread("--k") == 2
