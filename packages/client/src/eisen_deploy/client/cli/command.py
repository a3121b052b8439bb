"""``eisen-client``: its arguments, its commands, and how its errors end it."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence

from eisen_deploy.client._shared.command import program

from . import check, metadata, wait
from .error_messages import report_error
from .exit_statuses import format_table
from .predict import command as predict


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    :param arguments: those after the program's name; by default the process's own.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unverified HTTPS request")  # said once, by us
        return program.run(_make_parser(), arguments, report_error)


def _make_parser() -> argparse.ArgumentParser:
    parser = program.Parser(
        prog="eisen-client",
        description="Ask a model that TorchServe serves, with files in and out.",
        epilog="example: eisen-client predict http://server:8080/predictions/seg --input "
        f"image=ct.nii.gz --output mask=mask.nii.gz\n\nexit status:\n{format_table()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    program.add_commands(parser, "eisen-deploy-client", (predict, metadata, check, wait))
    return parser
