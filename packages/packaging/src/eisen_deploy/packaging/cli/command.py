"""``eisen-pack``: its arguments, and what is said of its errors."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterable, Sequence

from eisen_deploy.packaging._errors import EisenPackagingError
from eisen_deploy.packaging._shared import program
from eisen_deploy.packaging._shared.errors import ContractError
from eisen_deploy.packaging._shared.terminal import clean, say

from . import build, diff, inspect, verify
from .errors import Failed, NotSound

_COMMANDS = (build, inspect, verify, diff)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    :param arguments: those after the program's name; by default the process's own.
    """
    return program.run(_parser(), arguments, _fail)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eisen-pack",
        description="Build archives (MAR) for TorchServe, look into them, verify and compare them.",
        epilog="example: eisen-pack build recipe.py -o model_zoo",
    )
    program.add_version(parser, "eisen-deploy-packaging")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        added = command.add_parser(commands)
        added.add_argument("--debug", action="store_true", help="print the traceback of an error")
        added.set_defaults(run=command.run)
    return parser


def _fail(error: BaseException, debug: bool) -> int:
    """Say what was wrong, and return the exit status."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        _complain(["interrupted"])
        return program.INTERRUPTED
    _complain(_problems_of(error))
    return 1 if isinstance(error, NotSound) else 2


def _problems_of(error: BaseException) -> Iterable[str]:
    if isinstance(error, (Failed, EisenPackagingError, ContractError)):
        return error.problems
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return [f"{where}{error.strerror or error}"]
    return [f"unexpected {type(error).__name__}: {error} (--debug tells where)"]


def _complain(problems: Iterable[str]) -> None:
    for problem in problems:
        lines = map(clean, problem.rstrip().splitlines())
        say("eisen-pack: " + "\n  ".join(lines), sys.stderr)
