"""``eisen-pack import``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eisen_deploy.packaging._shared.command import program
from eisen_deploy.packaging.cli import build
from eisen_deploy.packaging.cli.errors import Failed

_MONAI, _NNUNET = "monai-bundle", "nnunet"
_EXAMPLE = """\
example:
  eisen-pack import monai-bundle spleen_ct_segmentation --output model_zoo --name spleen
  eisen-pack import nnunet nnUNetTrainer__nnUNetPlans__3d_fullres --output model_zoo --name spleen
"""
_OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    _MONAI: {
        "--weights": {
            "metavar": "FILE",
            "type": Path,
            "help": "the network's weights; default: models/model.pt of the bundle",
        },
    },
    _NNUNET: {
        "--folds": {
            "metavar": "F",
            "nargs": "+",
            "help": "folds that predict together, such as 0 1 2, or all; default: each one of a "
            "number that has the checkpoint",
        },
        "--checkpoint": {
            "metavar": "FILE",
            "help": "name of the checkpoint in each fold; default: checkpoint_final.pth",
        },
        "--postprocessing": {
            "metavar": "FILE",
            "type": Path,
            "help": "a postprocessing.json of nnU-Net that is applied to each mask",
        },
        "--no-mirroring": {
            "action": "store_true",
            "default": None,
            "help": "predict without mirroring: faster, and not as nnU-Net does by default",
        },
    },
}


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser = commands.add_parser(
        "import",
        help="build an archive from a MONAI bundle or a trained nnU-Net",
        description="Build an archive from a MONAI bundle (its network, inferer and transforms, "
        "and its metadata.json), or from a folder of nnU-Net v2's results. A bundle's "
        "configuration runs, and so does any code in checkpoints of nnU-Net.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = [*_OPTIONS]
    parser.add_argument("kind", metavar="KIND", choices=kinds, help=" or ".join(kinds))
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the bundle or the results")
    for kind, options in _OPTIONS.items():
        group = parser.add_argument_group(f"of {kind}")
        for name, about in options.items():
            group.add_argument(name, **about)
    build.add_packing_arguments(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Read the folder and pack it."""
    _refuse_options_of_others(arguments)
    with build.show_remarks():
        made = (_read_bundle if arguments.kind == _MONAI else _read_nnunet)(arguments)
    return build.pack(build.apply_flags(dict(made), arguments), arguments)


def _refuse_options_of_others(arguments: argparse.Namespace) -> None:
    problems = [
        f"{name} is an option of {kind}, not of {arguments.kind}"
        for kind, options in _OPTIONS.items()
        for name in options
        if kind != arguments.kind and _get(arguments, name) is not None
    ]
    if problems:
        raise Failed(problems)


def _get(arguments: argparse.Namespace, option: str) -> object:
    return getattr(arguments, option.lstrip("-").replace("-", "_"))


def _read_bundle(arguments: argparse.Namespace) -> Mapping[str, Any]:
    from eisen_deploy.packaging._bundles.arguments import make_arguments  # noqa: PLC0415 - torch
    from eisen_deploy.packaging._bundles.reading import read_bundle  # noqa: PLC0415

    return make_arguments(read_bundle(arguments.folder, arguments.weights))


def _read_nnunet(arguments: argparse.Namespace) -> Mapping[str, Any]:
    from eisen_deploy.packaging._nnunet.arguments import make_arguments  # noqa: PLC0415 - torch
    from eisen_deploy.packaging._nnunet.reading import CHECKPOINT, read_folder  # noqa: PLC0415

    trained = read_folder(
        arguments.folder,
        arguments.folds,
        arguments.checkpoint or CHECKPOINT,
        arguments.postprocessing,
        mirroring=not arguments.no_mirroring,
    )
    return make_arguments(trained)
