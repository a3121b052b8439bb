"""``eisen-pack import``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from eisen_deploy.packaging._shared.command import program
from eisen_deploy.packaging.cli import build

_EXAMPLE = """\
example:
  eisen-pack import monai-bundle spleen_ct_segmentation --output model_zoo --name spleen
"""


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser = commands.add_parser(
        "import",
        help="build an archive from a MONAI bundle",
        description="Build an archive from a MONAI bundle: its network, inferer and transforms, "
        "and its metadata.json. The bundle's configuration runs.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", metavar="KIND", choices=["monai-bundle"], help="monai-bundle")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the folder of the bundle")
    parser.add_argument(
        "--weights",
        metavar="FILE",
        type=Path,
        help="the network's weights; default: models/model.pt of the bundle",
    )
    build.add_packing_arguments(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Read the bundle and pack it."""
    from eisen_deploy.packaging._bundles.arguments import make_arguments  # noqa: PLC0415 - torch
    from eisen_deploy.packaging._bundles.reading import read_bundle  # noqa: PLC0415

    with build.show_remarks():
        made = make_arguments(read_bundle(arguments.folder, arguments.weights))
    return build.pack(build.apply_flags(made, arguments), arguments)
