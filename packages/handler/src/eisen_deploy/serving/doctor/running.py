"""The TorchServes that run on this machine, as ``/proc`` shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_MAIN = "org.pytorch.serve.ModelServer"
_TEMPORARY = "-Djava.io.tmpdir="
_PROC = Path("/proc")


@dataclass(frozen=True)
class Running:
    """The Java process of one TorchServe.

    :param folder: its working folder; ``None`` where it may not be read.
    :param temporary: where it unpacks the archives.
    :param config: the file that it was given by name.
    """

    pid: int
    folder: Path | None
    temporary: str
    config: Path | None

    def is_of(self, path: Path | None, folder: Path) -> bool:
        """Whether it is the server of this configuration."""
        if self.config is None or path is None:
            return self.folder == folder.resolve()
        return self.config == path.resolve()


def running() -> list[Running]:
    """Return those whose command line may be read; none where there is no ``/proc``."""
    return list(_running())


def _running() -> Iterator[Running]:
    numbered = [path for path in _PROC.iterdir() if path.name.isdigit()] if _PROC.is_dir() else []
    for path in numbered:
        try:
            words = (path / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue  # it ended, or is somebody else's
        if _MAIN in words:
            yield _describe(path, words)


def _describe(path: Path, words: list[str]) -> Running:
    try:
        folder = (path / "cwd").readlink()
    except OSError:
        folder = None
    temporary = [word[len(_TEMPORARY) :] for word in words if word.startswith(_TEMPORARY)]
    given = dict(pairwise(words)).get("-f")
    config = None if given is None or folder is None else (folder / given).resolve()
    return Running(int(path.name), folder, temporary[-1] if temporary else "/tmp", config)  # noqa: S108
