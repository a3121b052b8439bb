"""An archive as ``inspect`` and ``diff`` read it: opened, and everything that it says of itself."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from eisen_deploy.packaging._shared.archive import reader
from eisen_deploy.packaging._shared.archive.reader import Archive

from .errors import name_archive
from .trust import describe_loading


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
