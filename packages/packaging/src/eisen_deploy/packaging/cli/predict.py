"""``eisen-pack predict``: run an archive on files, without a server.

The archive answers in a clean process, as behind a server. Everything else is the command of
``eisen-deploy-client``: files are read and written there, and only there. So that distribution has
to be installed, which packaging does without otherwise; it is imported when this command runs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from eisen_deploy.packaging._progress import Steps
from eisen_deploy.packaging._shared.archive.allowed_values import ENTRY
from eisen_deploy.packaging._shared.archive.description import Description
from eisen_deploy.packaging._shared.command import program
from eisen_deploy.packaging._shared.command.progress import open_bars
from eisen_deploy.packaging._shared.command.terminal import say
from eisen_deploy.packaging._shared.model import serving_options
from eisen_deploy.packaging._shared.model.serving_options import ServingOptions
from eisen_deploy.packaging._shared.printable import clean

from .archive import add_digest, check_digest, unpack
from .errors import Failed, NotSound, name_archive

if TYPE_CHECKING:
    from eisen_deploy.packaging._proof.local_model import LocalModel

_EXAMPLES = """
examples:
  eisen-pack predict seg.mar --input image=ct.nii.gz --output mask=mask.nii.gz
  eisen-pack predict seg.mar --input image=series/ --output mask=seg.dcm --segment 1=Liver
  eisen-pack predict seg.mar --input image=x.npy --json
"""
_STATUSES = """
exit status:
    0  done
    1  the archive is not sound, or does not load
"""
#: What the runtime in the archive looks at.
_SHOW_ERRORS = "EISEN_SHOW_ERRORS"
_MISSING = (
    "eisen-pack predict reads and writes files by eisen-deploy-client, which is not installed or "
    'too old: pip install "eisen-deploy-packaging[predict]"'
)


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments; those of the client follow when they are needed."""
    parser = cast(
        "program.Parser",
        commands.add_parser(
            "predict",
            help="run an archive on files, without a server",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        ),
    )
    add = parser.add_argument
    add("archive", metavar="MAR", type=Path, help="the archive")
    add_digest(parser)
    add("--gpu", metavar="N", type=int, help="the GPU to predict on; default: the CPU")
    parser.add_late = _add_client_arguments
    return parser


def _add_client_arguments(parser: program.Parser) -> None:
    try:
        from eisen_deploy.client.cli.predict import local  # noqa: PLC0415 - an extra
    except ImportError as error:
        if (error.name or "").startswith("eisen_deploy.client"):
            parser.exit(2, f"eisen-pack: {_MISSING}\n")
        raise
    parser.description = (
        "Run an archive on files, in a clean process as behind a server. An output image lies "
        "where the input lies: its affine, spacing and orientation are those of the input. "
        "This runs code of the archive."
    )
    parser.epilog = f"{local.KINDS_OF_FILES}{_EXAMPLES}{_STATUSES}{local.format_table()}"
    local.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Predict, and return the exit status."""
    from eisen_deploy.client.cli.predict import local  # noqa: PLC0415 - an extra

    return local.run(
        arguments,
        lambda: _open_model(arguments),
        name=str(arguments.archive),
        program="eisen-pack",
    )


@contextmanager
def _open_model(arguments: argparse.Namespace) -> Iterator[LocalModel]:
    """Verify the archive and load it; show what it logged if it fails."""
    from eisen_deploy.client import ServerFailed  # noqa: PLC0415 - an extra
    from eisen_deploy.packaging._proof.local_model import open_local_model  # noqa: PLC0415 - slow

    path: Path = arguments.archive
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eisen-predict-")))
        with open_bars() as bars:
            steps = Steps(bars)
            _, about = unpack(path, folder, steps)
            check_digest(path, about, arguments.digest)
            _refuse_other_handler(path, about)
            steps.begin("load")
            with name_archive(path, NotSound):
                options = _read_options(folder, about)
                variables = {_SHOW_ERRORS: str(int(arguments.show_errors))}
                loading = open_local_model(folder, options, arguments.gpu, variables)
                model = stack.enter_context(loading)
        try:
            yield model
        except ServerFailed:
            if log := model.end().rstrip():
                say(log, sys.stderr)
            raise


def _refuse_other_handler(path: Path, about: Description) -> None:
    """Refuse what the runtime would answer in the place of another handler, and otherwise.

    :raises Failed: if the handler is TorchServe's, or a file made for it.
    """
    if about.entry != ENTRY:
        raise Failed(
            f"{clean(str(path))}: its handler {about.entry} is TorchServe's, and no "
            "EisenServingHandler: only TorchServe can run it"
        )


def _read_options(folder: Path, about: Description) -> ServingOptions:
    if about.serving is None:
        return ServingOptions()
    return serving_options.read((folder / about.serving).read_bytes())
