"""``eisen-serve export``: an image, Kubernetes manifests and a systemd unit for archives."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from eisen_deploy.serving.engines import preflight
from eisen_deploy.serving.engines.deployment.plan import Choices, make_plan
from eisen_deploy.serving.engines.deployment.rendering import render_files
from eisen_deploy.serving.engines.served_archives import find_archives, verify
from eisen_deploy.serving.runtime._shared.command import program
from eisen_deploy.serving.runtime._shared.command.terminal import say
from eisen_deploy.serving.runtime._shared.printable import clean

from .arguments import add_limits, find_interpreter, make_limits

_EXAMPLE = """\
examples:
  eisen-serve export model_zoo/seg.mar -o seg-image --image hospital/seg:1.2 --token-auth
  docker build -t hospital/seg:1.2 seg-image && kubectl apply -f seg-image/deployment.yaml
"""


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser = commands.add_parser(
        "export",
        help="write a Dockerfile, Kubernetes manifests and a systemd unit",
        description="Verify archives, and write to a folder what others run them with: a "
        "Dockerfile with a copy of each archive, a Deployment with its Service, an "
        "InferenceService for KServe, a RayService for KubeRay, and a systemd unit. Each file "
        "explains its lines.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("archives", metavar="MAR", type=Path, nargs="+", help="an archive, or a folder with some")
    add("-o", "--output", metavar="DIR", type=Path, required=True, help="where the files go")
    add("--overwrite", action="store_true", help="replace files that are there already")
    add("--image", metavar="NAME", help="name of the image; default: eisen-deploy/MODEL:VERSION")
    add("--name", metavar="NAME", help="name in Kubernetes; default: the model's")
    add(
        "--storage-uri",
        metavar="URI",
        help="from where KServe fetches the archive, such as s3://models/seg.mar; default: it is "
        "in the image",
    )
    add_limits(parser)
    add("--token-auth", action="store_true", help="clients have to send the token in a secret")
    add(
        "--python",
        metavar="FILE",
        type=find_interpreter,
        default=sys.executable,
        help="interpreter of the environment for the systemd unit; default: the one that runs this",
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Write the files, and print where they are."""
    output: Path = arguments.output
    options = make_limits(arguments)
    chosen = Choices(arguments.name, arguments.image, arguments.storage_uri, arguments.python)
    with _made(output), tempfile.TemporaryDirectory(prefix=".export-", dir=output) as private:
        found = verify(find_archives(arguments.archives), Path(private) / "archives")
        preflight.refuse([*preflight.find_large_samples(found, options)])
        plan = make_plan(found, options, chosen)
        texts = dict(render_files(plan))
        _check_free(output, [*texts, *(model.file for model in plan.models)], arguments.overwrite)
        for model in plan.models:
            model.copy.chmod(0o644)
            model.copy.replace(output / model.file)
        for name, text in texts.items():
            (output / name).write_text(text, "utf-8")
    for name in sorted([*texts, *(model.file for model in plan.models)]):
        say(clean(str(output / name)))
    return 0


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and remove it if what follows fails, with those made above it."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # something else lies there now
            for each in made:
                each.rmdir()
        raise


def _check_free(output: Path, names: list[str], overwrite: bool) -> None:
    """Check that no file is replaced that somebody may have changed.

    :raises Refused: with each one that is there already.
    """
    there = [name for name in names if (output / name).exists() and not overwrite]
    preflight.refuse(
        [
            f"{clean(str(output / name))}: it is there already: --overwrite replaces it"
            for name in there
        ]
    )
