"""From a staging folder to an archive that appears whole or not at all.

The staging folder lies inside the destination, so that the finished archive moves within one file
system. Whatever happens before that move leaves the target path as it was.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ._errors import ArchiveExists

STAGING_PREFIX = ".eisen-pack-"

_FIRST_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_PIECE = 2**20


@contextmanager
def staging_folder(destination: Path) -> Iterator[Path]:
    """Make a folder that only this user can enter, and remove it in any event."""
    folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=destination))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_zip(folder: Path, path: Path) -> None:
    """Write all files of a folder into a new zip file, and see that it is on the disk.

    The bytes depend on the names and contents of the files only. Nothing is compressed: weights do
    not shrink. Sizes stand before the contents, as TorchServe's reader needs it for stored files.
    """
    names = sorted(item.relative_to(folder).as_posix() for item in folder.rglob("*"))
    with path.open("xb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name in names:
                if (folder / name).is_file():
                    _add(archive, folder / name, name)
        file.flush()
        os.fsync(file.fileno())


def move_into_place(archive: Path, target: Path, *, overwrite: bool) -> None:
    """Give a finished archive its name, in one step that either happens or does not.

    :raises ArchiveExists: if the target is there and may not be overwritten.
    """
    if overwrite:
        archive.replace(target)
    else:
        _move_if_free(archive, target)
    _sync_folder(target.parent)


def check_free(target: Path) -> None:
    """Check that there is nothing at a path, not even a dangling link.

    :raises ArchiveExists: if there is.
    """
    if os.path.lexists(target):
        raise _exists(target)


def _exists(target: Path) -> ArchiveExists:
    return ArchiveExists(f"{target} exists: pass overwrite=True to replace it")


def _add(archive: zipfile.ZipFile, source: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _FIRST_DATE)
    entry.create_system = _UNIX
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.file_size = source.stat().st_size  # tells zipfile whether the entry needs zip64
    with source.open("rb") as reader, archive.open(entry, "w") as writer:
        shutil.copyfileobj(reader, writer, _PIECE)


def _move_if_free(archive: Path, target: Path) -> None:
    try:
        os.link(archive, target)  # fails if the target has appeared meanwhile
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a file system without hard links: here alone a racing writer can be lost
        check_free(target)
        archive.rename(target)


def _sync_folder(folder: Path) -> None:
    """See that a new name is on the disk; not every system opens folders, and the name stands."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
