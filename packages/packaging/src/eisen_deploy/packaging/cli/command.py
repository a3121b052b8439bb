"""``eisen-pack``: its arguments, and how its errors are shown."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from eisen_deploy.packaging._errors import EisenPackagingError
from eisen_deploy.packaging._shared.command import program
from eisen_deploy.packaging._shared.errors import ContractError

from . import build, diff, inspect, predict, verify
from .errors import NotSound
from .importing import command as importing

_PROG = "eisen-pack"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    :param arguments: those after the program's name; by default the process's own.
    """
    return program.run(_make_parser(), arguments, _fail)


def _make_parser() -> argparse.ArgumentParser:
    parser = program.Parser(
        prog=_PROG,
        description="Build archives (MAR) for TorchServe, look into them, verify, try and compare "
        "them.",
        epilog="example: eisen-pack build recipe.py -o model_zoo",
    )
    commands = (build, importing, inspect, verify, predict, diff)
    program.add_commands(parser, "eisen-deploy-packaging", commands)
    return parser


def _fail(error: BaseException, debug: bool) -> int:
    """Say what was wrong, and return the exit status."""
    if debug:
        program.print_traceback(error)
    if isinstance(error, KeyboardInterrupt):
        program.complain(_PROG, ["interrupted"])
        return program.INTERRUPTED
    if isinstance(error, (EisenPackagingError, ContractError)):
        program.complain(_PROG, error.problems)
    else:
        program.complain(_PROG, [program.explain_error(error)])
    return 1 if isinstance(error, NotSound) else 2
