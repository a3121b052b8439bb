"""What every command line program does alike: commands, exit statuses, and how errors are shown."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, NoReturn, TextIO

from ..printable import clean, clean_lines
from . import completion
from .terminal import escape_unencodable, say

if TYPE_CHECKING:
    #: What each command's ``add_parser`` is given.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - no public name

#: Exit statuses: after SIGINT, when nobody reads the output, after SIGTERM.
INTERRUPTED = 130
NOBODY_READS = 141
ENDED = 143


_COMPLETION_EXAMPLE = """\
examples:
  source <({prog} completion bash)  # for this shell, or in ~/.bashrc for each one
  {prog} completion bash > ~/.local/share/bash-completion/completions/{prog}
"""


class Parser(argparse.ArgumentParser):
    """A parser that escapes wrong arguments in its messages: file names are arguments, too."""

    #: Adds the arguments that take long to import, once this parser is used.
    add_late: Callable[[Parser], None] | None = None

    def parse_known_args(  # type: ignore[override] # typeshed overloads it
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, see :class:`argparse.ArgumentParser`."""
        add_late, self.add_late = self.add_late, None
        if add_late is not None:
            add_late(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        super().error(clean(message))


class _Ended(BaseException):
    """Raised at SIGTERM, so that everything is cleaned up on the way out."""


def run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    fail: Callable[[BaseException, bool], int],
) -> int:
    """Run the chosen command and return the exit status.

    :param parser: each of its commands sets ``run``, a function of the parsed arguments that
        returns a status, and ``debug``.
    :param arguments: those after the program's name; by default the process's own.
    :param fail: gets an error, and whether to show where it was raised. It says what was wrong and
        returns a status.
    """
    escape_unencodable()
    try:
        chosen = parser.parse_args(arguments)
    except SystemExit as ended:  # argparse has said what was wrong, or printed the help
        return int(ended.code or 0)
    with _escape_output_of_libraries():
        return _run_command(chosen, fail)


def _run_command(chosen: argparse.Namespace, fail: Callable[[BaseException, bool], int]) -> int:
    previous = signal.signal(signal.SIGTERM, _raise_ended)
    try:
        status = int(chosen.run(chosen))
        sys.stdout.flush()
    except _Ended:
        return ENDED
    except BrokenPipeError:
        # What is still in the buffer would raise again when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except BaseException as error:  # noqa: BLE001 - each has an exit status
        return fail(error, chosen.debug)
    finally:
        signal.signal(signal.SIGTERM, previous)
    return status


def add_commands(
    parser: argparse.ArgumentParser, distribution: str, commands: Iterable[ModuleType]
) -> None:
    """Add ``--version``, the commands, each a module with ``add_parser`` and ``run``, and one more.

    That is ``completion``, which every program has.
    """
    _add_version(parser, distribution)
    added_to = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in commands:
        added = command.add_parser(added_to)
        added.allow_abbrev = parser.allow_abbrev
        added.add_argument("--debug", action="store_true", help="print the traceback of an error")
        added.set_defaults(run=command.run)
    _add_completion(added_to, parser)


def complain(prog: str, problems: Iterable[str]) -> None:
    """Say what is wrong on the standard error, further lines of a problem indented."""
    for problem in problems:
        say(f"{prog}: " + "\n  ".join(problem.rstrip().split("\n")), sys.stderr)


def print_traceback(error: BaseException) -> None:
    """Show on the standard error where an error was raised."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    say("".join(lines).rstrip(), sys.stderr)


def explain_error(error: BaseException) -> str:
    """Return a sentence for an error of the operating system, or for an unexpected one."""
    if isinstance(error, OSError):
        where = f"{clean(str(error.filename))}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return f"unexpected {type(error).__name__}: {error} (--debug shows where)"


@contextmanager
def _escape_output_of_libraries() -> Iterator[None]:
    """Escape what libraries print by themselves: warnings, and log records without a handler."""
    last = logging.lastResort or logging.NullHandler()
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        last.setFormatter(_Escaping())
        try:
            yield
        finally:
            last.setFormatter(None)


class _Escaping(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return clean_lines(super().format(record))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    text = warnings.formatwarning(message, category, filename, lineno, line)
    say(text.rstrip(), file or sys.stderr)


def _add_version(parser: argparse.ArgumentParser, distribution: str) -> None:
    """Add ``--version``, which looks the version up only if it is asked for."""

    class Version(argparse.Action):
        def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
            from importlib.metadata import version  # noqa: PLC0415 - takes longer than the rest

            say(f"{parser.prog} ({distribution}) {version(distribution)}")
            parser.exit()

    parser.add_argument(
        "--version", action=Version, nargs=0, help="print distribution and version, and exit"
    )


def _add_completion(commands: Commands, parser: argparse.ArgumentParser) -> None:
    """Add the command ``completion``, which knows the arguments of all commands."""

    def run_completion(_: argparse.Namespace) -> int:
        say(completion.render_bash(parser).rstrip())
        return 0

    added = commands.add_parser(
        "completion",
        help="print what makes the Tab key complete arguments",
        description="Print a script for a shell, with which the Tab key completes commands, "
        "options, and values that are one of a few.",
        epilog=_COMPLETION_EXAMPLE.format(prog=parser.prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.add_argument("shell", choices=["bash"], help="the shell")
    added.set_defaults(run=run_completion, debug=False)


def _raise_ended(_signal: int, _frame: FrameType | None) -> None:
    raise _Ended
