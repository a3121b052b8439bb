"""``eisen-pack verify``: whether an archive is what was packed, and works."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from eisen_deploy.packaging._progress import Steps
from eisen_deploy.packaging._shared.command import program
from eisen_deploy.packaging._shared.command.progress import Bars, open_bars
from eisen_deploy.packaging._shared.command.terminal import format_size, say
from eisen_deploy.packaging._shared.printable import clean

from .archive import add_digest, check_digest, unpack
from .errors import NotSound, name_archive

_EXAMPLE = """\
examples:
  eisen-pack verify model_zoo/seg.mar
  eisen-pack verify --no-run --digest 5d41402a... model_zoo/seg.mar
"""


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser = commands.add_parser(
        "verify",
        help="check an archive, and predict its sample in a clean process",
        description="Check every byte of an archive: its structure, its digests. Then load it in a "
        "process that has only what a server has, and predict its sample. Exits with 1 if "
        "something is wrong. Loading can run code: --no-run does without.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("archive", metavar="MAR", type=Path, help="the archive")
    add_digest(parser)
    add("--no-run", action="store_true", help="check structure and digests only")
    add("--gpu", metavar="N", type=int, help="the GPU to predict on; default: the CPU")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Verify one archive, step by step."""
    path: Path = arguments.archive
    with tempfile.TemporaryDirectory(prefix="eisen-verify-") as temporary, open_bars() as bars:
        folder, steps = Path(temporary), Steps(bars)
        entries, about = unpack(path, folder, steps)
        _say_line(f"structure   {len(entries)} files, {format_size(path.stat().st_size)}", bars)
        _say_line(f"digests     sha-256 {about.digest}", bars)
        check_digest(path, about, arguments.digest)
        if not arguments.no_run:
            steps.begin("predict")
            _say_line(f"process     {_predict(path, folder, arguments.gpu)}", bars)
    say(f"{clean(str(path))} is sound")
    return 0


def _say_line(line: str, bars: Bars | None) -> None:
    if bars is not None:
        bars.close()  # one would stand in the same line
    say(line)


def _predict(path: Path, folder: Path, gpu: int | None) -> str:
    from eisen_deploy.packaging._proof import prove  # noqa: PLC0415 - takes long to import

    with name_archive(path, NotSound):
        proof = prove(folder, gpu_id=gpu)
    if proof.predicted:
        return f"clean, sample predicted in {proof.seconds:.1f} s"
    return f"clean, loaded in {proof.seconds:.1f} s; there is no sample to predict"
