"""Archives on a node: fetched once, verified each time, kept by their digest.

Nothing of an archive is imported before it is verified, and what is unpacked is verified again
while it is loaded. A kept file that is damaged is thrown away and fetched anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from eisen_deploy.serving.engines import served_archives
from eisen_deploy.serving.engines.served_archives import BadArchives, ServedArchive
from eisen_deploy.serving.runtime._shared.printable import clean

_log = logging.getLogger("eisen_deploy.serving")

_PIECE = 2**22
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_UNPACKED = "unpacked-"


@dataclass(frozen=True)
class Source:
    """An archive's address, and the digest that it must have, if that is known."""

    url: str
    digest: str | None = None

    def __str__(self) -> str:
        """Return the address as it is shown: without what may be a password."""
        if not _SCHEME.match(self.url):
            return clean(self.url)
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return clean(f"{parts.scheme}://{host}{parts.path}")


class Cache:
    """The archives of one node.

    :param folder: is made if it is missing; by default one of this user's, below the temporary
        folder.
    :raises BadArchives: if it cannot be made, or others may write to it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        default = Path(tempfile.gettempdir()) / f"eisen-deploy-archives-{os.getuid()}"
        self._folder = default if folder is None else folder
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self._folder.stat()
        except OSError as error:
            raise BadArchives([f"cache {self._folder}: {error.strerror}"]) from None
        if status.st_uid not in (0, os.getuid()) or status.st_mode & stat.S_IWOTH:
            raise BadArchives([f"cache {self._folder}: other users may write to it"])

    def fetch(self, source: Source) -> ServedArchive:
        """Return an archive, verified; its copy is what lies in this cache.

        :raises BadArchives: if it cannot be fetched, is damaged, or is not the one with the digest.
        """
        if source.digest is not None:
            with self._lock(source.digest):
                return self._find(source) or self._download(source)
        return self._download(source)

    def make_folder(self) -> Path:
        """Return a new, empty folder; it is removed once this process has ended.

        :raises BadArchives: if it cannot be made.
        """
        try:
            with self._lock("unpacking"):
                self._remove_unused()
                folder = Path(tempfile.mkdtemp(prefix=_UNPACKED, dir=self._folder))
                fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)  # until this process ends
            inner = folder / "archive"
            inner.mkdir()
        except OSError as error:
            raise BadArchives([f"cache {self._folder}: {error.strerror}"]) from None
        return inner

    def _find(self, source: Source) -> ServedArchive | None:
        """Return the archive that is kept, if it is whole."""
        kept = self._folder / f"{source.digest}.mar"
        if not kept.exists():
            return None
        try:
            return _verify(source, kept)
        except BadArchives as error:
            _log.warning("%s was kept and is thrown away: %s", kept, error)
            kept.unlink(missing_ok=True)
            return None

    def _download(self, source: Source) -> ServedArchive:
        """Fetch an archive, verify it, and keep it."""
        handle, name = tempfile.mkstemp(prefix=".fetching-", dir=self._folder)
        os.close(handle)
        part = Path(name)
        try:
            _copy(source, part)
            archive = _verify(source, part)
            kept = self._folder / f"{archive.digest}.mar"
            part.replace(kept)
            return replace(archive, copy=kept)
        finally:
            part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Let one process of this node at a time do something."""
        with (self._folder / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _remove_unused(self) -> None:
        """Remove what processes that have ended had unpacked."""
        for folder in self._folder.glob(f"{_UNPACKED}*"):
            with contextlib.suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
                finally:
                    os.close(descriptor)


def _copy(source: Source, path: Path) -> None:
    """Copy what is at an address to a file.

    :raises BadArchives: if it cannot be read.
    """
    if _SCHEME.match(source.url):
        _copy_remote(source, path)
        return
    try:
        shutil.copyfile(source.url, path)
    except OSError as error:
        raise BadArchives([f"{source}: {error.strerror}"]) from None


def _copy_remote(source: Source, path: Path) -> None:
    import fsspec  # noqa: PLC0415 - a path needs no such package

    try:
        with fsspec.open(source.url, "rb") as remote, path.open("wb") as local:
            shutil.copyfileobj(remote, local, _PIECE)
    except Exception as error:  # noqa: BLE001 - each kind of address has errors of its own
        # Their texts may hold the address with what is secret in it.
        why = type(error).__name__
        raise BadArchives([f"{source}: cannot be fetched to {path.parent}: {why}"]) from None


def _verify(source: Source, path: Path) -> ServedArchive:
    """Return what lies in a file.

    :raises BadArchives: if it is damaged, or is not the one with the digest.
    """
    try:
        [archive] = served_archives.verify([path])
    except BadArchives as error:
        problems = [problem.replace(str(path), str(source), 1) for problem in error.problems]
        raise BadArchives(problems) from None
    if source.digest not in (None, archive.digest):
        got = f"{archive.name} {archive.version} with the digest {archive.digest}"
        problem = f"{source}: expected the archive with the digest {source.digest}, got {got}"
        raise BadArchives([f"{problem}: it was replaced"])
    return replace(archive, copy=path)
