"""An archive as it lies there: its directory and its small files, without unpacking the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eisen_deploy.packaging._shared import eisenjson, strictjson, zips
from eisen_deploy.packaging._shared.errors import ContractError, CorruptArchive
from eisen_deploy.packaging._shared.zips import Entry

from .errors import Failed

MANIFEST = "MAR-INF/MANIFEST.json"

_SMALL = strictjson.MAX_BYTES


@dataclass(frozen=True)
class Archive:
    """An archive whose directory agrees with its ``eisen.json``.

    :param entries: its files by name.
    :param about: what ``eisen.json`` says.
    """

    path: Path
    entries: Mapping[str, Entry]
    about: dict[str, Any]

    def read(self, name: str, limit: int = _SMALL) -> bytes:
        """Return the content of one file.

        :raises CorruptArchive: if it is larger than ``limit`` bytes, or damaged.
        """
        return zips.read_file(self.path, self.entries[name], limit)

    def read_json(self, name: str) -> Any:
        """Return the value of a file of JSON."""
        return strictjson.loads(self.read(name), name)

    def listed(self, name: str) -> dict[str, Any]:
        """Return name, size and SHA-256 of a file, as ``eisen.json`` has them."""
        said = self.about["files"][name]
        return {"file": name, "size": said["size"], "sha256": said["sha256"]}


def open_archive(path: Path) -> Archive:
    """Read the directory and ``eisen.json`` of an archive.

    :raises Failed: if it cannot be read, or is no archive of ours; it names the archive.
    """
    with named(path):
        entries = {entry.name: entry for entry in zips.read(path)}
        if eisenjson.FILE_NAME not in entries:
            raise CorruptArchive(f"it has no {eisenjson.FILE_NAME}: Eisen-Deploy did not make it")
        about = eisenjson.parse(zips.read_file(path, entries[eisenjson.FILE_NAME], _SMALL))
        _check_list(entries, about)
    return Archive(path, entries, about)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the archive in what is found to be wrong with it."""
    try:
        yield
    except ContractError as error:
        raise Failed(f"{path}: {problem}" for problem in error.problems) from error


def _check_list(entries: Mapping[str, Entry], about: Mapping[str, Any]) -> None:
    """Check that both lists of files tell the same names and sizes.

    :raises CorruptArchive: with each difference.
    """
    listed = {name: said["size"] for name, said in about["files"].items()}
    found = {name: entry.size for name, entry in entries.items() if name != eisenjson.FILE_NAME}
    problems = [f"{name} is missing" for name in sorted(listed.keys() - found.keys())]
    problems += [
        f"{name} does not belong to the archive" for name in sorted(found.keys() - listed.keys())
    ]
    problems += [
        f"{name} has {found[name]} bytes, {listed[name]} were packed"
        for name in sorted(listed.keys() & found.keys())
        if listed[name] != found[name]
    ]
    if problems:
        raise CorruptArchive(problems)


def as_json(value: Any) -> str:
    """Return a value as the JSON that ``--json`` prints: ASCII, which no terminal obeys."""
    return json.dumps(value, indent=2)
