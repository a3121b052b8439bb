"""The archives to serve: verified, and linked into a model store of their own."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .baked._shared import contents, protocol, serving_options, zips
from .baked._shared.errors import ContractError
from .baked._shared.serving_options import ServingOptions


class BadArchives(Exception):
    """Archives cannot be served.

    :param problems: one sentence for each thing that is wrong, with the archive's path.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True)
class Archive:
    """A verified archive.

    :param path: of the file.
    :param serving: the serving options that travel in it, each at its default without any.
    :param has_options: whether any travel in it.
    :param sample: the body of a recorded request, and its headers; ``None`` without a sample.
    :param url_part: how a URL names it: by its name, and with the version if several are served.
    """

    path: Path
    name: str
    version: str
    digest: str
    serving: ServingOptions
    has_options: bool
    sample: tuple[bytes, dict[str, str]] | None
    url_part: str

    @property
    def worker_name(self) -> str:
        """How TorchServe names it in its log."""
        return f"{self.name}_{self.version}"

    @property
    def store_name(self) -> str:
        """The name of its file in the model store."""
        return f"{self.url_part.replace('/', '-')}.mar"


def verify(paths: Sequence[Path]) -> list[Archive]:
    """Check every byte of each archive; nothing in them is imported or unpickled.

    :raises BadArchives: with all that is wrong with any of them.
    """
    problems: list[str] = []
    found = [each for path in paths if (each := _verified(path, problems)) is not None]
    problems += _repeated(found)
    if problems:
        raise BadArchives(problems)
    names = [archive.name for archive in found]
    return [
        archive
        if names.count(archive.name) == 1
        else replace(archive, url_part=f"{archive.name}/{archive.version}")
        for archive in found
    ]


def store(archives: Sequence[Archive], folder: Path) -> list[str]:
    """Link archives into a new folder and return their names in it.

    A hard link stays the file that was verified, whatever takes its place; where there cannot be
    one, it is a symbolic link.
    """
    folder.mkdir()
    for archive in archives:
        target = folder / archive.store_name
        try:
            os.link(archive.path.resolve(), target)
        except OSError:
            _link_or_copy(archive.path.resolve(), target)
    return [archive.store_name for archive in archives]


def _link_or_copy(path: Path, target: Path) -> None:
    try:
        target.symlink_to(path)
    except OSError:
        shutil.copyfile(path, target)


def _verified(path: Path, problems: list[str]) -> Archive | None:
    """Return one archive, or note what is wrong with it."""
    try:
        with tempfile.TemporaryDirectory(prefix="eisen-serve-") as temporary:
            zips.unpack(path, Path(temporary))
            return _described(path, Path(temporary), contents.verify(Path(temporary)))
    except ContractError as error:
        problems += [f"{path}: {problem}" for problem in error.problems]
    except OSError as error:
        problems.append(f"{path}: {error.strerror or error}")
    return None


def _described(path: Path, folder: Path, about: dict[str, Any]) -> Archive:
    """Return what is said of an archive that is unpacked and verified."""
    options = ServingOptions()
    if about["serving"] is not None:
        options = serving_options.from_config(json.loads((folder / about["serving"]).read_bytes()))
    sample = None
    if about["sample"] is not None:
        request = about["sample"]["request"]
        headers = protocol.Body((), request["json_size"]).headers
        sample = (folder / request["file"]).read_bytes(), headers
    model = about["model"]
    name, version = model["name"], model["version"]
    has_options = about["serving"] is not None
    return Archive(path, name, version, about["digest"], options, has_options, sample, name)


def _repeated(archives: Sequence[Archive]) -> list[str]:
    """Say which archives hold the same version of the same model."""
    first: dict[str, Archive] = {}
    problems = []
    for archive in archives:
        other = first.setdefault(archive.worker_name, archive)
        if other is not archive:
            what = f"{archive.name} {archive.version}"
            problems.append(f"{archive.path}: {what} is in {other.path} as well: serve one of them")
    return problems
