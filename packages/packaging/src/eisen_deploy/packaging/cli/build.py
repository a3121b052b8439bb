"""``eisen-pack build``: an archive from a recipe."""

from __future__ import annotations

import argparse
import logging
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from eisen_deploy.packaging._remarks import LOGGER
from eisen_deploy.packaging._shared.command import program
from eisen_deploy.packaging._shared.command.progress import open_bars
from eisen_deploy.packaging._shared.command.terminal import format_size, say
from eisen_deploy.packaging._shared.printable import clean
from packaging.utils import canonicalize_name

from .errors import Failed
from .recipe import CONSTRUCTOR_KEYS, Arguments, read_recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EXAMPLE = """\
a recipe, recipe.py:
  def package():
      return {"model": net, "pre_processing": scale, "post_processing": None, "meta_data": metadata}

example:
  eisen-pack build recipe.py --output model_zoo --name seg --model-version 1.2
"""


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser = commands.add_parser(
        "build",
        help="build an archive from a Python file or module",
        description="Build an archive. TARGET runs; its attribute (package by default) is a "
        "mapping, or a callable that returns one, with the arguments of EisenServingMAR and pack. "
        "What is given here takes precedence.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target", metavar="TARGET", help="FILE.py[:ATTRIBUTE] or MODULE[:ATTRIBUTE]"
    )
    add_packing_arguments(parser)
    return parser


def add_packing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every command that packs takes."""
    add = parser.add_argument
    add("-o", "--output", metavar="FOLDER", default=".", help="where the archive goes; default: .")
    add("--name", metavar="NAME", help="the model's name, and that of the archive")
    add("--model-version", metavar="VERSION", help="the model's version")
    add("--overwrite", action="store_true", help="replace an archive that is there")
    add(
        "-r",
        "--requirement",
        metavar="R",
        action="append",
        default=[],
        help="a requirement such as scipy==1.16.0, beside or instead of the recipe's; repeatable",
    )
    add(
        "--code-path",
        metavar="P",
        action="append",
        default=[],
        help="code that travels whole, beside the recipe's; repeatable",
    )
    sample = parser.add_mutually_exclusive_group()
    sample.add_argument("--sample", metavar="FILE.npz", type=Path, help="one request's arrays")
    sample.add_argument("--no-sample", action="store_true", help="do without the recipe's sample")


def run(arguments: argparse.Namespace) -> int:
    """Run the recipe and pack what it returns."""
    recipe = apply_flags(read_recipe(arguments.target), arguments)
    if "meta_data" not in recipe:
        recipe["meta_data"] = _find_metadata(recipe, arguments.target)
    return pack(recipe, arguments)


def pack(recipe: Arguments, arguments: argparse.Namespace) -> int:
    """Pack what a recipe says, into the folder of the command line."""
    from eisen_deploy.packaging import EisenServingMAR  # noqa: PLC0415 - brings torch

    about = {part: recipe.pop(part, None) for part in CONSTRUCTOR_KEYS}
    packer = EisenServingMAR(**about)
    with show_remarks(), open_bars() as progress:
        path = packer.pack(
            dst_path=arguments.output, overwrite=arguments.overwrite, progress=progress, **recipe
        )
    say(f"{clean(str(path))} ({format_size(path.stat().st_size)})")
    return 0


def _find_metadata(recipe: Arguments, target: str) -> dict[str, object]:
    """Return the metadata that a recipe leaves to its sample, and show it for review."""
    if recipe.get("sample") is None:
        raise Failed(f"{target}: meta_data is missing: give it, or a sample that shows what it is")
    if recipe.get("handler") is not None:
        raise Failed(f"{target}: meta_data is missing: give it where handler is one of your own")
    from eisen_deploy.packaging import create_metadata_from  # noqa: PLC0415 - brings torch

    say("metadata as the sample shows it, for review:")
    transforms = (recipe.get(name) for name in ("pre_processing", "post_processing"))
    return create_metadata_from(recipe["model"], recipe["sample"], *transforms)


@contextmanager
def show_remarks() -> Iterator[None]:
    """Show the remarks of packing as lines of this program, once its bars are gone.

    Whatever logging a recipe has set up does not show them again.
    """
    remarks: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: remarks.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(LOGGER)
    above, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = above
        program.complain("eisen-pack", remarks)


def apply_flags(recipe: Arguments, arguments: argparse.Namespace) -> Arguments:
    """Return a recipe with what the command line replaces or adds."""
    changed = dict(recipe)
    flags = {"model_name": arguments.name, "model_version": arguments.model_version}
    changed.update({key: value for key, value in flags.items() if value is not None})
    if arguments.no_sample:
        changed["sample"] = None
    elif arguments.sample:
        changed["sample"] = read_sample(arguments.sample)
    if arguments.requirement:
        stated = _read_list(recipe, "requirements")
        changed["requirements"] = _merge_requirements(stated, arguments.requirement)
    if arguments.code_path:
        changed["code_paths"] = [*_read_list(recipe, "code_paths"), *arguments.code_path]
    return changed


def read_sample(path: Path) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of an ``.npz`` file by name; nothing in it is unpickled.

    :raises Failed: if it is not such a file.
    """
    import numpy as np  # noqa: PLC0415 - takes long to import, and few need it

    with path.open("rb") as file:
        try:
            arrays = np.load(file, allow_pickle=False)
            return {name: arrays[name] for name in arrays.files}
        except (ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise Failed(
                f"--sample: {clean(str(path))} is not an .npz file of plain arrays: {error}"
            ) from error


def _read_list(recipe: Arguments, key: str) -> list[object]:
    value = recipe.get(key) or ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise Failed(f"{key}: expected a list, got {type(value).__name__}")
    return list(value)


def _merge_requirements(stated: list[object], flags: list[str]) -> list[object]:
    """Return requirements of a recipe, but for those of a distribution that a flag names."""
    replaced = {_name_distribution(flag) for flag in flags}
    kept = [text for text in stated if _name_distribution(str(text)) not in replaced]
    return [*kept, *flags]


def _name_distribution(requirement: str) -> str:
    return canonicalize_name(re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0])
