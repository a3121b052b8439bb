"""``eisen-serve``: its arguments, and what is said of its errors."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from eisen_deploy.serving.engines.deployment.rendering import NoTemplates
from eisen_deploy.serving.engines.engine import NotReady
from eisen_deploy.serving.engines.environment.probes import UnfitEnvironment
from eisen_deploy.serving.engines.preflight import Refused
from eisen_deploy.serving.engines.served_archives import BadArchives
from eisen_deploy.serving.engines.torchserve.launcher import LaunchFailed
from eisen_deploy.serving.runtime._shared.command import program

from . import config, doctor, export, run

_PROG = "eisen-serve"
HUNG_UP = 129


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    :param arguments: those after the program's name; by default the process's own.
    """
    return program.run(_make_parser(), arguments, _fail)


def _make_parser() -> argparse.ArgumentParser:
    parser = program.Parser(
        prog=_PROG,
        description="Serve archives (MAR) with TorchServe, uvicorn or Ray Serve.",
        epilog="example: eisen-serve run model_zoo/seg.mar --max-body 1GB",
    )
    program.add_commands(parser, "eisen-deploy-handler", (run, config, export, doctor))
    return parser


def _fail(error: BaseException, debug: bool) -> int:
    """Say what was wrong, and return the exit status."""
    if debug:
        program.print_traceback(error)
    if isinstance(error, KeyboardInterrupt):
        program.complain(_PROG, ["interrupted"])
        return program.INTERRUPTED
    if isinstance(error, run.HungUp):
        return HUNG_UP
    program.complain(_PROG, _list_problems(error))
    return 1 if isinstance(error, NotReady) else 2


def _list_problems(error: BaseException) -> Iterable[str]:
    if isinstance(error, (BadArchives, NotReady, Refused, UnfitEnvironment)):
        return error.problems
    if isinstance(error, (LaunchFailed, NoTemplates)):
        return [str(error)]
    return [program.explain_error(error)]
