"""``eisen-pack verify``: whether an archive is what was packed, and works."""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eisen_deploy.packaging._errors import EisenPackagingError
from eisen_deploy.packaging._shared.archive import unpacked_folder, zips
from eisen_deploy.packaging._shared.command.progress import open_bars
from eisen_deploy.packaging._shared.command.terminal import format_size, say
from eisen_deploy.packaging._shared.errors import ContractError
from eisen_deploy.packaging._shared.printable import clean

from .errors import NotSound

_EXAMPLE = """\
examples:
  eisen-pack verify model_zoo/seg.mar
  eisen-pack verify --no-run --digest 5d41402a... model_zoo/seg.mar
"""

_DIGEST = re.compile(r"(?:sha-?256[:=])?([0-9a-f]{64})", re.IGNORECASE)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
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
    add("--digest", metavar="SHA256", type=_digest, help="the digest that it has to have")
    add("--no-run", action="store_true", help="check structure and digests only")
    add("--gpu", metavar="N", type=int, help="the GPU to predict on; default: the CPU")
    return parser


def _digest(text: str) -> str:
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("expected 64 hexadecimal digits")
    return match[1].lower()


def run(arguments: argparse.Namespace) -> int:
    """Verify one archive, step by step."""
    path: Path = arguments.archive
    with tempfile.TemporaryDirectory(prefix="eisen-verify-") as temporary, open_bars() as progress:
        folder = Path(temporary)
        with _failures_named(path):
            entries = zips.unpack(path, folder, progress=_counter(progress, path))
            about = unpacked_folder.verify(folder)
        _told(f"structure   {len(entries)} files, {format_size(path.stat().st_size)}", progress)
        _told(f"digests     sha-256 {about.digest}", progress)
        _check_digest(path, about.digest, arguments.digest)
        if not arguments.no_run:
            _told(f"process     {_predict(path, folder, arguments.gpu, progress)}", progress)
    say(f"{clean(str(path))} is sound")
    return 0


def _counter(progress: Any, path: Path) -> Callable[[int], None] | None:
    if progress is None:
        return None
    from eisen_deploy.packaging._progress import Steps  # noqa: PLC0415 - on a terminal only

    return Steps(progress).counter("unpack", path.stat().st_size)


def _told(line: str, progress: Any) -> None:
    if progress is not None:
        progress.close()  # the bar would stand in the same line
    say(line)


@contextmanager
def _failures_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (ContractError, EisenPackagingError) as error:
        raise NotSound(f"{clean(str(path))}: {problem}" for problem in error.problems) from error


def _check_digest(path: Path, digest: str, expected: str | None) -> None:
    if expected not in (None, digest):
        raise NotSound(
            f"{clean(str(path))}: another archive: expected digest {expected}, came {digest}"
        )


def _predict(path: Path, folder: Path, gpu: int | None, progress: Any) -> str:
    from eisen_deploy.packaging._proof import prove  # noqa: PLC0415 - takes long to import

    if progress is not None:
        progress("predict", 0, 0)
    with _failures_named(path):
        proof = prove(folder, gpu_id=gpu)
    if proof.predicted:
        return f"clean, sample predicted in {proof.seconds:.1f} s"
    return f"clean, loaded in {proof.seconds:.1f} s; there is no sample to predict"
