"""What the commands `rlvr` and `probes` share: how errors end a command, and flags that take several values.

Owns: the translation of exceptions to a one-line message and an exit code; printing what strangers wrote;
`SpreadOption`.
Does not own: the messages themselves (`rlvr.errors` and whoever raises).

Exit codes: 0 done, 1 something went wrong that the input cannot explain, 2 the input or the disk must change first.
"""

import errno
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import click

from rlvr.errors import InputError, RlvrError
from rlvr.text import visible


class ErrorGroup(click.Group):
    """A group of commands in which an `RlvrError`, or a file that cannot be used, ends as one line on stderr.

    Other exceptions pass: they are defects, and their traceback is what is needed to mend them.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; exits with the code of an `RlvrError`, with 2 where a file or the disk is the reason."""
        try:
            return super().invoke(ctx)
        except RlvrError as error:
            _exit(ctx, str(error), error.exit_code)
        except BrokenPipeError:
            _exit_quietly()
        except OSError as error:
            if error.errno != errno.ENOSPC and error.filename is None:
                raise  # of no file: a defect
            _exit(ctx, _of_the_disk(error), InputError.exit_code)
        except RuntimeError as error:
            # torch.save says so where the disk takes only a part of its file.
            if "inline_container" not in str(error):
                raise
            _exit(ctx, "disk full while torch saved a checkpoint; free some space and run the same command again.", 2)


def echo(text: str = "", **options: Any) -> None:
    """Prints text that may come from a stranger: nothing in it acts on the terminal."""
    click.echo(visible(text), **options)


class SpreadOption(click.Option):
    """An option whose flag may be followed by several values; needs `multiple=True` and a `SpreadCommand`.

    `--k 1 4 256` reads as `--k 1 --k 4 --k 256`. The first value always belongs to the flag, each further one as long
    as it looks like a value, so that an argument may follow.

    Attributes:
        value_pattern: regular expression that a further value matches as a whole.
    """

    def __init__(self, *args: Any, value_pattern: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.value_pattern = re.compile(value_pattern)


class SpreadCommand(click.Command):
    """A command that understands `SpreadOption`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeats the flag before each further value, then parses as usual."""
        options = [param for param in self.params if isinstance(param, SpreadOption)]
        patterns = {flag: option.value_pattern for option in options for flag in option.opts}
        return super().parse_args(ctx, list(_spread(args, patterns)))


def _spread(args: Sequence[str], patterns: Mapping[str, re.Pattern[str]]) -> Iterator[str]:
    """Yields the arguments with each flag of `patterns` repeated before its second and later values."""
    flag, has_value = None, False
    for position, arg in enumerate(args):
        if arg == "--":
            yield from args[position:]
            return
        if flag and has_value and patterns[flag].fullmatch(arg):
            yield flag
        elif flag and not has_value:
            has_value = True
        else:
            name, _, value = arg.partition("=")
            flag, has_value = (name, bool(value)) if name in patterns else (None, False)
        yield arg


def _exit(ctx: click.Context, message: str, exit_code: int) -> NoReturn:
    echo(f"error: {' '.join(message.split())}", err=True)
    ctx.exit(exit_code)


def _of_the_disk(error: OSError) -> str:
    if error.errno != errno.ENOSPC:
        return f"{str(error.filename)[:500]}: {error.strerror}; check the path and its permissions."
    place = f" while writing {error.filename}" if error.filename else ""
    return f"disk full{place}; free some space and run the same command again."


def _exit_quietly() -> NoReturn:
    """Exits after the reader of stdout went away, without the message of a failing flush at exit.

    Source: the note on SIGPIPE in the documentation of Python's `signal` module.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
