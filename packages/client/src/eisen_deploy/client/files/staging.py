"""Writing outputs as a whole or not at all, by temporary files beside them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import UnwritableFile
from .formats import find_format


def check_free(path: Path, overwrite: bool) -> None:
    """Check that a file may be written.

    :raises UnwritableFile: if it exists, or is not a file, or has an impossible name, or its
        folder is missing or read-only.
    """
    if not path.parent.is_dir():
        raise UnwritableFile("its folder does not exist")
    try:
        exists = bool(path.lstat())
    except FileNotFoundError:
        exists = False
    except OSError as error:  # its name is too long, for example
        raise UnwritableFile(f"cannot be written: {error.strerror}") from error
    if exists and (not overwrite or not path.is_file()):
        raise UnwritableFile(
            "exists already: --overwrite replaces it" if path.is_file() else "is not a file"
        )
    if not os.access(path.parent, os.W_OK):
        raise UnwritableFile("its folder cannot be written to")


@contextmanager
def stage(paths: Iterable[Path], overwrite: bool) -> Iterator[dict[Path, Path]]:
    """Make a temporary file beside each path; move all into place if the block succeeds.

    Their names hold nothing of the path but its format. They are removed if the block fails.

    :raises UnwritableFile: as :func:`check_free`, before the block and after it.
    """
    temporaries: dict[Path, Path] = {}
    try:
        for path in paths:
            check_free(path, overwrite)
            temporaries[path] = _make_temporary(path)
        yield temporaries
        for path in temporaries:
            check_free(path, overwrite)
        for path, temporary in temporaries.items():
            temporary.replace(path)
    finally:
        for temporary in temporaries.values():
            with suppress(OSError):  # it is in place, or Windows still has it open
                temporary.unlink()


def _make_temporary(path: Path) -> Path:
    handle, name = tempfile.mkstemp(suffix=find_format(path), prefix=".eisen-", dir=path.parent)
    os.close(handle)
    mask = os.umask(0)
    os.umask(mask)
    temporary = Path(name)
    temporary.chmod(0o666 & ~mask)  # as any other program would make it
    return temporary
