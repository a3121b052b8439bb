"""``eisen-client wait``: until the model answers."""

from __future__ import annotations

import argparse

from eisen_deploy.client._shared.command import program
from eisen_deploy.client._shared.command.terminal import say

from . import connection


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "wait",
        help="wait until a model answers",
        description="Wait until a model answers. A server that is not there yet or busy is waited "
        "for; a wrong address or token ends it at once.",
        epilog="example: eisen-client wait http://server:8080/predictions/seg --timeout 300",
    )
    connection.add_arguments(parser, timeout=60.0)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Wait."""
    with connection.make_client(arguments) as client:
        client.wait_ready(arguments.timeout)
    say("ready")
    return 0
