"""The user's files of archives that are served from copies: what happens to them is said.

None of it reaches the server. But whoever replaces a file expects the new one to be served.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from eisen_deploy.serving.runtime._shared.archive import zips
from eisen_deploy.serving.runtime._shared.errors import CorruptArchive
from eisen_deploy.serving.runtime._shared.printable import clean

from .served_archives import ServedArchive, make_mark

_POLL = 2.0
_PIECE = 2**20

Mark = tuple[int, ...]


class Originals:
    """The files from which copies were made.

    :param say: is called with a line for each change.
    """

    def __init__(self, archives: Iterable[ServedArchive], say: Callable[[str], None]) -> None:
        self._files = [_File(archive) for archive in archives if archive.copy is not None]
        self._say = say

    def watch(self) -> None:
        """Look now and then, in a thread that nobody waits for: a network's files may hang."""
        threading.Thread(target=self._watch, name="originals", daemon=True).start()

    def look(self) -> None:
        """Say what has changed; of a file that is being written, once it stays as it is."""
        for file in self._files:
            if (change := file.look()) is not None:
                self._say(change)

    def _watch(self) -> None:
        while True:
            time.sleep(_POLL)
            self.look()


class _File:
    def __init__(self, archive: ServedArchive) -> None:
        self._archive = archive
        self._told = self._seen = archive.mark

    def look(self) -> str | None:
        """Return what is to be said: once for each state that has lasted for two looks."""
        try:
            mark, why = make_mark(self._archive.path.stat()), ""
        except OSError as error:
            mark, why = None, error.strerror or type(error).__name__
        lasted, self._seen = mark == self._seen, mark
        if not lasted or mark == self._told:
            return None
        before, self._told = self._told, mark
        try:
            return self._explain_change(before, mark, why)
        except OSError as error:
            return self._explain_staying(f"cannot be read: {error.strerror}")
        except CorruptArchive:
            return self._explain_staying("is not a regular file any more")

    def _explain_change(self, before: Mark | None, mark: Mark | None, why: str) -> str | None:
        if mark is None:
            return self._explain_staying(f"is no longer there ({why})")
        copy = self._archive.copy
        if copy is None or not _have_same_content(self._archive.path, copy):
            return self._explain_staying("has other content now")
        if before is not None and before[:-1] == mark[:-1]:
            return None  # a link to it, its owner or its permissions
        only_time = before is not None and before[:-2] == mark[:-2]
        how = "only its time has changed" if only_time else "it was written again or replaced"
        return f"{self._name}: {how}, its content is what is served: nothing is to be done"

    def _explain_staying(self, what: str) -> str:
        archive = self._archive
        return (
            f"{self._name} {what}: {archive.name} {archive.version}, sha-256 {archive.digest[:16]},"
            " is served on as it was verified; restart eisen-serve to serve what lies there then"
        )

    @property
    def _name(self) -> str:
        return clean(str(self._archive.path))


def _have_same_content(one: Path, other: Path) -> bool:
    with zips.open_archive(one) as first, other.open("rb") as second:
        if os.fstat(first.fileno()).st_size != os.fstat(second.fileno()).st_size:
            return False
        while piece := first.read(_PIECE):
            if piece != second.read(_PIECE):
                return False
        return not second.read(1)
