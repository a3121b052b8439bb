"""An archive as a folder: its ``eisen.json`` is written, and its files are checked against it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ..errors import CorruptArchive, refuse_if
from ..printable import clean
from . import derived_files
from .description import Description, ListedFile
from .eisen_json import FILE_NAME, encode, parse
from .zips import list_files

_PIECE = 2**20


def describe_files(folder: Path) -> dict[str, dict[str, object]]:
    """Return size (bytes) and SHA-256 of each file below a folder, by its POSIX path."""
    return {
        name: {"sha256": compute_sha256(folder / name), "size": (folder / name).stat().st_size}
        for name in sorted(_list_files(folder))
        if name != FILE_NAME
    }


def write(folder: Path, about: Mapping[str, object]) -> str:
    """Write ``eisen.json`` for all that lies in a folder, and return the archive's digest.

    :param about: every key of the file but ``format``, ``files`` and ``digest``.
    """
    raw = encode({**about, "files": describe_files(folder)})
    (folder / FILE_NAME).write_bytes(raw)
    return str(json.loads(raw)["digest"])


def read(folder: Path) -> Description:
    """Read ``eisen.json`` and check it against itself; the other files are not touched.

    :raises CorruptArchive: if it is missing, damaged, or of a format that is not known here.
    """
    try:
        raw = (folder / FILE_NAME).read_bytes()
    except OSError as error:
        raise CorruptArchive(f"{FILE_NAME} cannot be read: {error.strerror}") from None
    return parse(raw)


def verify(folder: Path, *, later: Collection[str] = ()) -> Description:
    """Check every file of an unpacked archive and return what ``eisen.json`` says.

    Nothing is imported or unpickled. Byte code is passed over where Python itself compares it
    with the source, which is checked here: that holds for all byte code that Python writes.

    :param later: files whose content a later call will check, before they are read.
    :raises CorruptArchive: with each file that is missing, added or changed.
    """
    described = read(folder)
    listed = described.files
    present = set(_list_files(folder)) - {FILE_NAME}
    problems = compare_names(listed, present)
    for name in sorted((present & set(listed)) - set(later)):
        problems += _compare_file(folder / name, name, listed[name])
    if not problems:
        problems = derived_files.find_problems(described, lambda name: (folder / name).read_bytes())
    refuse_if(problems)
    return described


def compare_names(listed: Collection[str], present: Collection[str]) -> list[str]:
    """Say which files are missing, and which do not belong to the archive."""
    missing, strays = sorted(set(listed) - set(present)), sorted(set(present) - set(listed))
    return [f"{clean(name)} is missing" for name in missing] + [
        f"{clean(name)} does not belong to the archive" for name in strays
    ]


def _compare_file(path: Path, name: str, listed: ListedFile) -> list[str]:
    size = path.lstat().st_size
    if path.is_symlink():
        return [f"{name} is a symbolic link"]
    if size != listed.size:
        return [f"{name} has {size} bytes, {listed.size} were packed"]
    if compute_sha256(path) != listed.sha256:
        return [f"{name} was changed: its SHA-256 is not the one that was packed"]
    return []


def _list_files(folder: Path) -> Iterator[str]:
    return (name for name in list_files(folder) if not _is_compared_by_python(folder / name))


def _is_compared_by_python(path: Path) -> bool:
    """Whether a file is byte code that is used only if it has the time and size of its source."""
    if path.parent.name != "__pycache__" or path.suffix != ".pyc" or path.is_symlink():
        return False
    with path.open("rb") as file:
        return file.read(8)[4:] == bytes(4)  # PEP 552: the flags; 0 means by time and size


def compute_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
