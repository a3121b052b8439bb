"""``eisen-pack``: arguments, the one place where errors end, and exit statuses."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from types import FrameType

from eisen_deploy.packaging._errors import EisenPackagingError
from eisen_deploy.packaging._shared.errors import ContractError

from . import build, diff, inspect, verify
from .errors import Failed, NotSound
from .tables import clean, say

_COMMANDS = (build, inspect, verify, diff)

_INTERRUPTED = 130
_NOBODY_READS = 141
_ENDED = 143


class _Ended(BaseException):
    """SIGTERM came: everything is cleaned up on the way out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    :param arguments: those after the program's name; by default the process's own.
    """
    _write_anything()
    try:
        chosen = _parser().parse_args(arguments)
    except SystemExit as ended:  # argparse has said what was wrong, or has helped
        return int(ended.code or 0)
    previous = signal.signal(signal.SIGTERM, _end)
    try:
        status = int(chosen.run(chosen))
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - each has an exit status
        if chosen.debug:
            traceback.print_exc()
        return _status_of(error)
    finally:
        signal.signal(signal.SIGTERM, previous)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eisen-pack",
        description="Build archives (MAR) for TorchServe, look into them, verify and compare them.",
        epilog="example: eisen-pack build recipe.py -o model_zoo",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        added = command.add_parser(commands)
        added.add_argument("--debug", action="store_true", help="print the traceback of an error")
        added.set_defaults(run=command.run)
    return parser


class _Version(argparse.Action):
    """Looks the version up only if it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415 - takes longer than the rest

        say(f"eisen-pack {version('eisen-deploy-packaging')}")
        parser.exit()


def _write_anything() -> None:
    """Escape what the terminal's encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise _Ended


def _status_of(error: BaseException) -> int:
    """Say what was wrong, and return the exit status."""
    if isinstance(error, _Ended):
        return _ENDED
    if isinstance(error, KeyboardInterrupt):
        _complain(["interrupted"])
        return _INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # What is still in the buffer would raise again while the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
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
