"""The archives to serve: private copies that nobody else writes to, and that are verified.

What is verified are the bytes that are served. So each archive is copied first, and it is the copy
that is checked: then, and again whenever TorchServe is started.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eisen_deploy.serving.runtime._shared.archive import reader, zips
from eisen_deploy.serving.runtime._shared.errors import ContractError
from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions
from eisen_deploy.serving.runtime._shared.printable import clean
from eisen_deploy.serving.runtime._shared.wire import protocol

_PIECE = 2**22


class BadArchives(Exception):
    """Archives cannot be served.

    :param problems: one sentence for each thing that is wrong, with the archive's path.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True)
class ServedArchive:
    """A verified archive.

    :param path: of the user's file.
    :param serving: the serving options that travel in it, each at its default without any.
    :param has_options: whether any travel in it.
    :param sample: the body of a recorded request, and its headers; ``None`` without a sample.
    :param url_part: how a URL names it: by its name, and with the version if several are served.
    :param copy: the private copy, which is what was verified; ``None`` if there is none.
    :param requirements: what it needs beside torch, numpy and the server.
    :param mark: identifies what ``path`` was when it was read, see :func:`make_mark`.
    """

    path: Path
    name: str
    version: str
    digest: str
    serving: ServingOptions
    has_options: bool
    sample: tuple[bytes, dict[str, str]] | None
    url_part: str
    copy: Path | None = None
    mark: tuple[int, ...] | None = None
    requirements: tuple[str, ...] = ()

    @property
    def worker_name(self) -> str:
        """How TorchServe names it in its log."""
        return f"{self.name}_{self.version}"

    @property
    def store_name(self) -> str:
        """The name of its file in the model store."""
        return f"{self.url_part.replace('/', '-')}.mar"


def find_archives(paths: Iterable[Path]) -> list[Path]:
    """Return the archives that paths stand for: a folder stands for those (``*.mar``) in it.

    :raises BadArchives: with each path where nothing is, and each folder that has none.
    """
    found: list[Path] = []
    problems = []
    for path in paths:
        inside = sorted(path.glob("*.mar")) if path.is_dir() else [path]
        found += inside
        if not path.exists():
            problems.append(f"{clean(str(path))}: {os.strerror(errno.ENOENT)}")
        elif not inside:
            problems.append(f"{clean(str(path))}: no archive (*.mar) is in this folder")
    if problems:
        raise BadArchives(problems)
    return found


def verify(paths: Sequence[Path], store: Path | None = None) -> list[ServedArchive]:
    """Check every byte of each archive; nothing in them is imported or unpickled.

    :param store: a new folder for private copies, under :attr:`ServedArchive.store_name`; they are
        what is checked. Without it the files themselves are.
    :raises BadArchives: with all that is wrong with any of them.
    """
    problems: list[str] = []
    if store is not None:
        store.mkdir(mode=0o700)
    found = [
        each
        for index, path in enumerate(paths)
        if (each := _verify_one(path, store and store / f".{index}", problems)) is not None
    ]
    problems += _find_repeated(found)
    if problems:
        raise BadArchives(problems)
    return [_place(archive) for archive in name_in_urls(found)]


def name_in_urls(archives: Sequence[ServedArchive]) -> list[ServedArchive]:
    """Return archives with the part of the URL by which each is named beside the others."""
    names = [archive.name for archive in archives]
    return [
        archive
        if names.count(archive.name) == 1
        else replace(archive, url_part=f"{archive.name}/{archive.version}")
        for archive in archives
    ]


def check_copies(archives: Iterable[ServedArchive]) -> None:
    """Check again that each private copy is what was verified.

    :raises BadArchives: with each one that is not.
    """
    problems: list[str] = []
    for archive in archives:
        if archive.copy is None:
            continue
        what = f"{clean(str(archive.path))}: its private copy {clean(str(archive.copy))}"
        try:
            digest = reader.verify(archive.copy).about.digest
        except ContractError as error:
            problems += [f"{what}: {problem}" for problem in error.problems]
        except OSError as error:
            problems.append(f"{what}: {error.strerror or error}")
        else:
            if digest != archive.digest:
                problems.append(f"{what} was replaced: it has the digest {digest}")
    if problems:
        raise BadArchives(problems)


def make_mark(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes whenever a file is written, replaced or touched."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _verify_one(path: Path, copy: Path | None, problems: list[str]) -> ServedArchive | None:
    """Return one archive, or note what is wrong with it."""
    shown = clean(str(path))
    try:
        mark = make_mark(path.stat()) if copy is None else _copy(path, copy)
        read = reader.verify(path if copy is None else copy)
        return replace(_describe(path, read), copy=copy, mark=mark)
    except ContractError as error:
        problems += [f"{shown}: {problem}" for problem in error.problems]
    except OSError as error:
        problems.append(f"{shown}: {error.strerror or error}")
    return None


def _copy(path: Path, copy: Path) -> tuple[int, ...]:
    """Copy a file, and return its mark from before.

    :raises OSError: if it cannot be read; without a number, if there is no room for the copy.
    """
    with zips.open_archive(path) as source:
        mark = make_mark(os.fstat(source.fileno()))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            target = os.open(copy, flags, stat.S_IRUSR)
            try:
                _copy_content(source.fileno(), target)
            finally:
                os.close(target)
        except OSError as error:
            raise OSError(
                f"cannot be copied to {copy.parent}: {error.strerror}: TMPDIR names another folder"
            ) from error
    return mark


def _copy_content(source: int, target: int) -> None:
    """Copy what one descriptor has to another one; the file systems share the blocks if they can.

    What the system does not copy by itself, as between file systems, is read and written.
    """
    try:
        while os.copy_file_range(source, target, 2**30):
            pass
    except (AttributeError, OSError):  # no Linux, or not between these two
        pass
    while piece := os.read(source, _PIECE):
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(target, rest) :]


def _describe(path: Path, read: reader.Archive) -> ServedArchive:
    """Return what is said of an archive that is verified."""
    sample = None
    if read.about.sample is not None:
        request = read.about.sample.request
        headers = protocol.Body((), request.json_size).headers
        sample = read.read(request.file, read.entries[request.file].size), headers
    name, version = read.about.model.name, read.about.model.version
    digest, has_options = read.about.digest, read.serving is not None
    serving = read.serving or ServingOptions()
    found = ServedArchive(path, name, version, digest, serving, has_options, sample, name)
    return replace(found, requirements=read.about.requirements)


def _place(archive: ServedArchive) -> ServedArchive:
    """Return an archive whose copy has the name that goes with its part of the URL."""
    if archive.copy is None:
        return archive
    copy = archive.copy.with_name(archive.store_name)
    if copy.exists():
        raise BadArchives(
            [f"{clean(str(archive.path))}: its copy would be called {copy.name} as another one's"]
        )
    archive.copy.rename(copy)
    return replace(archive, copy=copy)


def _find_repeated(archives: Sequence[ServedArchive]) -> list[str]:
    """Say which archives hold the same version of the same model."""
    first: dict[str, ServedArchive] = {}
    problems = []
    for archive in archives:
        other = first.setdefault(archive.worker_name, archive)
        if other is not archive:
            what = f"{archive.name} {archive.version}"
            path, twin = clean(str(archive.path)), clean(str(other.path))
            problems.append(f"{path}: {what} is in {twin} as well: serve one of them")
    return problems
