"""``eisen-client metadata``: what a model takes and gives."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping

from eisen_deploy.client._shared.command import program
from eisen_deploy.client._shared.command.terminal import align_columns, say
from eisen_deploy.client._shared.model.metadata import Field, Metadata
from eisen_deploy.client._shared.printable import clean
from eisen_deploy.client.files.text_files import to_json

from . import connection


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "metadata",
        help="show what a model takes and gives",
        description="Show what a model takes and gives. A size of -1 is free.",
        epilog="example: eisen-client metadata --json http://server:8080/predictions/seg",
    )
    parser.add_argument("--json", action="store_true", help="print the metadata as JSON")
    connection.add_arguments(parser, timeout=30.0)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the metadata of a model."""
    with connection.make_client(arguments) as client:
        raw = client.get_metadata()
    if arguments.json:
        say(to_json(raw, for_terminal=True))
    else:
        say("\n".join(_format_metadata(raw)))
    return 0


def _format_metadata(raw: Mapping[str, object]) -> Iterator[str]:
    metadata = Metadata.parse(raw)
    yield from _format_section("inputs", metadata.inputs)
    yield from _format_section("outputs", metadata.outputs)
    if raw.get("custom"):
        yield "custom"
        text = json.dumps(raw["custom"], indent=2, ensure_ascii=False)
        yield from (f"  {clean(line)}" for line in text.split("\n"))


def _format_section(title: str, fields: Iterable[Field] | None) -> Iterator[str]:
    if fields is None:
        yield f"{title}: not declared"
        return
    yield title
    rows = [
        (each.name, each.type or "any", "" if each.shape is None else list(each.shape))
        for each in fields
    ]
    yield from (f"  {line}" for line in align_columns(rows))
