"""The one reader of an archive: it checks what the archive says against its files; nothing runs.

An archive cannot be read without these checks: names obey packaging's rules, the directory
has the files that ``eisen.json`` lists, and what TorchServe and pip read follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import CorruptArchive, refuse_if
from ..model import serving_options
from ..model.serving_options import ServingOptions
from ..printable import clean
from ..wire import strict_json
from . import derived_files, eisen_json, unpacked_folder, zips
from .description import Description
from .zips import Entry

_SMALL = strict_json.MAX_BYTES


@dataclass(frozen=True)
class Archive:
    """An archive whose directory and small files agree with its ``eisen.json``.

    :param entries: its files by name.
    :param about: what ``eisen.json`` says.
    """

    path: Path
    entries: Mapping[str, Entry]
    about: Description

    def read(self, name: str, limit: int = _SMALL) -> bytes:
        """Return the content of one file.

        :raises CorruptArchive: if it is larger than ``limit`` bytes, or damaged.
        """
        return zips.read_file(self.path, self.entries[name], limit)

    @property
    def metadata(self) -> dict[str, object]:
        """What the model declares."""
        return strict_json.loads_object(self.read(derived_files.METADATA), derived_files.METADATA)

    @property
    def serving(self) -> ServingOptions | None:
        """The serving options, each at its default if not given; ``None`` without any."""
        name = self.about.serving
        return None if name is None else serving_options.read(self.read(name))

    def describe_file(self, name: str) -> dict[str, object]:
        """Return name, size and SHA-256 of a file, as ``eisen.json`` has them."""
        listed = self.about.files[name]
        return {"file": name, "size": listed.size, "sha256": listed.sha256}


def read(path: Path) -> Archive:
    """Read the directory and the small files of an archive; the large ones are not touched.

    :raises ContractError: if it is not as packaging writes it, or was not packed with Eisen-Deploy.
    :raises OSError: if the file cannot be read.
    """
    return _check_against_description(path, zips.read(path))


def verify(path: Path, *, progress: Callable[[int], None] | None = None) -> Archive:
    """Read an archive, and check every byte of it.

    :param progress: is called with the number of bytes that were just read.
    :raises ContractError: as :func:`read` does, and with each file that was changed.
    :raises OSError: if the file cannot be read.
    """
    digests = dict(zips.hash_files(path, progress=progress))
    archive = _check_against_description(path, digests)
    listed = archive.about.files
    refuse_if(
        [
            f"{entry.name} was changed: its SHA-256 is not the one that was packed"
            for entry, digest in digests.items()
            if entry.name != eisen_json.FILE_NAME and digest != listed[entry.name].sha256
        ]
    )
    return archive


def _check_against_description(path: Path, found: Iterable[Entry]) -> Archive:
    entries = {entry.name: entry for entry in found}
    if eisen_json.FILE_NAME not in entries:
        raise CorruptArchive(f"it has no {eisen_json.FILE_NAME}: Eisen-Deploy did not make it")
    about = eisen_json.parse(zips.read_file(path, entries[eisen_json.FILE_NAME], _SMALL))
    listed = about.files
    present = entries.keys() - {eisen_json.FILE_NAME}
    refuse_if(
        unpacked_folder.compare_names(listed, present)
        + [
            f"{clean(name)} has {entries[name].size} bytes, {listed[name].size} were packed"
            for name in sorted(listed.keys() & present)
            if listed[name].size != entries[name].size
        ]
    )
    archive = Archive(path, entries, about)
    refuse_if(derived_files.find_problems(about, archive.read))
    return archive
