"""An archive as the commands read it: opened, all that it says of itself, unpacked and verified."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from eisen_deploy.packaging._progress import Steps
from eisen_deploy.packaging._shared.archive import reader, unpacked_folder, zips
from eisen_deploy.packaging._shared.archive.description import Description
from eisen_deploy.packaging._shared.archive.reader import Archive
from eisen_deploy.packaging._shared.archive.zips import Entry
from eisen_deploy.packaging._shared.printable import clean

from .errors import NotSound, name_archive
from .trust import describe_loading

_DIGEST = re.compile(r"(?:sha-?256[:=])?([0-9a-f]{64})", re.IGNORECASE)


def add_digest(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which archive is meant."""
    meaning = "the digest that it has to have"
    parser.add_argument("--digest", metavar="SHA256", type=_parse_digest, help=meaning)


def _parse_digest(text: str) -> str:
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("expected 64 hexadecimal digits")
    return match[1].lower()


def unpack(path: Path, folder: Path, steps: Steps) -> tuple[Sequence[Entry], Description]:
    """Unpack an archive and check every byte of it.

    :raises NotSound: with all that is wrong with it.
    """
    with name_archive(path, NotSound):
        counter = steps.counter("unpack", path.stat().st_size)
        entries = zips.unpack(path, folder, progress=counter)
        return entries, unpacked_folder.verify(folder)


def check_digest(path: Path, about: Description, expected: str | None) -> None:
    """Check that an archive is the one that is meant, if the user has said which.

    :raises NotSound: if it is another one.
    """
    if expected not in (None, about.digest):
        raise NotSound(
            f"{clean(str(path))}: another archive: expected digest {expected}, got {about.digest}"
        )


def open_archive(path: Path) -> Archive:
    """Read the directory and the small files of an archive.

    :raises Failed: if it cannot be read, or Eisen-Deploy did not make it; it names the archive.
    """
    with name_archive(path):
        return reader.read(path)


def describe(archive: Archive) -> dict[str, object]:
    """Return everything that is known of an archive; the keys are documented and stay.

    :raises Failed: if one of its small files is damaged; it names the archive.
    """
    about, raw = archive.about, archive.about.raw
    own_handler = raw["handler"] or {"file": None, "class": None}
    with name_archive(archive.path):
        return {
            "archive": archive.path.name,
            "size": archive.path.stat().st_size,
            "format": raw["format"],
            "digest": about.digest,
            "model": {**raw["model"], **archive.describe_file(about.model.file)},
            "transforms": {
                part: name and archive.describe_file(name)
                for part, name in about.transforms.items()
            },
            "handler": {"entry": about.entry, **own_handler},
            "loading": asdict(describe_loading(archive)),
            "metadata": archive.metadata,
            "modules": raw["modules"],
            "requirements": raw["requirements"],
            "packed_with": raw["packed_with"],
            "serving": archive.serving and asdict(archive.serving),
            "sample": raw["sample"],
            "batches": raw["batches"],
            "files": raw["files"],
        }
